"""Our side of a connection: bytes in, acks out, and nothing but RemoteProtocolError whatever the bytes are."""

from __future__ import annotations

import json
import math
import time
import tracemalloc

import msgpack
import pytest
import recorded
from hypothesis import given
from hypothesis import strategies as st

from fluentlite.core.handshake import password_digest, shared_key_digest
from fluentlite.core.session import MAX_RESPONSE, Credentials, ForwardSession, State
from fluentlite.errors import AuthenticationError, LocalProtocolError, RemoteProtocolError

CREDENTIALS = Credentials("secret", "client.example", "alice", "wonder", "salt")
WITH_TEXT_SALT = ["fluentd-handshake-user-auth"]
"""Recorded handshakes whose client chose a salt as ours does; Fluent Bit's are 16 bytes of any kind."""
A, B, C = "AAAAAAAAAAAAAAAAAAAAAA==", "BBBBBBBBBBBBBBBBBBBBBB==", "CCCCCCCCCCCCCCCCCCCCCC=="


def waiting_for_acks(*ids, ack_timeout=60.0, as_json=False):
    """A session on which chunks with *ids* were sent at 100.0, 101.0, ..."""
    session = ForwardSession(ack_timeout, as_json=as_json)
    for index, ident in enumerate(ids):
        session.expect_ack(ident)
        session.chunk_sent(ident, 100.0 + index)
    return session


def packed(*messages):
    return b"".join(map(msgpack.packb, messages))


def acks(*ids):
    return packed(*({"ack": ident} for ident in ids))


def feed(session, *pieces):
    """Feed *pieces*; everything that was acknowledged, in order."""
    for piece in filter(None, pieces):
        session.receive_data(piece)
    return session.take_acked()


def every_cut(data):
    """*data* whole, in two for each offset, and byte by byte."""
    yield [data]
    yield from ([data[:cut], data[cut:]] for cut in range(1, len(data)))
    yield [data[i : i + 1] for i in range(len(data))]


# -- acks ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(acks(A), [A], id="one"),
        pytest.param(acks(A, B), [A, B], id="joined"),
        pytest.param(acks(C, A, B), [C, A, B], id="any-order"),
        pytest.param(packed({b"ack": A.encode()}), [A], id="keys-and-values-as-bin"),
        pytest.param(packed({"server": "x", "ack": B}), [B], id="with-other-keys"),
    ],
)
def test_acks_do_not_depend_on_where_reads_cut(data, expected):
    """The same acks come out for every way to cut the bytes, in the order in which they came (S05)."""
    for pieces in every_cut(data):
        session = waiting_for_acks(A, B, C)

        assert expected == feed(session, *pieces)
        assert set(session.unacked) == {A, B, C} - set(expected)


@pytest.mark.parametrize(
    "response",
    [
        pytest.param({"ack": "of another client"}, id="unknown"),
        pytest.param({"ack": A + "\n"}, id="newline-behind-it"),
        pytest.param({"ack": A.lower()}, id="other-case"),
        pytest.param({"ack": ""}, id="empty"),
        pytest.param({"ack": None}, id="nil"),
        pytest.param({"ack": 7}, id="number"),
        pytest.param({"ack": [A]}, id="array"),
        pytest.param({"ack": b"\xff\xfe"}, id="not-ascii"),
        pytest.param({}, id="empty-map"),
        pytest.param({"nack": A}, id="other-key"),
        pytest.param({1: 2, "x": {}}, id="other-map"),
        pytest.param([A], id="array-of-id"),
        pytest.param(["PONG", True, "", "", ""], id="pong"),
        pytest.param(A, id="id-alone"),
        pytest.param(None, id="nil-alone"),
        pytest.param(0, id="zero"),
        pytest.param(msgpack.ExtType(0, b"12345678"), id="event-time"),
    ],
)
def test_what_is_no_ack_that_we_wait_for(response):
    """An ack counts only if its id is that of a chunk in flight, byte for byte; all else breaks the session (S04)."""
    for pieces in every_cut(packed(response)):
        session = waiting_for_acks(A)

        with pytest.raises(RemoteProtocolError, match="not an ack that we wait for"):
            feed(session, *pieces)
        assert session.state is State.BROKEN
        assert A in session.unacked


def test_an_ack_counts_once():
    """The second ack of a chunk is an ack that nobody waits for (S04)."""
    session = waiting_for_acks(A, B)
    assert feed(session, acks(A)) == [A]

    with pytest.raises(RemoteProtocolError, match="not an ack"):
        session.receive_data(acks(A))
    assert session.take_acked() == []


