"""Our server's half, fed with what real clients sent to real servers, byte for byte."""

from __future__ import annotations

import msgpack
import pytest
import recorded

from fluentlite.core.decode import Mode
from fluentlite.core.messages import EventTime
from fluentlite.core.printing import field_values
from fluentlite.core.server_session import ServerSecurity, ServerSession
from fluentlite.errors import AuthenticationError

LINES = [b"hello", b"", b"x" * 40, b"caf\xc3\xa9 \xff", b"y" * 300]
REFUSED = "fluentd-handshake-wrong-key"
MODES = {
    "fluentbit-handshake-user-auth": Mode.FORWARD,
    "fluentd-compressedpackedforward-ack": Mode.COMPRESSED_PACKED_FORWARD,
    "fluentd-handshake-user-auth": Mode.PACKED_FORWARD,
    "fluentd-integer-time-ack": Mode.PACKED_FORWARD,
    "fluentd-packedforward-ack": Mode.PACKED_FORWARD,
}


def session_for(conversation):
    """A session that has the nonce, the salt and the secrets of the server that was recorded."""
    if "handshake" not in conversation.name:
        return ServerSession()
    helo = conversation.message(0)[1]
    users = {recorded.USERNAME: recorded.PASSWORDS.get(conversation.name, "wonder land")}
    security = ServerSecurity(recorded.SHARED_KEY, recorded.SERVER_HOSTNAME, users)
    return ServerSession(security=security, nonce=helo[b"nonce"], auth=helo[b"auth"])


def converse(conversation, pieces):
    """Feed *pieces* and acknowledge all; return the session, everything it sent, and the chunks."""
    session, chunks = session_for(conversation), []
    output = session.take_output()
    for piece in pieces:
        session.receive_data(piece)
        while chunk := session.next_chunk():
            chunks.append(chunk)
            session.acknowledge(chunk)
        output += session.take_output()
    return session, output, chunks


def every_way_to_cut(data):
    yield [data]
    yield [data[i : i + 1] for i in range(len(data))]
    for at in range(1, len(data)):
        yield [data[:at], data[at:]]


@pytest.mark.parametrize("name", sorted(MODES))
def test_answers_byte_for_byte(name):
    """PONG and acks are those that the real server sent, wherever the client's bytes are cut (S05)."""
    conversation = recorded.load(name)
    helo = session_for(conversation).take_output()
    expected = b"".join(data for who, data in conversation.turns[bool(helo) :] if who == "server")
    for pieces in every_way_to_cut(conversation.sent_by("client")):
        _, output, _ = converse(conversation, pieces)

        assert output == helo + expected


@pytest.mark.parametrize("name", sorted(MODES))
def test_events(name):
    """The five recorded lines come out with their bytes unchanged, whichever mode they came in (T30)."""
    conversation = recorded.load(name)
    for pieces in every_way_to_cut(conversation.sent_by("client")):
        _, _, [chunk] = converse(conversation, pieces)

        assert (chunk.tag, chunk.mode, chunk.count) == ("app.web", MODES[name], 5)
        assert field_values(chunk.events, "message") == LINES
        assert chunk.size == len(conversation.turns[-2][1])


def test_times():
    """EventTime has its nanoseconds, an integer stays one, and Fluent Bit's metadata does not disturb (S35)."""
    times = {}
    for name in MODES:
        _, _, [chunk] = converse(recorded.load(name), [recorded.load(name).sent_by("client")])
        times[name] = chunk.events[0].time

    assert times["fluentd-packedforward-ack"] == EventTime(1795336638, 398384333)
    assert times["fluentd-integer-time-ack"] == 1795336655
    assert times["fluentbit-handshake-user-auth"] == EventTime(1795336706, 816710501)


def test_helo():
    """HELO is Fluentd's to the byte, and to Fluent Bit's differs only in how nonce and auth are typed."""
    for name in recorded.PASSWORDS:
        conversation = recorded.load(name)
        helo = session_for(conversation).take_output()

        assert name.startswith("fluentbit") or helo == conversation.turns[0][1]
        theirs, ours = conversation.message(0), msgpack.unpackb(helo, raw=True)
        assert {**ours[1], **theirs[1]} == ours[1]


def test_names_of_the_handshake():
    """After the handshake the session knows what the client calls itself."""
    conversation = recorded.load("fluentd-handshake-user-auth")
    session, _, _ = converse(conversation, [conversation.sent_by("client")])

    assert session.client_hostname == recorded.CLIENT_HOSTNAME


def test_wrong_key():
    """A client with another key gets exactly Fluentd's refusal, and no session (S26)."""
    conversation = recorded.load(REFUSED)
    for pieces in every_way_to_cut(conversation.sent_by("client")):
        session = session_for(conversation)
        output = session.take_output()
        with pytest.raises(AuthenticationError, match=r"another shared_key .*web1\.example"):
            for piece in pieces:
                session.receive_data(piece)
                assert session.next_chunk() is None
        output += session.take_output()

        assert output == conversation.sent_by("server")


@pytest.mark.parametrize("name", sorted(recorded.PASSWORDS))
def test_wrong_password(name):
    """The right key with another password is refused as well."""
    conversation = recorded.load(name)
    helo = conversation.message(0)[1]
    security = ServerSecurity(
        recorded.SHARED_KEY, recorded.SERVER_HOSTNAME, {recorded.USERNAME: "looking glass"}
    )
    session = ServerSession(security=security, nonce=helo[b"nonce"], auth=helo[b"auth"])
    session.take_output()
    session.receive_data(conversation.sent_by("client"))

    with pytest.raises(AuthenticationError, match="password"):
        session.next_chunk()
    assert msgpack.unpackb(session.take_output()) == ["PONG", False, "username/password mismatch", "", ""]


def test_all_recordings_are_used():
    """A recording that no test reads would say nothing."""
    assert sorted([*MODES, REFUSED]) == recorded.NAMES
