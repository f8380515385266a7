"""The control socket on real sockets: what clients may do to it, and what they may not."""

from __future__ import annotations

import contextlib
import errno
import gc
import json
import math
import os
import resource
import socket
import time

import psutil
import pytest
from asking import Served, as_stranger, strangers

from fluentlite.loop import Loop
from fluentlite.master import control
from fluentlite.master.control import (
    ANSWER_TIMEOUT,
    MAX_CLIENTS,
    MAX_REQUEST,
    MAX_STRANGERS,
    REQUEST_TIMEOUT,
    Peer,
)
from fluentlite.master.request import COMMANDS

STATUS = b'{"command": "status"}\n'
WELL = {"ok": True, "master": {}}
LARGE = {"workers": ["x" * 1000] * 1000}


def problem_of(answer):
    """The one problem that *answer* tells."""
    assert answer["ok"] is False
    (problem,) = answer["problems"]
    return problem


# -- requests ---------------------------------------------------------------------------------------------


def test_an_answer_is_one_line(served):
    """The answer to a request is one line of JSON, and then the connection is closed."""
    received = served.answer_to(served.connect(STATUS))

    assert received.count(b"\n") == 1
    assert received.endswith(b"\n")
    assert json.loads(received) == WELL


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_reaches_the_master(served, command):
    """Each known command is handed over by its name, with who asks."""
    served.answers = {}
    client = served.connect(json.dumps({"command": command}).encode() + b"\n")
    served.until(lambda: served.replies)
    assert served.asked == [command]
    assert served.replies[0].peer == Peer(os.getpid(), os.geteuid())

    served.replies[0].send({"ok": True})
    assert json.loads(served.answer_to(client)) == {"ok": True}


def test_a_request_may_come_in_pieces(served):
    """A request is the same however it is cut."""
    for cut in range(1, len(STATUS)):
        client = served.connect(STATUS[:cut])
        served.turn(2)
        client.sendall(STATUS[cut:])
        assert json.loads(served.answer_to(client)) == WELL


def test_the_last_line_needs_no_newline(served):
    """A request that ends with the end of what is sent is whole."""
    client = served.connect(STATUS.strip())
    client.shutdown(socket.SHUT_WR)

    assert json.loads(served.answer_to(client)) == WELL


def test_one_connection_one_request(served):
    """What follows the first line is not looked at."""
    served.answer_to(served.connect(STATUS + b'{"command": "stop"}\n'))

    assert served.asked == ["status"]