@pytest.mark.parametrize(
    "surprise", [acks(A), acks("other"), packed(7), b"\xc1"], ids=["again", "unknown", "7", "garbage"]
)
def test_acks_before_a_surprise_count(surprise):
    """What was acknowledged before the session broke is delivered, in whatever reads it came (S04)."""
    for pieces in every_cut(acks(A, B) + surprise):
        session = waiting_for_acks(A, B, C)
        with pytest.raises(RemoteProtocolError):
            feed(session, *pieces)
        assert session.take_acked() == [A, B]
        assert session.take_acked() == []


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\xc1", id="reserved-byte"),
        pytest.param(b"\xdb\xff\xff\xff\xff" + b"x" * (MAX_RESPONSE + 1), id="str-of-4-GiB"),
        pytest.param(b"\xdd\xff\xff\xff\xff", id="array-of-4-G"),
        pytest.param(b"\x81" + b"\x91" * 20000, id="deeply-nested"),
        pytest.param(b"\x81\x80\x01", id="map-as-key"),
        pytest.param(b"\x81\x91\xc0\x01", id="array-as-key"),
        pytest.param(b"\xdc\x00\x11" + b"\xc0" * 17, id="array-of-17"),
        pytest.param(b"\xde\x00\x11", id="map-of-17"),
        pytest.param(b"\xd7\xff\xff\xff\xff\xff\xff\xff\xff\xff", id="timestamp-of-too-many-nanoseconds"),
        pytest.param(b"\xc7\x05\xfe12345", id="ext-of-a-reserved-type"),
        pytest.param(b"\xc7\x05\xff12345", id="timestamp-of-5-bytes"),
        pytest.param(b"\xdb\x00\x02\x00\x00" + b"x" * 2 * MAX_RESPONSE, id="longer-than-any-response"),
    ],
)
def test_what_is_no_msgpack(data):
    """Bytes that cannot be a response break the session at once; nothing is collected without end."""
    session = waiting_for_acks(A)
    with pytest.raises(RemoteProtocolError, match="no Forward response"):
        feed(session, *(data[i : i + 4096] for i in range(0, len(data), 4096)))
    assert session.state is State.BROKEN


@pytest.mark.parametrize("cut", range(len(acks(A))))
def test_end_of_file(cut):
    """The end of the connection is not an ack, neither alone nor behind a part of one (S02)."""
    session = waiting_for_acks(A)
    assert feed(session, acks(A)[:cut]) == []

    with pytest.raises(RemoteProtocolError, match="closed the connection") as raised:
        session.receive_data(b"")
    assert not isinstance(raised.value, AuthenticationError)
    assert session.state is State.BROKEN


def test_a_server_with_a_shared_key_is_recognised():
    """HELO where no key is configured says which setting is missing (S27)."""
    session = waiting_for_acks(A)
    with pytest.raises(AuthenticationError, match=r"HELO.*\[forward.security\]"):
        session.receive_data(packed(["HELO", {"nonce": b"n", "auth": b"", "keepalive": True}]))


# -- deadlines ----------------------------------------------------------------------------------------


def test_the_time_for_an_ack_begins_when_the_chunk_has_left():
    """A chunk that is still being written is not overdue, however long that takes."""
    session = ForwardSession(60.0)
    session.expect_ack(A)
    assert session.deadline == math.inf
    session.check_deadline(1e9)

    session.chunk_sent(A, 100.0)
    assert session.deadline == 160.0


def test_the_oldest_chunk_is_due_first():
    """The deadline is that of the oldest chunk without ack; an ack lifts it, in whatever order acks come (S03)."""
    session = waiting_for_acks(A, B, C)
    assert session.deadline == 160.0
    feed(session, acks(B))
    assert session.deadline == 160.0
    feed(session, acks(A))
    assert session.deadline == 162.0
    feed(session, acks(C))
    assert session.deadline == math.inf


def test_an_overdue_ack_breaks_the_session():
    """At its deadline a chunk is overdue: the session is broken, and takes no chunk any more (S03, S04)."""
    session = waiting_for_acks(A)
    session.check_deadline(159.9)
    with pytest.raises(RemoteProtocolError, match="no ack within 60 s"):
        session.check_deadline(160.0)

    with pytest.raises(LocalProtocolError, match="BROKEN"):
        session.expect_ack(B)


