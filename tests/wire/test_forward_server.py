"""The embedded server's I/O: real sockets, good clients, bad clients, many clients."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import time

import msgpack
import pytest
from clients import Client, packed_forward

from fluentlite import forward_server
from fluentlite.config.model import Server
from fluentlite.core.decode import Reading
from fluentlite.core.printing import field_values
from fluentlite.core.server_session import ServerSecurity
from fluentlite.errors import RemoteProtocolError
from fluentlite.forward_server import Receiver

A, B = packed_forward("app", b"a", chunk="a"), packed_forward("app", b"b", chunk="b")
SECURITY = ServerSecurity("secret", "server.example", {"alice": "wonder"})


class Running:
    """A Receiver that is polled by the test, and what came of it."""

    def __init__(self, **options):
        self.lines, self.problems = [], []
        self.on_chunk = self.remember
        self.receiver = Receiver(
            options.pop("address", Server("127.0.0.1", 0)),
            lambda chunk: self.on_chunk(chunk),
            on_problem=self.problems.append,
            **options,
        )
        self.counters = self.receiver.counters

    def remember(self, chunk):
        self.lines += field_values(chunk.events, "message")

    def client(self):
        return Client(self.receiver.address.port, self.receiver.address.host)

    def until(self, condition, timeout=10.0):
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, f"not within {timeout} s: {self.counters}, {self.problems}"
            self.receiver.poll(0.01)

    def replies(self, client, count):
        """Poll until *client* has *count* replies, and return them."""
        got = []

        def enough():
            client.socket.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while len(got) < count:
                    got.append(client.reply())
            client.socket.settimeout(10)
            return len(got) == count

        self.until(enough)
        return got


@pytest.fixture
def run():
    started = []

    def start(**options):
        started.append(Running(**options))
        return started[-1]

    yield start
    for running in started:
        running.receiver.close()


def test_events_acks_and_counters(run):
    """Chunks of several clients arrive, are acknowledged and counted."""
    server = run()
    with server.client() as one, server.client() as two:
        one.send(A + packed_forward("app", b"x", b"y"))
        two.send(B)

        assert server.replies(one, 1) == [{"ack": "a"}]
        assert server.replies(two, 1) == [{"ack": "b"}]
        server.until(lambda: server.counters.chunks == 3)
        assert server.receiver.open_connections == 2
    server.until(lambda: server.receiver.open_connections == 0)

    assert sorted(server.lines) == [b"a", b"b", b"x", b"y"]
    size = len(A + B + packed_forward("app", b"x", b"y"))
    assert server.counters == forward_server.Counters(events=4, bytes=size, chunks=3, acks=2, connections=2)
    assert server.problems == []


def test_ack_comes_after_the_callback(run):
    """While the callback has a chunk, no ack has been sent for it (S06)."""
    server, sent_before = run(), []
    with server.client() as client:

        def look(chunk):
            client.socket.setblocking(False)
            with pytest.raises(BlockingIOError):
                client.socket.recv(1)
            client.socket.settimeout(10)
            sent_before.append(chunk.id)

        server.on_chunk = look
        client.send(A)
        assert server.replies(client, 1) == [{"ack": "a"}]
    assert sent_before == ["a"]


def test_callback_that_fails(run):
    """A chunk whose callback fails is not acknowledged, those before it are, and the failure comes out of poll."""
    server = run()

    def fail_at_second(chunk):
        if chunk.id == "b":
            raise KeyError(chunk.id)

    server.on_chunk = fail_at_second
    with server.client() as client:
        client.send(A + B)
        with pytest.raises(KeyError):
            server.until(lambda: server.counters.chunks == 2)
        assert client.reply() == {"ack": "a"}
        assert (server.counters.chunks, server.counters.acks) == (1, 1)


def test_callback_that_refuses(run):
    """A callback may refuse a chunk: its client is disconnected, nobody else."""
    server = run()

    def refuse_b(chunk):
        if chunk.id == "b":
            raise RemoteProtocolError("it sent something ugly")

    server.on_chunk = refuse_b
    with server.client() as one, server.client() as two:
        one.send(A + B)
        server.until(lambda: server.problems)
        assert (one.reply(), one.ended()) == ({"ack": "a"}, True)
        two.send(A)
        assert server.replies(two, 1) == [{"ack": "a"}]
    assert "it sent something ugly; the connection was closed" in server.problems[0]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"\xc1", "cannot be read as msgpack", id="no-msgpack"),
        pytest.param(b"[}", "cannot be read as JSON", id="no-json"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", "an integer where a message", id="http"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00", "an integer where a message", id="tls"),
        pytest.param(b"\x91" * 5000, "nested too deeply", id="too-deep"),
        pytest.param(packed_forward("app", b"a", size=2), "1 entries, and said that they are 2", id="size"),
    ],
)
def test_bad_bytes(run, data, reason):
    """Bad bytes end their connection with one message that names the peer, and nothing else (S11)."""
    server = run(reading=Reading.VERIFY)
    with server.client() as bad, server.client() as good:
        bad.send(A + data if data[0] not in b"[" else data)
        server.until(lambda: server.problems)
        peer = f"127.0.0.1:{bad.socket.getsockname()[1]}"
        good.send(B)

        assert server.replies(good, 1) == [{"ack": "b"}]
    assert len(server.problems) == 1
    assert server.problems[0].startswith(f"{peer}: it sent")
    assert reason in server.problems[0]
    assert server.receiver.open_connections <= 1


@pytest.mark.parametrize("reset", [False, True])
def test_client_that_leaves(run, reset):
    """Leaving between two chunks is normal; leaving inside one is reported, whether by close or reset."""
    server = run()
    for data, reports in (A, 0), (A + B[:7], 1):
        with server.client() as client:
            client.send(data)
            server.replies(client, 1)
            if reset:
                client.reset()
        server.until(lambda: server.receiver.open_connections == 0)

        assert len(server.problems) == reports
    assert "in the middle of a message, 7 bytes" in server.problems[0]


def test_half_closed(run):
    """A client that has said that it will send no more still gets its acks."""
    server = run()
    with server.client() as client:
        client.send(A + B)
        client.socket.shutdown(socket.SHUT_WR)
        server.until(lambda: server.counters.chunks == 2)

        assert [client.reply(), client.reply()] == [{"ack": "a"}, {"ack": "b"}]


def test_byte_by_byte(run):
    """Half messages wait for the rest while others are served (S05)."""
    server = run()
    with server.client() as slow, server.client() as fast:
        for at in range(len(A)):
            slow.send(A[at : at + 1])
            fast.send(B)
            assert server.replies(fast, 1) == [{"ack": "b"}]
        assert server.replies(slow, 1) == [{"ack": "a"}]


def test_no_acks(run):
    """Without acks nothing is sent, also to a client that asks (S03)."""
    server = run(acks=False)
    with server.client() as client:
        client.send(A)
        server.until(lambda: server.counters.chunks == 1)
        client.socket.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.reply()
    assert server.counters.acks == 0


def test_counting(run):
    """When only counting, the option's size is believed and the entries are not looked at."""
    server = run(reading=Reading.COUNT)
    with server.client() as client:
        client.send(packed_forward("app", b"a", size=5000) + packed_forward("app", b"a", b"b", size=None))
        server.until(lambda: server.counters.chunks == 2)

    assert (server.counters.events, server.lines) == (5002, [])


