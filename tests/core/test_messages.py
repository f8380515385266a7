"""Messages do not depend on where reads cut them, and no bytes do harm."""

from __future__ import annotations

import json
import struct

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluentlite.core.messages import (
    MALFORMED,
    MAX_ELEMENTS,
    MAX_JSON_DEPTH,
    EventTime,
    JsonMessages,
    MsgpackMessages,
)
from fluentlite.errors import RemoteProtocolError


def read(messages, pieces):
    out = []
    for piece in pieces:
        messages.feed(piece)
        while (message := messages.next_message()) is not None:
            out.append(message)
    return out


def read_every_way(kind, data):
    """The contents of the messages in *data*, after a check that they are the same for every cut."""
    expected = read(kind(), [data])
    assert sum(message.size for message in expected) == len(data)
    assert read(kind(), [data[i : i + 1] for i in range(len(data))]) == expected
    for at in range(1, len(data)):
        assert read(kind(), [data[:at], data[at:]]) == expected
    return [message.content for message in expected]


def bin_of(size_code, data):
    """A str or bin with the header that *size_code* names, also where a shorter one would do."""
    width = {0xC4: ">B", 0xC5: ">H", 0xC6: ">I", 0xD9: ">B", 0xDA: ">H", 0xDB: ">I"}[size_code]
    return bytes([size_code]) + struct.pack(width, len(data)) + data


@pytest.mark.parametrize("size_code", [0xC4, 0xC5, 0xC6, 0xD9, 0xDA, 0xDB])
@pytest.mark.parametrize("tag_code", [0xC4, 0xD9, 0xDB])
def test_packed_entries_are_bytes(size_code, tag_code):
    """Entries come out as the bytes they are, as str or bin and however long their header is."""
    entries = b"\x92\xce\xff\xff\xff\xff\x80" * 3
    option = msgpack.packb({"chunk": "id", "size": 3})
    data = b"\x93" + bin_of(tag_code, b"app") + bin_of(size_code, entries) + option
    without_option = b"\x92" + bin_of(tag_code, b"app") + bin_of(size_code, entries)

    assert read_every_way(MsgpackMessages, data + without_option + data) == [
        ["app", entries, {"chunk": "id", "size": 3}],
        ["app", entries],
        ["app", entries, {"chunk": "id", "size": 3}],
    ]


def test_other_messages():
    """Whatever is not packed comes out as msgpack says it, heartbeats (nil) included."""
    contents = [
        None,
        ["app", [[1, {"message": "x"}]]],
        ["app", 1, {"message": "x"}],
        ["PING", "a", "b", "c", "", ""],
        7,
    ]
    data = b"".join(map(msgpack.packb, contents))

    assert read_every_way(MsgpackMessages, data) == contents


@pytest.mark.parametrize("head", [b"\xd7\x00", b"\xc7\x08\x00"], ids=["fixext8", "ext8"])
def test_event_time(head):
    """EventTime is read as fixext8 and as ext8."""
    data = b"\x93\xa3app" + head + struct.pack(">II", 1_700_000_000, 999_999_999) + b"\x80"

    assert read_every_way(MsgpackMessages, data) == [["app", EventTime(1_700_000_000, 999_999_999), {}]]


def test_bytes_that_are_not_utf8():
    """A str keeps its bytes, as surrogate escapes; a bin stays bytes (T30)."""
    line = b"caf\xe9 \xff\xed\xa0\x80"
    data = b"\x93\xa3app\x01\x82" + b"\xa1s" + bin_of(0xD9, line) + b"\xa1b" + bin_of(0xC4, line)
    [[_, _, record]] = read_every_way(MsgpackMessages, data)

    assert record["s"].encode("utf-8", "surrogateescape") == line
    assert record["b"] == line


@pytest.mark.parametrize("kind", [MsgpackMessages, JsonMessages])
def test_too_long(kind):
    """A message above the limit is refused: also before its end has come."""
    at_limit = msgpack.packb("x" * 95) if kind is MsgpackMessages else json.dumps(["x" * 93]).encode()
    one_more = msgpack.packb("x" * 96) if kind is MsgpackMessages else json.dumps(["x" * 94]).encode()

    assert len(read(kind(97), [at_limit] * 3)) == 3
    for pieces in ([one_more], [one_more[:-1], one_more[-1:]], [one_more + one_more]):
        with pytest.raises(RemoteProtocolError, match="97 bytes"):
            read(kind(97), pieces)