def test_an_ack_may_come_before_the_caller_says_that_the_chunk_was_sent():
    """A chunk that was acknowledged is not waited for again when its last byte is reported."""
    session = ForwardSession(60.0)
    session.expect_ack(A)
    assert feed(session, acks(A)) == [A]
    session.chunk_sent(A, 100.0)
    assert session.deadline == math.inf


# -- handshake ----------------------------------------------------------------------------------------


def recorded_client(name):
    """A session with the salt and the secrets of a recorded client, and the conversation."""
    conversation = recorded.load(name)
    salt = conversation.message(1)[2].decode()
    key = "wrong" if "wrong" in name else recorded.SHARED_KEY
    password = recorded.PASSWORDS.get(name, "")
    credentials = Credentials(key, recorded.CLIENT_HOSTNAME, recorded.USERNAME, password, salt)
    return ForwardSession(60.0, credentials), conversation


def ping_of(session):
    return msgpack.unpackb(session.take_output(), raw=True)


@pytest.mark.parametrize("name", WITH_TEXT_SALT)
def test_recorded_handshakes(name):
    """
    With the salt of a recorded client we send its PING, field for field, and accept the PONG that it got,
    wherever reads cut; then chunks can go.
    """
    _, conversation = recorded_client(name)
    helo, pong = conversation.turns[0][1], conversation.turns[2][1]
    for helo_pieces, pong_pieces in zip(every_cut(helo), every_cut(pong[: len(helo)]), strict=True):
        session, _ = recorded_client(name)
        assert session.state is State.WAIT_HELO
        assert feed(session, *helo_pieces) == []
        assert ping_of(session) == conversation.message(1)
        assert session.take_output() == b""

        assert feed(session, *pong_pieces, pong[len(helo) :]) == []
        assert session.state is State.OPEN
        session.expect_ack(A)


@pytest.mark.parametrize("name", WITH_TEXT_SALT)
def test_recorded_ack_after_the_handshake(name):
    """The recorded server's ack, in the same read as its PONG or in another one, is that of the client's chunk."""
    _, conversation = recorded_client(name)
    chunk_id = conversation.message(3)[2][b"chunk"].decode()
    data = conversation.turns[4][1]
    for pieces in every_cut(data):
        session, _ = recorded_client(name)
        feed(session, conversation.turns[0][1], conversation.turns[2][1])
        session.expect_ack(chunk_id)

        assert feed(session, *pieces) == [chunk_id]


def test_recorded_wrong_key():
    """A recorded refusal is an authentication error that repeats the server's reason and says what to compare (S26)."""
    session, conversation = recorded_client("fluentd-handshake-wrong-key")
    feed(session, conversation.turns[0][1])
    assert ping_of(session)[3] == conversation.message(1)[3]

    with pytest.raises(AuthenticationError, match=r"shared_key mismatch.*compare shared_key"):
        feed(session, conversation.turns[2][1])
    assert session.state is State.BROKEN


def helo(auth=b"auth", nonce=b"nonce", **others):
    return packed(["HELO", {"nonce": nonce, "auth": auth, "keepalive": True, **others}])


def pong(hostname="server.example", key="secret", salt=b"salt", nonce=b"nonce"):
    return packed(["PONG", True, "", hostname, shared_key_digest(salt, hostname, nonce, key)])


def greeted(credentials=CREDENTIALS, data=None):
    """A session that has answered HELO."""
    session = ForwardSession(60.0, credentials)
    feed(session, helo() if data is None else data)
    return session


def test_ping_without_a_user():
    """A server that asks for no user gets none, whatever is configured."""
    session = greeted(data=helo(auth=b""))
    _, hostname, salt, digest, *user = ping_of(session)

    assert (hostname, salt, user) == (b"client.example", b"salt", [b"", b""])
    assert digest.decode() == shared_key_digest(b"salt", "client.example", b"nonce", "secret")


def test_ping_with_a_user():
    """A server that sends a salt for passwords gets the user and a digest of the password."""
    assert ping_of(greeted())[4:] == [b"alice", password_digest(b"auth", "alice", "wonder").encode()]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(packed(["HELO", {b"nonce": b"nonce"}]), id="no-auth"),
        pytest.param(packed(["HELO", {"nonce": "nonce", "auth": ""}]), id="nonce-as-str"),
        pytest.param(helo(auth=b"", more={"x": [1]}), id="more-options"),
    ],
)
def test_forms_of_helo(data):
    """A HELO may lack auth, send its nonce as str, and have options that we do not know."""
    session = greeted(data=data)
    assert ping_of(session)[3].decode() == shared_key_digest(b"salt", "client.example", b"nonce", "secret")
    feed(session, pong())
    assert session.state is State.OPEN


