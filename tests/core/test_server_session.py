"""The server's half of a connection: handshake, acks, and whatever a peer may send."""

from __future__ import annotations

import gzip
import json

import msgpack
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fluentlite.core.decode import Reading
from fluentlite.core.handshake import password_digest, shared_key_digest
from fluentlite.core.messages import MAX_MESSAGE_BYTES
from fluentlite.core.server_session import MAX_PING_BYTES, ServerSecurity, ServerSession, State
from fluentlite.errors import AuthenticationError, LocalProtocolError, RemoteProtocolError

KEY_ONLY = ServerSecurity("secret", "server.example")
WITH_USERS = ServerSecurity("secret", "server.example", {"alice": "wonder"})
ENTRIES = msgpack.packb([1, {"message": "x"}])
CHUNK = msgpack.packb(["app", ENTRIES, {"size": 1, "chunk": "id"}])


def new_session(security=None):
    return ServerSession(security=security, nonce=b"n" * 16, auth=b"a" * 16)


def feed(session, *pieces):
    """Feed, acknowledge everything, and return (chunks, output)."""
    chunks = []
    for piece in pieces:
        session.receive_data(piece)
        while chunk := session.next_chunk():
            session.acknowledge(chunk)
            chunks.append(chunk)
    return chunks, session.take_output()


def ping(
    security=KEY_ONLY, *, key="secret", user="", password="", hostname="client.example", nonce=b"n" * 16
):
    auth = b"a" * 16 if security.users else b""
    digest = shared_key_digest(b"salt", hostname, nonce, key)
    return ["PING", hostname, b"salt", digest, user, password_digest(auth, user, password) if auth else ""]


@pytest.mark.parametrize("ident", ["id", "", "Zg2W==\n", b"\x00\xff", "caf\udce9", "x" * 300], ids=repr)
def test_ack_echoes_the_id(ident):
    """An id comes back byte for byte and of the same type (S04)."""
    packed = msgpack.packb(ident, unicode_errors="surrogateescape")
    data = b"\x93\xa3app\xa0\x81\xa5chunk" + packed
    _, output = feed(new_session(), data)

    assert output == b"\x81\xa3ack" + packed


def test_acks_come_only_when_asked_for_and_given():
    """No ack without an id, and none before the chunk was acknowledged."""
    session = new_session()
    _, output = feed(
        session, msgpack.packb(["app", ENTRIES]), msgpack.packb(["app", 1, {}]), msgpack.packb(None)
    )
    assert output == b""

    session.receive_data(CHUNK * 2)
    first, second = session.next_chunk(), session.next_chunk()
    assert (session.take_output(), session.next_chunk()) == (b"", None)
    session.acknowledge(second)
    session.acknowledge(first)
    assert session.take_output() == msgpack.packb({"ack": "id"}) * 2


def test_json():
    """Who begins with JSON gets acks in JSON, with the id's own bytes (S04)."""
    data = json.dumps(["app", [[1, {"message": "é"}]], {"chunk": "a\n"}], ensure_ascii=False).encode()
    chunks, output = feed(new_session(), data + b'\n["app",2,{"message":"x"},{"chunk":"\xe9\xff"}]')

    assert [event.record["message"] for chunk in chunks for event in chunk.events] == ["é", "x"]
    assert output == b'{"ack":"a\\n"}{"ack":"\xe9\xff"}'


def test_handshake_with_key():
    """After a right PING comes a PONG that proves the key to the client, then chunks; auth is empty without users."""
    session = new_session(KEY_ONLY)
    assert msgpack.unpackb(session.take_output()) == [
        "HELO",
        {"nonce": b"n" * 16, "auth": b"", "keepalive": True},
    ]
    chunks, output = feed(session, msgpack.packb(None) + msgpack.packb(ping()) + CHUNK)

    unpacker = msgpack.Unpacker()
    unpacker.feed(output)
    digest = shared_key_digest(b"salt", "server.example", b"n" * 16, "secret")
    assert list(unpacker) == [["PONG", True, "", "server.example", digest], {"ack": "id"}]
    assert (session.client_hostname, len(chunks)) == ("client.example", 1)


