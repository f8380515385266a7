"""
What the master does once before it forks, so that its workers need not do it each for itself.

Workers share the master's memory page by page until one of them writes to a page. CPython writes wherever it
runs something for the first times: it adapts code to what it meets, remembers where names were found, binds
the C library's functions. All that is the same in every worker, and shared if it has happened before.
"""

from __future__ import annotations

import collections
import contextlib
import logging
import os
import signal
import socket
import ssl
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgpack

from fluentlite.config.model import ForwardSettings, LogSettings, Server, TailSettings, TlsSettings
from fluentlite.errors import StateError
from fluentlite.scoreboard import Scoreboard
from fluentlite.signals import SignalInbox, fork_child
from fluentlite.tls.context import client_context
from fluentlite.worker.main import Worker

ROUNDS = 8
"""Lives of a worker; CPython adapts a function after some calls."""

PATIENCE = 5.0
"""Seconds after which one of these lives ends, whatever hinders it."""

MEMORY = "/dev/shm"  # noqa: S108 - a private directory is made in it


def warm_up() -> None:
    """
    Let workers live for a moment in this process: each delivers a line and ends because its master is gone.

    Nothing depends on it: what goes wrong here is not reported. No thread is left when this returns.
    """
    logging.disable()
    try:
        with contextlib.suppress(OSError, StateError), _no_more_threads():
            "localhost".encode("idna")  # what looks up a server's name
            _begin_tls()
            place = MEMORY if os.access(MEMORY, os.W_OK) else None
            with tempfile.TemporaryDirectory(prefix="fluentlite-", dir=place) as directory:
                for number in range(ROUNDS):
                    _live(Path(directory), f"{number}.log")
    finally:
        logging.disable(logging.NOTSET)


def _begin_tls() -> None:
    """Say the first words of TLS to nobody: OpenSSL sets itself up then, a megabyte for each process that does it alone."""
    context = client_context(TlsSettings(verify=False))
    client = context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()


def _live(directory: Path, name: str) -> None:
    """Be a worker, with a server that is a child and holds the worker's lifeline."""
    (directory / name).write_bytes(b"a line\n")
    lifeline, server_end = os.pipe()
    with socket.create_server(("127.0.0.1", 0)) as listener, _QuietInbox() as inbox:
        pid = fork_child(lambda: _serve(listener), [listener.fileno(), server_end])
        os.close(server_end)
        forward = ForwardSettings(primary=(Server(*listener.getsockname()),))
        settings = LogSettings(
            tag="warm", path=str(directory / name), forward=forward, tail=TailSettings(read_from_head=True)
        )
        try:
            Worker(settings, str(directory), 0.0, inbox, Scoreboard(1).take(), lifeline).run()
        finally:
            os.close(lifeline)
            os.waitpid(pid, 0)


def _serve(listener: socket.socket) -> int:
    """Acknowledge one chunk and end, which ends the lifeline."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    client, _ = listener.accept()
    unpacker = msgpack.Unpacker(raw=True)
    while data := client.recv(65536):
        unpacker.feed(data)
        for _tag, _entries, option in unpacker:
            client.sendall(msgpack.packb({"ack": option[b"chunk"]}))
            time.sleep(0.01)  # for the worker to see it
            return 0
    return 1


class _QuietInbox(SignalInbox):
    """An inbox that no signal comes to: this process has one of its own."""

    def __init__(self) -> None:
        self._pending = collections.deque()
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def __enter__(self) -> _QuietInbox:
        return self

    def __exit__(self, *_exc_info: object) -> None:
        os.close(self._reader)
        os.close(self._writer)


@contextlib.contextmanager
def _no_more_threads() -> Iterator[None]:
    """A process that forks must have none of its own; those of the checkpoints are over, or nearly so, in the end."""
    count = _threads()
    try:
        yield
    finally:
        deadline, is_over = time.monotonic() + PATIENCE, False
        while not is_over and time.monotonic() < deadline:
            time.sleep(0.001)
            with contextlib.suppress(OSError):  # it cannot be seen now
                is_over = _threads() <= count


def _threads() -> int:
    return len(os.listdir("/proc/self/task"))