@pytest.mark.parametrize(
    ("data", "kind", "reason"),
    [
        pytest.param(pong(key="guessed"), AuthenticationError, "impostor", id="wrong-key"),
        pytest.param(pong(salt=b"other"), AuthenticationError, "impostor", id="digest-of-another-salt"),
        pytest.param(pong(nonce=b"other"), AuthenticationError, "impostor", id="digest-of-another-nonce"),
        pytest.param(
            packed(["PONG", True, "", "other.example", shared_key_digest(b"salt", "x", b"nonce", "secret")]),
            AuthenticationError, "impostor", id="digest-of-another-name",
        ),
        pytest.param(packed(["PONG", True, "", "server.example", ""]), AuthenticationError, "impostor", id="no-digest"),
        pytest.param(
            packed(["PONG", True, "", "server.example", b"\xff" * 128]), AuthenticationError, "impostor", id="not-ascii"
        ),
        pytest.param(pong("client.example"), AuthenticationError, "our own self_hostname", id="our-own-name"),
        pytest.param(packed(["PONG", False, "no", "", ""]), AuthenticationError, "'no'", id="refused"),
        pytest.param(packed(["PONG", 1, "no", "", ""]), AuthenticationError, "refused", id="1-is-not-true"),
        pytest.param(packed(["PONG", True, "", 7, ""]), AuthenticationError, "malformed", id="name-is-a-number"),
        pytest.param(packed(["PONG", True, "", "x", None]), AuthenticationError, "malformed", id="digest-is-nil"),
        pytest.param(packed(["PONG", True, "", "x"]), RemoteProtocolError, "instead of PONG", id="short"),
        pytest.param(packed(["PONG", True, "", "x", "", ""]), RemoteProtocolError, "instead of PONG", id="long"),
        pytest.param(packed(["PONG!", True, "", "x", ""]), RemoteProtocolError, "instead of PONG", id="other-word"),
        pytest.param(acks(A), RemoteProtocolError, "instead of PONG", id="ack"),
        pytest.param(helo(), RemoteProtocolError, "instead of PONG", id="helo-again"),
        pytest.param(b"\xc1", RemoteProtocolError, "no Forward response", id="garbage"),
        pytest.param(b"", AuthenticationError, "closed.*compare shared_key", id="closed"),
    ],
)  # fmt: skip
def test_bad_answers_to_ping(data, kind, reason):
    """Only a server that proves that it knows the key, under a name that is not ours, gets chunks (S26)."""
    session = greeted()
    with pytest.raises(kind, match=reason) as raised:
        session.receive_data(data)

    assert type(raised.value) is kind
    assert session.state is State.BROKEN
    with pytest.raises(LocalProtocolError):
        session.expect_ack(A)


@pytest.mark.parametrize(
    ("data", "kind", "reason"),
    [
        pytest.param(packed(["HELO"]), RemoteProtocolError, "instead of HELO", id="short"),
        pytest.param(packed(["HELO", []]), RemoteProtocolError, "instead of HELO", id="options-are-no-map"),
        pytest.param(packed(["HELLO", {}]), RemoteProtocolError, "instead of HELO", id="other-word"),
        pytest.param(packed([[], {}]), RemoteProtocolError, "instead of HELO", id="array"),
        pytest.param(
            packed(["HELO", {"nonce": 1}]), RemoteProtocolError, "nonce or auth", id="nonce-is-a-number"
        ),
        pytest.param(
            packed(["HELO", {"auth": []}]), RemoteProtocolError, "nonce or auth", id="auth-is-an-array"
        ),
        pytest.param(acks(A), RemoteProtocolError, "instead of HELO", id="ack"),
        pytest.param(pong(), RemoteProtocolError, "instead of HELO", id="pong"),
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n", RemoteProtocolError, "instead of HELO", id="http"),
        pytest.param(b"", AuthenticationError, "closed.*compare shared_key", id="closed"),
    ],
)
def test_bad_helo(data, kind, reason):
    """A server that does not begin with HELO gets no proof of the key."""
    session = ForwardSession(60.0, CREDENTIALS)
    with pytest.raises(kind, match=reason) as raised:
        session.receive_data(data)

    assert type(raised.value) is kind
    assert (session.state, session.take_output()) == (State.BROKEN, b"")


