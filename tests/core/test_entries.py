"""Lines become entries: compared with what msgpack and json themselves make of them."""

from __future__ import annotations

import json
import struct

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluentlite.core.entries import JsonEntries, MsgpackEntries, event_time, integer_time, str_header

TIME_NS = 1_700_000_000_123_456_789
EVENT_TIME = msgpack.ExtType(0, struct.pack(">II", 1_700_000_000, 123_456_789))
SIZES = [0, 1, 31, 32, 33, 255, 256, 257, 65535, 65536, 65537]

any_line = st.binary(max_size=300).filter(lambda line: b"\n" not in line)
text_line = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\n"), max_size=60)


def unpack(entries):
    """All entries of an event stream; strings stay bytes."""
    unpacker = msgpack.Unpacker(raw=True, strict_map_key=False)
    unpacker.feed(entries)
    found = list(unpacker)
    assert unpacker.tell() == len(entries)
    return found


def packed(lines, field_name="message", **how):
    packer = MsgpackEntries(field_name, **how)
    packer.begin(TIME_NS)
    return packer.pack(lines)


def as_json(*lines, field_name="message"):
    packer = JsonEntries(field_name)
    packer.begin(TIME_NS)
    return packer.pack(list(lines))


def test_bytes_of_entries():
    """The bytes of an entry: array of two, fixext8 of type 0, map of one, field name and line as str."""
    expected = "92 d700 6553f100 075bcd15 81 a7 6d657373616765 a3 616263"

    assert packed([b"abc"]) == bytes.fromhex(expected)


def test_bytes_of_entries_with_integer_time():
    """For old servers the time is a plain integer of seconds (S35)."""
    assert packed([b"abc"], "m", time_as_integer=True) == bytes.fromhex("92 ce 6553f100 81 a1 6d a3 616263")