def test_handshake_in_json():
    """A client that speaks JSON may shake hands in JSON."""
    message = ping()
    message[2] = "salt"
    session = new_session(KEY_ONLY)
    session.take_output()
    _, output = feed(session, json.dumps(message).encode())

    assert json.loads(output)[:4] == ["PONG", True, "", "server.example"]


@pytest.mark.parametrize(
    ("security", "message", "answer", "reason"),
    [
        pytest.param(KEY_ONLY, ping(key="other"), "shared_key mismatch", "another shared_key", id="key"),
        pytest.param(KEY_ONLY, ping(nonce=b"m" * 16), "shared_key mismatch", "another shared_key", id="replayed"),
        pytest.param(KEY_ONLY, [*ping()[:3], "é" * 128, "", ""], "shared_key mismatch", "another", id="no-digest"),
        pytest.param(WITH_USERS, ping(WITH_USERS, user="alice", password="x"), "username/password mismatch", "password", id="password"),
        pytest.param(WITH_USERS, ping(WITH_USERS, user="bob", password=""), "username/password mismatch", "password", id="user"),
        pytest.param(WITH_USERS, ping(KEY_ONLY), "username/password mismatch", "password", id="no-user"),
        pytest.param(KEY_ONLY, ["app", ENTRIES, {}], "invalid ping message", "no shared_key", id="chunk"),
        pytest.param(KEY_ONLY, 7, "invalid ping message", "an integer instead of a PING", id="integer"),
        pytest.param(KEY_ONLY, ["PONG", *ping()[1:]], "invalid ping message", "instead of a PING", id="pong"),
        pytest.param(KEY_ONLY, [*ping()[:5], None], "invalid ping message", "no string", id="types"),
    ],
)  # fmt: skip
def test_refusals(security, message, answer, reason):
    """A wrong PING gets a PONG that says no, in Fluentd's words, and nothing after it is read (S26, S27)."""
    session = new_session(security)
    session.take_output()
    session.receive_data(msgpack.packb(message) + CHUNK)
    with pytest.raises(AuthenticationError, match=reason):
        session.next_chunk()

    assert msgpack.unpackb(session.take_output()) == ["PONG", False, answer, "", ""]
    assert session.state is State.BROKEN
    for use in session.next_chunk, lambda: session.receive_data(CHUNK):
        with pytest.raises(LocalProtocolError):
            use()


def test_right_user():
    """Key and password together open the session."""
    session = new_session(WITH_USERS)
    session.take_output()
    feed(session, msgpack.packb(ping(WITH_USERS, user="alice", password="wonder")))

    assert session.state is State.OPEN


def test_secrets_are_not_shown():
    """Neither key nor passwords are in what a log may print."""
    assert "secret" not in repr(WITH_USERS)
    assert "wonder" not in repr(WITH_USERS)


def test_memory_before_the_handshake():
    """Who has not shaken hands gets little memory; who has gets that of a message."""
    session = new_session(KEY_ONLY)
    begin = b"\x93\xa3app\xc6\x08\x00\x00\x00"
    session.receive_data(begin + bytes(MAX_PING_BYTES))
    with pytest.raises(RemoteProtocolError, match=f"more than {MAX_PING_BYTES} bytes"):
        session.next_chunk()

    session = new_session(KEY_ONLY)
    feed(session, msgpack.packb(ping()), begin + bytes(MAX_PING_BYTES))
    session.receive_data(bytes(MAX_MESSAGE_BYTES))
    with pytest.raises(RemoteProtocolError, match=f"more than {MAX_MESSAGE_BYTES} bytes"):
        session.next_chunk()