def test_a_reflected_digest_is_no_proof():
    """A server without the key that sends our own name and digest back is refused (S26)."""
    session = greeted()
    _, name, _, digest, *_ = ping_of(session)
    with pytest.raises(AuthenticationError, match="our own self_hostname"):
        session.receive_data(packed(["PONG", True, "", name, digest]))


def test_no_chunk_before_the_handshake():
    """While the handshake lasts a chunk cannot be sent."""
    for session in (ForwardSession(60.0, CREDENTIALS), greeted()):
        with pytest.raises(LocalProtocolError, match="WAIT_"):
            session.expect_ack(A)


def test_what_a_handshake_waits_for():
    """A time-out in the handshake can say what to look at, for each step (S24, S27)."""
    assert "<security>" in ForwardSession(60.0, CREDENTIALS).waiting_for()
    assert "PING" in greeted().waiting_for()


def test_secrets_are_not_shown():
    """Neither a traceback nor a log can show key, password or salt by accident."""
    assert "client.example" in repr(CREDENTIALS)
    assert not any(secret in repr(CREDENTIALS) for secret in ("'secret'", "wonder", "'salt'"))


def test_what_a_peer_sent_is_shown_short_and_harmless():
    """A message repeats what a peer sent, as ASCII on one line and not for pages."""
    session = waiting_for_acks(A)
    with pytest.raises(RemoteProtocolError) as raised:
        session.receive_data(packed("\x1b[2J\n" + "ö" * 5000))
    assert str(raised.value).isascii()
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 200


def test_arrays_that_promise_much_cost_nothing():
    """Arrays in each other that promise 64 K elements each, 5 KiB on the wire, get no memory for them."""
    session = waiting_for_acks(A)
    tracemalloc.start()
    try:
        with pytest.raises(RemoteProtocolError, match="no Forward response"):
            session.receive_data(b"\xdd\x00\x00\xff\xff" * 1000)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_deep_response_is_told_in_words():
    """Of what is nested too deeply to be shown, only that is shown."""
    with pytest.raises(
        RemoteProtocolError, match="sent something that is nested deeply, which is not an ack"
    ):
        waiting_for_acks(A).receive_data(b"\x91" * 1000 + b"\xc0")


@pytest.mark.parametrize("as_json", [False, True], ids=["msgpack", "json"])
def test_a_response_that_drips_in_is_looked_at_once(as_json):
    """A server that sends a byte at a time costs what its bytes cost, not their square."""
    begin, filling = (b'{"ack":"', b"\\\\") if as_json else (b"\x81\xa3ack\xdb\x00\x00\xf0\x00", b"x")

    def seconds(size):
        session = waiting_for_acks(A, as_json=as_json)
        session.receive_data(begin)
        began = time.process_time()
        for _ in range(size):
            session.receive_data(filling)
        return time.process_time() - began

    few, many = (min(seconds(size) for _ in range(3)) for size in (3000, 24000))
    assert many < 3 * 8 * few, "eight times as many bytes"


# -- JSON ---------------------------------------------------------------------------------------------


