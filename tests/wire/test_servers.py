"""The scripted server does what its behaviours say: tests that stand on it would else prove nothing."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import time

import behaviours
import msgpack
import pytest
from clients import Client, packed_forward
from servers import ScriptedServer

from fluentlite.core.server_session import ServerSecurity

A, B, C = (packed_forward("app", name.encode(), chunk=name) for name in "abc")
SECURITY = ServerSecurity("secret", "server.example", {"alice": "wonder"})


@pytest.fixture
def serve():
    """Start servers that are closed after the test, and must not have seen an error."""
    servers = []

    def start(*args, **kwargs):
        servers.append(ScriptedServer(*args, **kwargs))
        return servers[-1]

    yield start
    for server in servers:
        server.close()
        assert server.errors == []


def exchange(server, data, replies=1):
    """Send *data* on a new connection; return that many replies and whether the end was orderly (None: no end)."""
    with Client(server.port) as client:
        client.send(data)
        got = [client.reply() for _ in range(replies)]
        client.socket.settimeout(0.05)
        try:
            return got, client.ended()
        except TimeoutError:
            return got, None


def ack(ident):
    return {"ack": ident}


@pytest.mark.parametrize(
    ("behaviour", "replies", "end", "acked"),
    [
        pytest.param(behaviours.ack_all, [ack("a"), ack("b")], None, [b"a", b"b"], id="ack_all"),
        pytest.param(behaviours.no_ack, [], None, [], id="no_ack"),
        pytest.param(behaviours.wrong_ack, [ack("not 'a'"), ack("not 'b'")], None, [], id="wrong_ack"),
        pytest.param(behaviours.unknown_ack, [ack("a"), ack("of another client")], None, [b"a", b"b"], id="unknown_ack"),
        pytest.param(behaviours.ack_twice, [ack("a"), ack("a"), ack("b")], None, [b"a", b"b"], id="ack_twice"),
        pytest.param(behaviours.ack_in_single_bytes, [ack("a"), ack("b")], None, [b"a", b"b"], id="single_bytes"),
        pytest.param(behaviours.acks_joined(2), [ack("a"), ack("b")], None, [b"a", b"b"], id="joined"),
        pytest.param(behaviours.acks_joined(2, backwards=True), [ack("b"), ack("a")], None, [b"a", b"b"], id="backwards"),
        pytest.param(behaviours.late_ack(0.01), [ack("a"), ack("b")], None, [b"a", b"b"], id="late"),
        pytest.param(behaviours.close_in_ack(1), [ack("a")], True, [b"a"], id="close_in_ack"),
        pytest.param(behaviours.close_after(1), [ack("a")], True, [b"a"], id="close_after"),
        pytest.param(behaviours.close_after(1, reset=True), [ack("a")], False, [b"a"], id="reset_after"),
        pytest.param(behaviours.close_in_chunk(20), [], False, [], id="close_in_chunk"),
        pytest.param(behaviours.close_in_chunk(20, reset=True), [], False, [], id="reset_in_chunk"),
        pytest.param(behaviours.close_when_idle(0.02), [ack("a"), ack("b")], True, [b"a", b"b"], id="idle"),
        pytest.param(behaviours.close_when_idle(0.02, reset=True), [ack("a"), ack("b")], False, [b"a", b"b"], id="idle_reset"),
        pytest.param(behaviours.read_slowly(30, 0.001), [ack("a"), ack("b")], None, [b"a", b"b"], id="read_slowly"),
        pytest.param(behaviours.stop_reading(1), [ack("a")], None, [b"a"], id="stop_reading"),
        pytest.param(behaviours.hold, [], None, [], id="hold"),
        pytest.param(behaviours.size_limit(10, close=False), [], None, [], id="limit_silent"),
        pytest.param(behaviours.size_limit(10, close=True), [], True, [], id="limit_close"),
    ],
)  # fmt: skip
def test_behaviours(serve, behaviour, replies, end, acked):
    """Each ready-made behaviour answers two chunks as its name says, and counts as acked what it acknowledged."""
    server = serve(behaviour)

    assert exchange(server, A + B, len(replies)) == (replies, end)
    assert server.lines(acked=True) == acked


@pytest.mark.parametrize("behaviour", [behaviours.close_at_once, behaviours.reset_at_once])
def test_closed_unread(serve, behaviour):
    """A server may close what it accepts before a byte was read (S15)."""
    server = serve(behaviour)
    try:
        with Client(server.port) as client:
            orderly = client.ended()
    except ConnectionResetError:
        orderly = False  # the reset was faster than connect()
    assert orderly is (behaviour is behaviours.close_at_once)
    assert server.lines() == []


def test_half_an_ack_in_single_bytes(serve):
    """Half an ack is half an ack, and single bytes travel as such (S05)."""
    server = serve([behaviours.close_in_ack(), behaviours.ack_in_single_bytes])
    with Client(server.port) as client:
        client.send(A)
        assert client.socket.recv(99) == msgpack.packb(ack("a"))[:3]
    with Client(server.port) as client:
        client.send(A)
        assert len(client.socket.recv(99)) < len(msgpack.packb(ack("a")))


def test_garbage(serve):
    """An answer may be no msgpack at all."""
    with Client(serve(behaviours.garbage).port) as client:
        client.send(A)
        assert client.socket.recv(99) == b"\xc1" * 8


def test_what_is_recorded(serve):
    """Chunks are recorded with their bytes, in order, over all connections, repetitions included (S06)."""
    server = serve([behaviours.close_after(0), behaviours.ack_all])
    exchange(server, A, 0)
    exchange(server, A + B + C, 3)
    server.wait_for(lambda: len(server.chunks) == 4)

    assert server.lines() == [b"a", b"a", b"b", b"c"]
    assert server.ids() == ["a", "a", "b", "c"]
    assert [(one.message, one.connection, one.acked) for one in server.chunks] == [
        (A, 0, False),
        (A, 1, True),
        (B, 1, True),
        (C, 1, True),
    ]
    assert [bytes(connection.received) for connection in server.connections] == [A, A + B + C]


def test_json(serve):
    """A client that speaks JSON is understood, recorded and answered in JSON."""
    server = serve()
    data = b'["app",[[1,{"message":"x"}]],{"chunk":"a"}]'
    with Client(server.port) as client:
        client.send(data)
        assert json.loads(client.socket.recv(99)) == ack("a")
    assert [(one.lines(), one.message) for one in server.chunks] == [([b"x"], data)]


def test_a_behaviour_of_its_own(serve):
    """A test can write what the server does as straight code, and change it between connections."""

    def second_only(connection):
        first, second = connection.next_chunk(), connection.next_chunk()
        connection.ack(second)
        connection.ack(first)

    server = serve(second_only)
    assert exchange(server, A + B, 2) == ([ack("b"), ack("a")], True)
    server.behave(behaviours.no_ack)
    assert exchange(server, C, 0) == ([], None)


def test_errors_are_not_lost():
    """What goes wrong in a behaviour, also what a client sends against the protocol, is kept."""

    def broken(connection):
        raise KeyError("a mistake in a test")

    with ScriptedServer([broken, behaviours.ack_all]) as server:
        exchange(server, b"", 0)
        exchange(server, A + b"\xc1", 1)
        server.wait_for(lambda: len(server.errors) == 2)

        assert "a mistake in a test" in server.errors[0]
        assert "connection 1: it sent bytes that cannot be read as msgpack" in server.errors[1]


def test_stop_and_restart(serve):
    """While stopped, connects are refused and the port stays its own; after it, the server is there again (S15)."""
    server = serve(behaviours.hold)
    with Client(server.port) as client:
        server.wait_for(lambda: server.connections)
        server.stop()
        assert client.ended()
    with pytest.raises(ConnectionRefusedError):
        Client(server.port)

    server.restart(behaviours.ack_all)
    assert exchange(server, A) == ([ack("a")], None)
    with Client(server.port) as client:
        server.wait_for(lambda: len(server.connections) == 3)
        server.stop(reset=True)
        assert not client.ended()


def test_reserved_port(serve):
    """A server may begin by not being there."""
    server = serve(listening=False)
    with pytest.raises(ConnectionRefusedError):
        Client(server.port)
    server.restart()

    assert exchange(server, A) == ([ack("a")], None)


def test_wait_for_says_what_was_missing(serve):
    """A wait in vain ends in time and tells what did arrive."""
    server = serve()
    exchange(server, A)
    begin = time.monotonic()
    with pytest.raises(AssertionError, match=r"within 0\.05 s; 1 connections, 1 chunks \(1 acked\), 1 lines"):
        server.wait_for(lambda: len(server.lines()) == 2, timeout=0.05)
    assert time.monotonic() - begin < 5


def test_backpressure(serve):
    """A server that does not read lets the client's writes block before megabytes are gone (S09, S31)."""
    server = serve(behaviours.stop_reading())
    with Client(server.port) as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        client.socket.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.send(bytes(8 * 1024 * 1024))