def test_client_that_takes_no_acks(run):
    """A client that does not read its acks is not read from either, costs little, and gets them all later."""
    server = run()
    count, ident = 20_000, "x" * 1000  # more than the kernel keeps for both sides
    chunk, ack = packed_forward("app", chunk=ident), msgpack.packb({"ack": ident})
    with server.client() as client, server.client() as other:
        client.socket.setblocking(False)
        rest = memoryview(chunk * count)
        stalled = 0
        while stalled < 5:  # until neither side moves any more
            before = (len(rest), server.counters.chunks)
            with contextlib.suppress(BlockingIOError):
                rest = rest[client.socket.send(rest) :]
            server.receiver.poll(0.01)
            stalled = 0 if before != (len(rest), server.counters.chunks) else stalled + 1
        assert server.counters.chunks < count
        other.send(A)
        assert server.replies(other, 1) == [{"ack": "a"}]

        got = 0
        while got < count * len(ack):
            with contextlib.suppress(BlockingIOError):
                rest = rest[client.socket.send(rest) :]
            server.receiver.poll(0)
            with contextlib.suppress(BlockingIOError):
                got += len(client.socket.recv(1 << 20))
    assert server.counters.acks == count + 1


def test_handshake(run):
    """With security, key and password open the connection, and a wrong one gets a PONG and an end (S26)."""
    server = run(security=SECURITY)
    with server.client() as client:
        [helo] = server.replies(client, 1)
        assert helo[0] == "HELO"
        client.send(A)  # not a PING
        assert server.replies(client, 1) == [["PONG", False, "invalid ping message", "", ""]]
        assert client.ended()
    assert "refused: it sent an array instead of a PING; has it no shared_key?" in server.problems[0]
    assert server.lines == []


def test_nonces_differ(run):
    """Each connection gets its own nonce and salt."""
    server, seen = run(security=SECURITY), set()
    for _ in range(5):
        with server.client() as client:
            [[_, option]] = server.replies(client, 1)
            seen |= {option["nonce"], option["auth"]}
            assert len(option["nonce"]) == len(option["auth"]) == 16
    assert len(seen) == 10


def test_many_connections(run):
    """Hundreds of clients at a time, a thousand in all, each get their ack and leave nothing behind."""
    server = run()
    open_before = len(os.listdir("/proc/self/fd"))
    for _ in range(4):
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(server.client()) for _ in range(250)]
            for client in clients:
                client.send(A)
            for client in clients:
                assert server.replies(client, 1) == [{"ack": "a"}]
        server.until(lambda: server.receiver.open_connections == 0)

    assert (server.counters.connections, server.counters.acks) == (1000, 1000)
    assert len(os.listdir("/proc/self/fd")) == open_before