def test_promises_cost_nothing():
    """A header that promises 4 GiB allocates nothing before the bytes come."""
    assert read(MsgpackMessages(), [b"\x93\xa1t\xc6\xff\xff\xff\xff", b"x" * 1000]) == []
    assert read(MsgpackMessages(), [b"\xdd\xff\xff\xff\xff" * 100]) == []


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\xc1", id="never-used-byte"),
        pytest.param(b"\x91" * 2000, id="too-deep"),
        pytest.param(b"\x81\x01\x01", id="key-that-is-no-string"),
        pytest.param(b"\x81\x90\x01", id="key-that-cannot-be-one"),
        pytest.param(b"\xd7\x00" + struct.pack(">II", 1, 1_000_000_000), id="nanoseconds-of-a-second"),
        pytest.param(
            b"\xdd" + struct.pack(">I", MAX_ELEMENTS + 1) + b"\xc0" * (MAX_ELEMENTS + 1), id="too-many"
        ),
    ],
)
def test_malformed_msgpack(data):
    """Bytes that are no msgpack, or more than is taken, are an error and nothing else."""
    with pytest.raises(MALFORMED):
        read(MsgpackMessages(), [data])


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b'["a",1,{"m":"x"}]', [["a", 1, {"m": "x"}]], id="one"),
        pytest.param(b'["a"]["b"]{}', [["a"], ["b"], {}], id="joined"),
        pytest.param(b' \n["a"]\r\n\t["b"]', [["a"], ["b"]], id="white-space"),
        pytest.param(b'["]}\\"[{"][1]', [[']}"[{'], [1]], id="brackets-in-strings"),
        pytest.param(b'["\\\\"]["\\\\\\""]', [["\\"], ['\\"']], id="backslashes"),
        pytest.param('["é\\u00e9\\ud83d\\ude00"]'.encode(), [["éé\U0001f600"]], id="characters"),
        pytest.param(
            b'["\\ud800","\\udfff\\ud800",{"\\ud800":1}]',
            [["\ufffd", "\ufffd\ufffd", {"\ufffd": 1}]],
            id="half",
        ),
        pytest.param(b'["caf\xe9"]', [["caf\udce9"]], id="not-utf8"),
    ],
)
def test_json(data, expected):
    """JSON texts are found whatever is in their strings and wherever they are cut."""
    contents = [message.content for message in read(JsonMessages(), [data])]

    assert contents == expected
    for at in range(1, len(data)):
        for pieces in ([data[:at], data[at:]], [data[i : i + at] for i in range(0, len(data), at)]):
            assert [message.content for message in read(JsonMessages(), pieces)] == expected


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b'["a"]null', id="neither-array-nor-object"),
        pytest.param(b'["a"] x', id="a-letter"),
        pytest.param(b"[}", id="crossed"),
        pytest.param(b"[1 2]", id="no-comma"),
        pytest.param(b"[NaN]", id="nan"),
        pytest.param(b"[" + b"1" * 10_000 + b"]", id="number-without-end"),
        pytest.param(b"[" * (MAX_JSON_DEPTH + 1), id="too-deep"),
        pytest.param(b"[" * 10_000_000, id="far-too-deep"),
    ],
)
def test_malformed_json(data):
    """Bytes that are no JSON are an error and nothing else."""
    with pytest.raises(MALFORMED):
        read(JsonMessages(), [data])


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    max_leaves=20,
)


@given(st.lists(st.lists(values, max_size=4), max_size=4), st.integers(1, 30))
def test_any_values(contents, step):
    """What one side packs comes out on the other, in msgpack and in JSON, in pieces of any length."""
    for kind, pack in (
        (MsgpackMessages, msgpack.packb),
        (JsonMessages, lambda value: json.dumps(value).encode()),
    ):
        data = b"".join(map(pack, contents))
        got = read(kind(), [data[at : at + step] for at in range(0, len(data), step)])

        # Two strings at the head of a message are a tag and packed entries, which stay bytes.
        assert [as_text(message.content) for message in got] == [as_text(content) for content in contents]


def as_text(content):
    return [value.encode() if isinstance(value, str) else value for value in content]