def test_handshake(serve):
    """With security the handshake happens before the first chunk, whatever the behaviour."""
    server = serve(security=SECURITY)
    with Client(server.port) as client:
        assert client.shake_hands("secret", user="alice", password="wonder")[1] is True
        client.send(A)
        assert client.reply() == ack("a")


@pytest.mark.parametrize(
    ("behaviour", "pong"),
    [
        pytest.param(behaviours.answer_ping(True, "", "server", "0" * 128), ["PONG", True, "", "server", "0" * 128], id="impostor"),
        pytest.param(behaviours.answer_ping(False, "no", "", ""), ["PONG", False, "no", "", ""], id="no"),
        pytest.param(behaviours.close_after_ping, None, id="close"),
    ],
)  # fmt: skip
def test_bad_handshakes(serve, behaviour, pong):
    """A PONG can be false, a lie, or missing (S26)."""
    server = serve(behaviour, security=SECURITY)
    with Client(server.port) as client:
        try:
            assert client.shake_hands("secret") == pong
        except EOFError:
            assert pong is None


def test_silent_after_ping(serve):
    """A server can leave a PING unanswered (S24)."""
    server = serve(behaviours.no_pong, security=SECURITY)
    with Client(server.port) as client:
        client.socket.settimeout(0.1)
        with pytest.raises(TimeoutError):
            client.shake_hands("secret")
        assert server.connections[0].received.startswith(b"\x96\xa4PING")


def test_tls(serve, tmp_path):
    """With a TLS context everything goes through it; what refuses the certificate is not the server's error (S25)."""
    certificate, key = str(tmp_path / "certificate.pem"), str(tmp_path / "key.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-out", certificate, "-keyout", key],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = serve(tls=context)

    with Client(server.port) as client:
        client.socket = ssl.create_default_context(cafile=certificate).wrap_socket(
            client.socket, server_hostname="localhost"
        )
        client.send(A)
        assert client.reply() == ack("a")
    with Client(server.port) as client, pytest.raises(ssl.SSLCertVerificationError):
        ssl.create_default_context().wrap_socket(client.socket, server_hostname="localhost")
    assert server.lines() == [b"a"]