@pytest.mark.parametrize("size", SIZES)
def test_all_length_classes(size):
    """A line of any length has the header that msgpack itself writes, and its bytes are unchanged."""
    line = bytes(range(11, 256)) * (size // 245 + 1)
    line = line[:size]

    assert str_header(size) == msgpack.packb("x" * size)[: -size or None]
    assert unpack(packed([line, b"next"])) == [
        [EVENT_TIME, {b"message": line}],
        [EVENT_TIME, {b"message": b"next"}],
    ]


def test_the_value_is_a_str_and_not_a_bin():
    """A line travels as msgpack str, also when it is not UTF-8 (T30)."""
    for line in (b"abc", b"\xff\xfe", b"x" * 40, b"x" * 300, b"x" * 70_000):
        entry = packed([line])
        assert entry == b"\x92" + event_time(TIME_NS) + b"\x81" + msgpack.packb("message") + str_header(len(line)) + line  # fmt: skip
        assert entry[-len(line) - len(str_header(len(line)))] not in (0xC4, 0xC5, 0xC6)


@given(st.lists(any_line, min_size=1, max_size=50), st.text(min_size=1, max_size=40), st.booleans())
def test_any_lines(lines, field_name, time_as_integer):
    """Whatever the lines are, msgpack reads them back byte for byte, in order, with one time (T11, T30, T45)."""
    time = TIME_NS // 10**9 if time_as_integer else EVENT_TIME
    entries = packed(lines, field_name, time_as_integer=time_as_integer)

    assert unpack(entries) == [[time, {field_name.encode(): line}] for line in lines]
    assert len(entries) <= sum(map(len, lines)) + MsgpackEntries(field_name).overhead * len(lines)


def test_the_time_is_the_chunk_s():
    """All lines of a chunk share the time of ``begin``, and those of the next have theirs (T45)."""
    packer = MsgpackEntries("m")
    packer.begin(TIME_NS)
    first = packer.pack([b"a", b"b"]) + packer.pack([b"c"])
    packer.begin(5 * 10**9 + 7)

    assert {entry[0] for entry in unpack(first)} == {EVENT_TIME}
    assert unpack(packer.pack([b"a"]))[0][0] == msgpack.ExtType(0, struct.pack(">II", 5, 7))


@pytest.mark.parametrize(
    "time_ns", [0, 1, 999_999_999, 10**9, TIME_NS, ((1 << 32) - 1) * 10**9 + 999_999_999]
)
def test_times(time_ns):
    """Both forms of the time hold for every moment until the year 2106."""
    seconds, nanoseconds = divmod(time_ns, 10**9)

    assert msgpack.unpackb(event_time(time_ns)) == msgpack.ExtType(
        0, struct.pack(">II", seconds, nanoseconds)
    )
    assert msgpack.unpackb(integer_time(time_ns)) == seconds


def test_message():
    """A message of its own, for pings, is an array of tag, time and record."""
    record = {"data": "ok /var/log/app.log", "drain": 3}

    assert msgpack.unpackb(MsgpackEntries("m").message("ping", TIME_NS, record)) == [
        "ping",
        EVENT_TIME,
        record,
    ]
    assert json.loads(JsonEntries("m").message("ping", TIME_NS, record)) == ["ping", 1_700_000_000, record]


def test_bytes_of_json_entries():
    """The text of entries as JSON; several are separated by a comma."""
    assert as_json(b"a", b'"\\\t') == rb'[1700000000,{"message":"a"}],[1700000000,{"message":"\"\\\t"}]'
    assert JsonEntries("m").separator == b","


BAD_UTF_8 = [
    (b"\xff", "\ufffd"),
    (b"a\xffb", "a\ufffdb"),
    (b"\xe3\x81", "\ufffd" * 2),
    (b"\xe3\x81x", "\ufffd" * 2 + "x"),
    (b"\xf0\x9f\x98", "\ufffd" * 3),
    (b"\xc0\xaf", "\ufffd" * 2),
    (b"\xed\xa0\x80", "\ufffd" * 3),
    (b"\x80\x80", "\ufffd" * 2),
    (b"\xe3\x81\x82\xe3", "\u3042\ufffd"),
    ("Straße".encode("latin-1"), "Stra\ufffde"),
]


@pytest.mark.parametrize(("line", "text"), BAD_UTF_8)
def test_bad_utf_8_in_json(line, text):
    """In JSON each byte that is not UTF-8 becomes one U+FFFD, and the lines beside it are not touched (T30)."""
    entries = json.loads(b"[" + as_json(b"before", line, b"after") + b"]")

    assert [entry[1]["message"] for entry in entries] == ["before", text, "after"]


@given(st.lists(text_line, min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_any_text_in_json(texts, field_name):
    """Whatever text the lines are, json reads it back, and it is pure ASCII on the wire."""
    entries = as_json(*(text.encode() for text in texts), field_name=field_name)

    assert json.loads(b"[" + entries + b"]") == [[1_700_000_000, {field_name: text}] for text in texts]
    assert entries.isascii()


@given(st.lists(any_line, min_size=1, max_size=20))
def test_any_bytes_in_json(lines):
    """Whatever bytes the lines are, as many lines arrive, and what is UTF-8 arrives unchanged (T30)."""
    entries = json.loads(b"[" + as_json(*lines) + b"]")
    values = [entry[1]["message"] for entry in entries]

    assert len(values) == len(lines)
    for line, value in zip(lines, values, strict=True):
        assert value.replace("\ufffd", "") == line.decode("utf-8", "ignore").replace("\ufffd", "")


@given(st.lists(text_line.filter(str.isascii), min_size=1, max_size=20))
def test_overhead_in_json(texts):
    """No entry takes more beside its escaped line than its declared overhead, so that chunks keep their limit."""
    escaped = sum(len(json.dumps(text)) - 2 for text in texts)

    assert len(as_json(*(text.encode() for text in texts))) <= escaped + JsonEntries("message").overhead * len(texts)  # fmt: skip