@pytest.mark.parametrize(
    ("request_bytes", "expected"),
    [
        pytest.param(b"\n", "is no JSON", id="empty-line"),
        pytest.param(b"status\n", "is no JSON", id="bare-word"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "is no JSON", id="http"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n", "is no JSON", id="tls"),
        pytest.param(b"\xff\xfe\x00\n", "is no JSON", id="not-utf8"),
        pytest.param(b"[" * 4000 + b"\n", "is no JSON", id="deep"),
        pytest.param(b"9" * 4090 + b"\n", "names no command", id="long-number"),
        pytest.param(b'"status"\n', "names no command", id="string"),
        pytest.param(b"[]\n", "names no command", id="list"),
        pytest.param(b"null\n", "names no command", id="null"),
        pytest.param(b"{}\n", "names no command", id="no-command"),
        pytest.param(b'{"command": ["stop"]}\n', "names no command", id="command-is-a-list"),
        pytest.param(b'{"command": null}\n', "names no command", id="command-is-null"),
        pytest.param(b'{"command": "STOP"}\n', "there is no command 'STOP'", id="unknown"),
        pytest.param(b'{"command": "\\ud800"}\n', "there is no command", id="half-a-surrogate"),
    ],
)
def test_garbage_is_answered(served, request_bytes, expected):
    """What is no request is told so with the remedy; the next client is served as if nothing had been."""
    problem = problem_of(served.ask(request_bytes))

    assert expected in problem
    assert "Send one line such as" in problem or "Known are: status, reload, stop." in problem
    assert len(problem) < 200
    assert served.ask(STATUS) == WELL
    assert served.asked == ["status"]


def test_random_bytes_do_no_harm(served):
    """Whatever bytes come, the server answers them or sees the end, and goes on serving."""
    for size in range(0, 600, 7):
        client = served.connect(os.urandom(size))
        client.shutdown(socket.SHUT_WR)
        received = served.answer_to(client)
        assert not received or json.loads(received)["ok"] is False

    assert served.ask(STATUS) == WELL
    assert served.asked == ["status"]


def test_a_request_has_at_most_4_kib(served):
    """4,096 bytes are read as a request, one more is refused before its end has come."""
    whole = STATUS.strip().ljust(MAX_REQUEST)
    assert served.ask(whole + b"\n") == WELL

    client = served.connect(whole + b" ")
    assert "longer than 4096 bytes" in problem_of(json.loads(served.answer_to(client)))


def test_who_sends_without_end_is_left(served):
    """A client that sends a megabyte is answered and closed; what it sends is not kept."""
    client = served.connect()
    sent = 0
    with pytest.raises(BrokenPipeError):
        while sent < 1 << 20:
            try:
                sent += client.send(b"x" * 65536)
            except BlockingIOError:
                served.turn()

    assert sent < 1 << 20
    assert "longer than" in problem_of(json.loads(served.answer_to(client)))


# -- slow clients -----------------------------------------------------------------------------------------


def test_who_asks_nothing_is_left_after_ten_seconds(served):
    """A client has ten seconds for its request; then it is told so, and closed."""
    before = time.monotonic()
    silent, halfway = served.connect(), served.connect(STATUS[:5])
    served.turn(3)
    assert before <= served.server.deadline - REQUEST_TIMEOUT <= time.monotonic()
    served.server.tick(before + REQUEST_TIMEOUT - 0.1)
    served.turn()
    served.server.tick(time.monotonic() + REQUEST_TIMEOUT)

    for client in (silent, halfway):
        assert "within 10 s" in problem_of(json.loads(served.answer_to(client)))
    assert served.server.deadline == math.inf


def test_a_megabyte_reaches_a_slow_reader(served):
    """An answer larger than any buffer is sent as it is read; others are served meanwhile."""
    served.answers["reload"] = LARGE
    client = served.connect(b'{"command": "reload"}\n')
    served.until(lambda: "reload" in served.asked)
    assert served.server.has_unsent
    received = bytearray()
    while not received.endswith(b"\n"):
        received += client.recv(50_000)
        assert served.ask(STATUS) == WELL

    assert json.loads(received) == LARGE
    served.turn()
    assert not served.server.has_unsent
    client.close()


def test_who_does_not_read_is_left_after_half_a_minute(served):
    """A client that reads nothing for 30 s is closed; each progress begins them anew."""
    served.answers["status"] = LARGE
    client = served.connect(STATUS)
    served.until(lambda: served.asked)
    first = served.server.deadline
    assert time.monotonic() < first <= time.monotonic() + ANSWER_TIMEOUT
    client.recv(300_000)
    served.until(lambda: served.server.deadline > first)
    served.server.tick(first)
    assert served.server.has_unsent
    served.server.tick(served.server.deadline)
    assert not served.server.has_unsent

    assert not served.answer_to(client).endswith(b"\n"), "cut short: what was read cannot be taken for all"


def test_who_reads_a_byte_now_and_then_is_left_in_the_end(served, monkeypatch):
    """Progress wins time, but not for ever: all of an answer has its time as well."""
    monkeypatch.setattr(control, "WHOLE_ANSWER_TIMEOUT", 1.0)
    served.answers["status"] = LARGE
    began = time.monotonic()
    client = served.connect(STATUS)
    served.until(lambda: served.asked)
    for _ in range(3):
        client.recv(50_000)
        served.turn(2)
        assert began < served.server.deadline <= time.monotonic() + 1.0
    served.server.tick(served.server.deadline)

    assert not served.server.has_unsent
    assert not served.answer_to(client).endswith(b"\n")


def test_who_drips_his_request_wins_no_time(served):
    """A byte now and then does not move the end of the ten seconds."""
    client = served.connect(STATUS[:1])
    served.turn(2)
    deadline = served.server.deadline
    for byte in STATUS[1:-1]:
        client.sendall(bytes([byte]))
        served.turn(2)
        assert served.server.deadline == deadline
    served.server.tick(deadline)

    assert "within 10 s" in problem_of(json.loads(served.answer_to(client)))


def test_a_thousand_clients_leave_nothing_behind(served):
    """A thousand that send half a request, garbage or nothing, and go or stay: memory stays flat, the next is served."""
    requests = [b"", STATUS[:7], b"\xff" * 5000 + b"\n", b"[" * 4000 + b"\n", STATUS]

    def crowd():
        clients = []
        for number in range(500):
            with contextlib.suppress(BlockingIOError):  # the kernel's queue is full as well
                clients.append(served.connect(requests[number % len(requests)]))
            if len(clients) > MAX_CLIENTS:
                clients.pop(0).close()
            served.turn()
        for client in clients:
            client.close()
        served.turn(50)

    crowd()
    gc.collect()
    before = psutil.Process().memory_info().rss
    crowd()
    gc.collect()

    assert psutil.Process().memory_info().rss - before < 2 << 20
    assert served.server.deadline == math.inf
    assert served.ask(STATUS) == WELL


def test_who_waits_for_an_answer_is_not_hurried(served):
    """A reload or a stop may take as long as it takes; others are served meanwhile."""
    client = served.connect(b'{"command": "stop"}\n')
    served.until(lambda: served.replies)
    assert served.server.deadline == math.inf
    served.server.tick(time.monotonic() + 3600.0)
    assert served.ask(STATUS) == WELL

    served.replies[0].send({"ok": True})
    assert json.loads(served.answer_to(client)) == {"ok": True}


def test_a_client_may_be_gone_before_its_answer(served):
    """An answer to nobody, and a second answer, are ignored."""
    client = served.connect(b'{"command": "stop"}\n')
    served.until(lambda: served.replies)
    client.close()
    served.replies[0].send(LARGE)
    served.replies[0].send({"ok": True})

    assert served.ask(STATUS) == WELL
    assert not served.server.has_unsent


def test_a_client_may_leave_without_a_word(served):
    """Who connects and closes is forgotten."""
    for _ in range(3 * MAX_CLIENTS):
        served.connect().close()
        served.turn(2)

    served.turn(2)
    assert served.server.deadline == math.inf
    assert served.ask(STATUS) == WELL


# -- many clients -----------------------------------------------------------------------------------------


def test_a_hundred_clients_at_once(served):
    """A hundred clients that come in the same moment are all answered."""
    clients = [served.connect(STATUS) for _ in range(100)]

    assert [json.loads(served.answer_to(client)) for client in clients] == [WELL] * 100


def test_who_comes_when_all_places_are_taken_waits(served):
    """With 64 connections open, the next one waits; it is served as soon as one of them ends."""
    silent = [served.connect() for _ in range(MAX_CLIENTS)]
    late = served.connect(STATUS)
    served.turn(20)
    with pytest.raises(BlockingIOError):
        late.recv(1)
    began = time.monotonic()
    served.loop.wait(0.05)
    assert time.monotonic() - began >= 0.045, "the waiting client must not wake the loop again and again"

    silent.pop().close()
    assert json.loads(served.answer_to(late)) == WELL
    for client in silent:
        client.close()


def test_without_descriptors_the_master_goes_on(served):
    """When no descriptor is left, clients wait for a second at a time, and the loop does not spin (O04)."""
    client = served.connect(STATUS)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (client.fileno() + 1, hard))
    fillers = []
    try:
        fillers = _take_all_descriptors()
        served.turn()
        began = time.monotonic()
        served.loop.wait(0.05)
        assert time.monotonic() - began >= 0.045
        assert began < served.server.deadline <= began + 1.0
    finally:
        for filler in fillers:
            os.close(filler)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    served.server.tick(served.server.deadline)

    assert json.loads(served.answer_to(client)) == WELL


