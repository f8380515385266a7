"""A Forward server and a client that others wrote: what we take for the protocol is theirs as well."""

from __future__ import annotations

import gzip
import struct

import msgpack
import pytest
from clients import Client, entries_of, eventually, packed_forward
from fluentserver import fluent_client
from servers import ScriptedServer

from fluentlite.core.decode import Mode
from fluentlite.core.messages import EventTime
from fluentlite.core.server_session import ServerSecurity

TIME = [1_700_000_000, 5]
SECURITY = {
    "serverHostname": "node.example",
    "sharedKey": "secret",
    "authorize": True,
    "userDict": {"alice": "wonder"},
}


def event(line, time=TIME):
    return {"tag": "app", "time": time, "record": {"message": line}}


def compressed(entries, size, chunk):
    option = msgpack.packb({"size": size, "chunk": chunk, "compressed": "gzip"})
    return b"\x93\xa3app\xc6" + struct.pack(">I", len(entries)) + entries + option


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(packed_forward("app", b"a", "é".encode(), chunk="id\n"), id="bin"),
        pytest.param(packed_forward("app", b"a", "é".encode(), chunk="id\n", as_str=True), id="str"),
        pytest.param(packed_forward("app", b"a", "é".encode(), chunk="id\n", compressed="text"), id="text"),
        pytest.param(compressed(gzip.compress(entries_of(b"a", "é".encode())), 2, "id\n"), id="gzip"),
        pytest.param(
            compressed(gzip.compress(entries_of(b"a")) + gzip.compress(entries_of("é".encode())), 2, "id\n"),
            id="gzip-members",
        ),
    ],
)
def test_server_takes_chunks(start_fluent_server, message):
    """The foreign server reads our packed chunks, also compressed, and echoes the id byte for byte (S30)."""
    server = start_fluent_server()
    with Client(server.port) as client:
        client.send(message)
        assert client.reply() == {"ack": "id\n"}
    assert server.events(2) == [event("a"), event("é")]


def test_server_takes_cut_chunks(start_fluent_server):
    """Several chunks in one write and one chunk in many are the same to it (S05, S29)."""
    server = start_fluent_server()
    chunks = [packed_forward("app", b"%d" % number, chunk=str(number)) for number in range(3)]
    with Client(server.port) as client:
        client.send(b"".join(chunks))
        for at in range(0, len(chunks[0]), 3):
            client.send(chunks[0][at : at + 3])
        assert [client.reply()["ack"] for _ in range(4)] == ["0", "1", "2", "0"]
    assert server.events(4) == [event("0"), event("1"), event("2"), event("0")]


def test_server_takes_integer_times(start_fluent_server):
    """Integer seconds are taken where EventTime is (S35)."""
    server = start_fluent_server()
    with Client(server.port) as client:
        client.send(msgpack.packb(["app", msgpack.packb([7, {"message": "x"}]), {"chunk": "id"}]))
        assert client.reply() == {"ack": "id"}
    assert server.events(1) == [event("x", 7)]


def test_handshake_with_server(start_fluent_server):
    """Our digests open its door; a wrong key or password does not (S26)."""
    server = start_fluent_server(SECURITY)
    with Client(server.port) as client:
        assert client.shake_hands("secret", user="alice", password="wonder")[:4] == [
            "PONG",
            True,
            "",
            "node.example",
        ]
        client.send(packed_forward("app", b"a", chunk="id"))
        assert client.reply() == {"ack": "id"}
    for key, password in ("wrong", "wonder"), ("secret", "wrong"):
        with Client(server.port) as client:
            assert client.shake_hands(key, user="alice", password=password)[1] is False
    assert server.events(1) == [event("a")]


@pytest.mark.parametrize("mode", Mode, ids=lambda mode: mode.value)
def test_client_in_every_mode(mode):
    """The foreign client's chunks of every mode are read, and it is content with our acks."""
    records = [{"message": "a"}, {"message": "é", "n": [1, None, {"k": 0.5}]}]
    with ScriptedServer() as server:
        options = {"eventMode": mode.value, "ack": {}, "socket": {"host": "127.0.0.1", "port": server.port}}
        with fluent_client("app", records, **options) as client:
            assert client.wait(20) == 0, client.stderr.read()

        assert [one.record for arrived in server.chunks for one in arrived.events] == records
        assert {(arrived.tag, arrived.chunk.mode) for arrived in server.chunks} == {("app", mode)}
        assert {one.time for arrived in server.chunks for one in arrived.events} == {EventTime(*TIME)}
        assert server.errors == []


def test_handshake_with_client():
    """The foreign client accepts our HELO and PONG, and we its PING."""
    security = ServerSecurity("secret", "server.example", {"alice": "wonder"})
    with ScriptedServer(security=security) as server:
        auth = {
            "clientHostname": "node.example",
            "sharedKey": "secret",
            "username": "alice",
            "password": "wonder",
        }
        options = {"security": auth, "ack": {}, "socket": {"host": "127.0.0.1", "port": server.port}}
        with fluent_client("app", [{"message": "a"}], **options) as client:
            assert client.wait(20) == 0, client.stderr.read()

        assert server.lines() == [b"a"]
        assert server.connections[0].session.client_hostname == "node.example"


def test_client_with_the_wrong_key():
    """The foreign client hears from us that its key is wrong (S26)."""
    with ScriptedServer(security=ServerSecurity("secret", "server.example")) as server:
        options = {
            "security": {"clientHostname": "node.example", "sharedKey": "wrong"},
            "socket": {"host": "127.0.0.1", "port": server.port},
        }
        with fluent_client("app", [{"message": "a"}], **options):
            eventually(lambda: server.errors, timeout=20)

    assert "refused: it holds another shared_key (it calls itself 'node.example')" in server.errors[0]
    assert server.lines() == []