def json_acks(*ids, between=""):
    return between.join(json.dumps({"ack": ident}) for ident in ids).encode()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(json_acks(A), [A], id="one"),
        pytest.param(json_acks(B, A), [B, A], id="joined"),
        pytest.param(json_acks(A, B, C, between="\n") + b"\n", [A, B, C], id="newlines"),
        pytest.param(b'  {"a":"}{\\"","ack":"' + A.encode() + b'"} ', [A], id="braces-in-strings"),
    ],
)
def test_json_acks_do_not_depend_on_where_reads_cut(data, expected):
    """Acks as JSON texts one after another, with or without whitespace between them (S05)."""
    for pieces in every_cut(data):
        assert expected == feed(waiting_for_acks(A, B, C, as_json=True), *pieces)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(json_acks("other"), "not an ack", id="unknown"),
        pytest.param(b'{"ack":null}', "not an ack", id="null"),
        pytest.param(b"{}", "not an ack", id="empty"),
        pytest.param(b"[1]", "not an ack", id="array"),
        pytest.param(b"1", "no Forward response", id="number"),
        pytest.param(b"NUL\0", "no Forward response", id="nul"),
        pytest.param(b'{"ack":1e999}', "not an ack", id="more-than-any-number"),
        pytest.param(b'{"ack":NaN}', "no Forward response", id="nan"),
        pytest.param(b'{"ack":"\\ud800"}', "not an ack", id="half-a-character"),
        pytest.param(f'{{"ack":"{A}","ack":"x"}}'.encode(), "not an ack", id="twice-the-last-one-counts"),
        pytest.param(b"\x81\xa3ack", "no Forward response", id="msgpack"),
        pytest.param(b'{"ack":' + b"9" * 5000 + b"}", "no Forward response", id="very-long-number"),
        pytest.param(b'{"ack":' + b"[" * 50000, "no Forward response", id="deeply-nested"),
        pytest.param(
            b'{"ack":"' + b"x" * MAX_RESPONSE,
            "a message of more than 65536 bytes",
            id="longer-than-any-response",
        ),
        pytest.param(b" \n" * MAX_RESPONSE, "65536 bytes without a response", id="blanks-without-end"),
    ],
)
def test_what_is_no_json_ack(data, reason):
    """The same rules for JSON: an id in flight, nothing else, nothing without end (S04)."""
    session = waiting_for_acks(A, as_json=True)
    with pytest.raises(RemoteProtocolError, match=reason):
        feed(session, *(data[i : i + 4096] for i in range(0, len(data), 4096)))
    assert session.state is State.BROKEN


def test_json_acks_before_a_flood_count():
    """What was acknowledged before more than anybody sends is delivered (S04)."""
    for flood in (b" " * 2 * MAX_RESPONSE, b'{"x":"' + b"x" * MAX_RESPONSE):
        session = waiting_for_acks(A, B, C, as_json=True)
        with pytest.raises(RemoteProtocolError):
            feed(session, b" {", b'"ack":"' + A.encode() + b'"}' + json_acks(B), flood)
        assert session.take_acked() == [A, B]


# -- whatever arrives ---------------------------------------------------------------------------------

_scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.binary(max_size=40)
_words = st.sampled_from(["HELO", "PING", "PONG", "ack", "nonce", "auth", A, B, "server.example"])
_values = st.recursive(
    _scalars | _words,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(_words | _scalars, inner, max_size=4),
    max_leaves=12,
)
_messages = st.lists(_values, max_size=4).map(lambda values: packed(*values))
_good = st.sampled_from([helo(), pong(), acks(A), acks(B), acks(A, B), json_acks(A), json_acks(B)])
_texts = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | _words,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(_words | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=8,
).map(lambda value: json.dumps(value).encode())
_pieces = st.lists(st.binary(min_size=1, max_size=60) | _messages | _texts | _good, min_size=1, max_size=6)
_sessions = st.sampled_from(["open", "wait_helo", "wait_pong", "json"])


def session_in(kind):
    makers = {
        "open": lambda: waiting_for_acks(A, B),
        "wait_helo": lambda: ForwardSession(60.0, CREDENTIALS),
        "wait_pong": greeted,
        "json": lambda: waiting_for_acks(A, B, as_json=True),
    }
    return makers[kind]()


@given(kind=_sessions, pieces=_pieces)
def test_whatever_bytes_arrive(kind, pieces):
    """The only exception is RemoteProtocolError; after it the session is broken; no id is acked that was not sent."""
    session = session_in(kind)
    sent = dict(session.unacked)
    try:
        for piece in pieces:
            session.receive_data(piece)
    except RemoteProtocolError as exc:
        assert session.state is State.BROKEN
        assert str(exc)
    else:
        assert session.state is not State.BROKEN
    assert sorted([*session.take_acked(), *session.unacked]) == sorted(sent)


@given(kind=_sessions, messages=st.lists(_messages | _good, min_size=1, max_size=4), data=st.data())
def test_cuts_change_nothing(kind, messages, data):
    """The same bytes give the same acks and the same end, in one read or in two."""
    joined = b"".join(messages)
    cut = data.draw(st.integers(0, len(joined)))
    assert outcome(kind, [joined]) == outcome(kind, [joined[:cut], joined[cut:]])


def outcome(kind, pieces):
    session, error = session_in(kind), None
    try:
        for piece in filter(None, pieces):
            session.receive_data(piece)
    except RemoteProtocolError as exc:
        error = type(exc)
    return session.take_acked(), session.state, error