@pytest.fixture
def no_memory(served, monkeypatch):
    """Makes the kernel have no memory for what the loop is to watch next, so many times."""
    watch = served.loop.watch

    def begin(count):
        left = [None] * count

        def watch_if_there_is_memory(*words):
            if left:
                left.pop()
                raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
            watch(*words)

        monkeypatch.setattr(served.loop, "watch", watch_if_there_is_memory)
        return left

    return begin


def test_no_memory_to_watch_a_client_with(served, no_memory):
    """A client that cannot be watched is left without an answer; the next one gets its own."""
    left = no_memory(1)
    assert served.answer_to(served.connect(STATUS)) == b""
    assert not left
    served.server.tick(served.server.deadline)

    assert served.ask(STATUS) == WELL


def test_no_memory_to_listen_with(served, no_memory):
    """When it cannot be listened again after a pause, that is tried again a second later."""
    no_memory(2)
    assert served.answer_to(served.connect(STATUS)) == b""
    served.server.tick(served.server.deadline)
    assert served.server.deadline < math.inf
    served.server.tick(served.server.deadline)

    assert served.ask(STATUS) == WELL


def test_no_memory_to_wait_for_a_slow_client(served, no_memory):
    """A client that does not read its answer at once, and cannot be waited for, is left."""
    served.answers = {"status": LARGE}
    client = served.connect(STATUS)
    served.turn()
    no_memory(1)
    served.turn()

    assert not served.answer_to(client).endswith(b"\n")
    served.answers = {"status": WELL}
    assert served.ask(STATUS) == WELL