def test_end_of_file():
    """An end between two messages is one, and an end inside one says how much was there (S11)."""
    session = new_session()
    feed(session, CHUNK)
    session.receive_data(b"")
    assert session.state is State.ENDED

    for security, data, reason in (
        (None, CHUNK + CHUNK[:5], "middle of a message, 5 bytes"),
        (None, b'["app"', "middle of a message, 6 bytes"),
        (KEY_ONLY, b"", "before its PING"),
        (KEY_ONLY, CHUNK[:5], "before its PING"),
    ):
        session = new_session(security)
        if data:
            feed(session, data)
        with pytest.raises(RemoteProtocolError, match=reason):
            session.receive_data(b"")


def test_what_came_before_an_error_counts():
    """Whole chunks before the bad bytes are delivered, acknowledged and not lost."""
    session = new_session()
    session.receive_data(CHUNK + b"\xc1" + CHUNK)
    session.acknowledge(session.next_chunk())
    with pytest.raises(RemoteProtocolError, match="msgpack"):
        session.next_chunk()
    assert session.take_output() == msgpack.packb({"ack": "id"})


def test_randomness_must_be_given():
    """A handshake without a nonce, or with users but without a salt, would be a hole."""
    for security, nonce, auth in (KEY_ONLY, b"", b"a"), (WITH_USERS, b"n", b""):
        with pytest.raises(LocalProtocolError):
            ServerSession(security=security, nonce=nonce, auth=auth)


def survive(data, step, security, reading):
    """Whatever the bytes, the only exception is RemoteProtocolError."""
    session = ServerSession(reading, security, nonce=b"n" * 16, auth=b"a" * 16)
    try:
        for at in range(0, len(data), step):
            feed(session, data[at : at + step])
        session.receive_data(b"")
    except RemoteProtocolError as exc:
        assert session.state is State.BROKEN
        assert str(exc)
    else:
        assert session.state is State.ENDED


SEEDS = [
    CHUNK,
    msgpack.packb(ping()),
    msgpack.packb(["app", [[1, {"message": "x"}]], {"size": 1}]),
    msgpack.packb(["app", msgpack.ExtType(0, bytes(8)), {"message": b"\xff"}]),
    msgpack.packb(["app", gzip.compress(ENTRIES), {"compressed": "gzip"}]),
    b'["app",[[1,{"message":"\\u00e9\\\\"}]],{"chunk":"x"}]',
    msgpack.packb(None),
]

security = st.sampled_from([None, KEY_ONLY, WITH_USERS])
reading = st.sampled_from(Reading)


@given(st.binary(max_size=200), st.integers(1, 50), security, reading)
@example(b"\x91" * 3000, 50, None, Reading.DECODE)
@example(b"\x93\xa0" + msgpack.packb(b"\xdd\x00\x0f\xff\xff" * 3000), 50, None, Reading.DECODE)
@example(b'["\\ud800","\\ud800","","","",""]', 50, KEY_ONLY, Reading.DECODE)
def test_any_bytes(data, step, security, reading):
    """Random bytes raise RemoteProtocolError or nothing."""
    survive(data, step, security, reading)


@settings(max_examples=400)
@given(st.data(), st.integers(1, 50), security, reading)
def test_damaged_messages(data, step, security, reading):
    """Messages with some bytes replaced, left out, doubled or cut off raise RemoteProtocolError or nothing."""
    stream = bytearray(b"".join(data.draw(st.lists(st.sampled_from(SEEDS), min_size=1, max_size=4))))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(stream)))
        stream[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    survive(bytes(stream), step, security, reading)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=9) | st.binary(max_size=9)
    | st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=9)) | st.sampled_from(["chunk", "size", "PING"]),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=5) | st.sampled_from(["size", "chunk"]), inner),
    max_leaves=15,
)  # fmt: skip


@given(st.lists(values, max_size=6), security, reading)
def test_any_values(message, security, reading):
    """Well-formed msgpack of any shape raises RemoteProtocolError or nothing."""
    survive(msgpack.packb(message), 100, security, reading)