def test_out_of_descriptors(run):
    """Without descriptors the server says so once, does not spin, serves whom it has, and goes on later (T38)."""
    server = run()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(4)]
        with open(os.devnull) as probe:
            resource.setrlimit(resource.RLIMIT_NOFILE, (probe.fileno() + 2, limits[1]))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
        for sock in sockets:
            sock.connect(("127.0.0.1", server.receiver.address.port))
        server.until(lambda: server.problems)
        assert server.receiver.open_connections == 2
        begin = time.monotonic()
        for _ in range(3):
            server.receiver.poll(10)
        assert time.monotonic() - begin > forward_server.ACCEPT_PAUSE
        sockets[0].sendall(A)
        server.until(lambda: server.lines == [b"a"])

        sockets[0].close()
        sockets[1].close()
        for sock in sockets[2:]:
            sock.sendall(B)
        server.until(lambda: server.lines == [b"a", b"b", b"b"])
    assert len(server.problems) == 1
    assert "cannot accept more connections (Too many open files); raise the limit" in server.problems[0]


def test_wake(run):
    """A poll without a time limit ends when the given descriptor is readable."""
    reader, writer = os.pipe()
    try:
        server = run(wake=reader)
        os.write(writer, b"x")
        server.receiver.poll(None)
    finally:
        os.close(reader)
        os.close(writer)


def test_ipv6(run):
    """An IPv6 address works, and its clients are named in brackets."""
    server = run(address=Server("::1", 0))
    with server.client() as client:
        client.send(A + b"\xc1")
        server.until(lambda: server.problems)
    assert server.problems[0].startswith("[::1]:")


def test_address_in_use(run):
    """A second server on one address fails at once."""
    server = run()
    with pytest.raises(OSError, match="in use"):
        run(address=server.receiver.address)


def test_the_same_port_again(run):
    """A server that was closed with open connections can be followed by another on its port at once."""
    server = run()
    with server.client() as client:
        client.send(A)
        server.replies(client, 1)
        server.receiver.close()
        again = run(address=server.receiver.address)
        with again.client() as other:
            other.send(B)
            assert again.replies(other, 1) == [{"ack": "b"}]


def test_messages_that_are_begun_and_never_ended(run, monkeypatch):
    """
    What all clients together have begun is bounded: who has much of a message is left then, who sends ordinary
    chunks is served, and what the one who was left had begun is not counted any more.
    """
    monkeypatch.setattr(forward_server, "MAX_UNFINISHED", 1 << 20)
    monkeypatch.setattr(forward_server, "MUCH_UNFINISHED", 1 << 18)
    running = run()
    begun = b"\x93\xa3app\xc6\x03\x00\x00\x00" + b"x" * (300 << 10)
    with contextlib.ExitStack() as stack:
        greedy = [stack.enter_context(running.client()) for _ in range(5)]
        honest = stack.enter_context(running.client())
        for client in greedy:
            client.socket.setblocking(False)
            rest = memoryview(begun)
            while rest and not running.problems:
                with contextlib.suppress(BlockingIOError, ConnectionError):
                    rest = rest[client.socket.send(rest) :]
                running.receiver.poll(0)
        running.until(lambda: running.problems)
        honest.send(A[:10])
        running.receiver.poll(0.1)
        honest.send(A[10:])

        assert running.replies(honest, 1) == [{"ack": "a"}]
        assert all("while all clients together have begun 1048576" in problem for problem in running.problems)
        kept = running.receiver._unfinished
    running.until(lambda: running.receiver._unfinished == 0)

    assert 1 << 19 < kept <= (1 << 20) + forward_server.RECEIVE_SIZE
    assert running.lines == [b"a"]


@pytest.mark.parametrize("kind", ["handshake", "tls"])
def test_who_never_shakes_hands(run, authority, monkeypatch, kind):
    """A client that says nothing, where it has something to prove, holds its place no longer than that may take."""
    monkeypatch.setattr(forward_server, "HANDSHAKE_TIMEOUT", 0.3)
    running = run(security=SECURITY) if kind == "handshake" else run(tls=authority.server())
    begin = time.monotonic()
    with running.client() as first, running.client() as second:
        running.until(lambda: running.receiver.open_connections == 2)
        running.receiver.poll()  # for as long as it takes
        running.until(lambda: running.receiver.open_connections == 0)
        assert time.monotonic() - begin >= 0.3
        assert running.problems == [
            f"127.0.0.1:{client.socket.getsockname()[1]}: no handshake within 0.3 s; the connection was closed"
            for client in (first, second)
        ]


def test_who_has_shaken_hands_may_be_silent(run, monkeypatch):
    """The deadline is for the handshake alone; where there is none, for nobody."""
    monkeypatch.setattr(forward_server, "HANDSHAKE_TIMEOUT", 0.1)
    running = run()
    with running.client() as client:
        running.until(lambda: running.receiver.open_connections == 1)
        running.receiver.poll(0.3)
        client.send(A)
        running.until(lambda: running.lines == [b"a"])
    assert running.problems == []