def _take_all_descriptors():
    taken = []
    try:
        while True:
            taken.append(os.dup(0))
    except OSError:
        return taken


# -- other users ------------------------------------------------------------------------------------------


def _ask_raw(path, request):
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(15.0)
        client.connect(path)
        client.sendall(request)
        return json.loads(client.makefile("rb").readline())


def test_everybody_may_ask_for_the_status(served):
    """A user without rights gets the status (O03)."""
    with strangers(served):
        assert as_stranger(lambda: _ask_raw(served.path, STATUS), served.turn) == WELL


@pytest.mark.parametrize("command", ["reload", "stop"])
def test_only_the_owner_reloads_and_stops(served, command):
    """Another user's reload or stop is refused, with who may; the master hears nothing of it."""
    request = json.dumps({"command": command}).encode() + b"\n"
    with strangers(served):
        answer = as_stranger(lambda: _ask_raw(served.path, request), served.turn)
        owner = served.server._owner

    assert f"{command}: user " in problem_of(answer)
    assert f"Say it as root or as user {owner}" in problem_of(answer)
    assert served.asked == []


def test_strangers_cannot_take_all_places(served):
    """However many connections another user holds open, the owner is answered at once."""

    def hold():
        held = []
        for _ in range(MAX_CLIENTS + 10):
            held.append(socket.socket(socket.AF_UNIX))
            held[-1].connect(served.path)
        refused = 0
        for client in held[MAX_STRANGERS:]:
            client.settimeout(15.0)
            refused += "Try again in a moment" in problem_of(json.loads(client.makefile("rb").readline()))
        with socket.socket(socket.AF_UNIX) as told:
            told.connect(served.path + ".go")
            told.recv(1)
        return refused

    gate = socket.socket(socket.AF_UNIX)
    gate.setblocking(False)
    gate.bind(served.path + ".go")
    os.chmod(served.path + ".go", 0o666)
    gate.listen()
    owners = []

    def meanwhile():
        served.loop.wait(0.005)
        try:
            waiting, _ = gate.accept()
        except BlockingIOError:
            return
        with waiting:
            served.server._owner = os.geteuid()
            owners.append(served.ask(STATUS))

    with strangers(served):
        assert as_stranger(hold, meanwhile) == MAX_CLIENTS + 10 - MAX_STRANGERS
    gate.close()

    assert owners == [WELL]


# -- the end ----------------------------------------------------------------------------------------------


def test_close_leaves_nothing(socket_file):
    """After the end the socket is gone, and whoever was connected sees the end."""
    served = Served(socket_file)
    served.answers = {}
    clients = [served.connect(), served.connect(b'{"command": "stop"}\n')]
    served.until(lambda: served.replies)
    served.server.close()

    assert not os.path.exists(socket_file)
    assert [client.recv(1) for client in clients] == [b"", b""]
    served.replies[0].send({"ok": True})
    served.loop.wait(0)
    served.loop.close()
    for client in clients:
        client.close()


def test_a_last_answer_arrives_though_the_master_leaves(socket_file):
    """What has been sent before the end can be read after it."""
    served = Served(socket_file)
    client = served.connect(b'{"command": "stop"}\n')
    served.until(lambda: served.replies)
    served.replies[0].send({"ok": True})
    served.close()

    assert json.loads(client.recv(1000)) == {"ok": True}
    client.close()


def test_two_servers_in_turn(socket_file):
    """The next master takes the same place."""
    for _ in range(3):
        served = Served(socket_file)
        assert served.ask(STATUS) == WELL
        served.close()


def test_a_server_that_cannot_be_made_leaves_the_loop_alone(open_dir):
    """A failed start watches nothing."""
    loop = Loop()
    with pytest.raises(Exception, match="control socket cannot be made"):
        Served(os.path.join(open_dir, "missing", "fluentlite.sock"))
    loop.close()
