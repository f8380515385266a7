"""What the tests of the control socket share: a server in this thread, and clients of this and of other users."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import tempfile
import time

import pytest
from strangers import WORKER, become

from fluentlite.loop import Loop
from fluentlite.master.control import ControlServer


class Served:
    """
    A control server whose loop turns when the test says so.

    Args:
        answers: What is sent for each command; a command without one is left to the test, in ``replies``.
    """

    def __init__(self, path, answers=None):
        self.path = str(path)
        self.answers = {"status": {"ok": True, "master": {}}} if answers is None else answers
        self.asked, self.replies = [], []
        self.loop = Loop()
        self.server = ControlServer(self.path, self.loop, self.answer)

    def answer(self, command, reply):
        self.asked.append(command)
        if command in self.answers:
            reply.send(self.answers[command])
        else:
            self.replies.append(reply)

    def turn(self, count=1):
        for _ in range(count):
            self.loop.wait(0)

    def until(self, condition, timeout=10.0):
        """Turn until *condition* is true; fail after *timeout* seconds."""
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, f"not true within {timeout:g} s"
            self.loop.wait(0.005)

    def connect(self, request=b""):
        """Return a client that does not block and has sent *request*."""
        client = socket.socket(socket.AF_UNIX)
        client.setblocking(False)
        client.connect(self.path)
        if request:
            client.sendall(request)
        return client

    def answer_to(self, client):
        """Turn until *client* has been answered and closed; return the bytes."""
        received = bytearray()
        self.until(lambda: _read_to_the_end(client, received))
        client.close()
        return bytes(received)

    def ask(self, request):
        """Send *request*, an object or bytes, as a new client; return the answer."""
        request = request if isinstance(request, bytes) else json.dumps(request).encode() + b"\n"
        return json.loads(self.answer_to(self.connect(request)))

    def close(self):
        self.server.close()
        self.loop.close()


def _read_to_the_end(client, received):
    try:
        data = client.recv(1 << 20)
    except BlockingIOError:
        return False
    except ConnectionResetError:  # closed while something that we sent was unread
        return True
    received += data
    return not data


@contextlib.contextmanager
def strangers(served):
    """
    Make everybody whom ``as_stranger`` runs a user without rights.

    Root becomes nobody. Who is not root cannot become anybody else: then the server believes to be another's.
    """
    owner = served.server._owner
    if os.geteuid():
        served.server._owner = owner + 1
    try:
        yield
    finally:
        served.server._owner = owner


def as_stranger(function, meanwhile=lambda: time.sleep(0.005)):
    """Run *function* in a child of another user, calling *meanwhile* again and again; return what it returns."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            become(WORKER)
            os.write(writer, json.dumps(function()).encode())
            status = 0
        except BaseException as exc:  # noqa: BLE001
            os.write(writer, json.dumps(f"{type(exc).__name__}: {exc}").encode())
        finally:
            os._exit(status)
    os.close(writer)
    try:
        deadline = time.monotonic() + 20.0
        while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            assert time.monotonic() < deadline, "the other user's process did not end"
            meanwhile()
        status = os.waitpid(pid, 0)[1]
        result = json.loads(os.read(reader, 1 << 16))
        assert status == 0, result
        return result
    finally:
        os.close(reader)


@pytest.fixture
def open_dir():
    """A directory with a short name that everybody can enter, as a run_dir has to be."""
    path = tempfile.mkdtemp(prefix="fl-")
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def socket_file(open_dir):
    return os.path.join(open_dir, "fluentlite.sock")


@pytest.fixture
def served(socket_file):
    serving = Served(socket_file)
    yield serving
    serving.close()
