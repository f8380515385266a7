"""Chunks of all four modes, and everything that is none."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import msgpack
import pytest

from fluentlite.core import decode, values
from fluentlite.core.decode import Event, Mode, Reading, decode_chunk, gunzip
from fluentlite.core.messages import MAX_ELEMENTS, EventTime, MsgpackMessages
from fluentlite.errors import RemoteProtocolError

TIME = msgpack.ExtType(0, bytes([0, 0, 0, 9, 0, 0, 0, 5]))
EVENTS = [Event(EventTime(9, 5), {"message": "a"}), Event(10, {"message": "b"})]
PACKED = b"".join(map(msgpack.packb, [[TIME, {"message": "a"}], [10, {"message": "b"}]]))
OPTION = {"size": 2, "chunk": "id"}


def read(content, reading=Reading.DECODE):
    """Pack *content* (or take it as packed) and decode it."""
    messages = MsgpackMessages()
    messages.feed(content if isinstance(content, bytes) else msgpack.packb(content))
    return decode_chunk(messages.next_message(), reading)


CHUNKS = [
    pytest.param(["app", TIME, {"message": "a"}, {"chunk": "id"}], Mode.MESSAGE, EVENTS[:1], id="message"),
    pytest.param(["app", [[TIME, {"message": "a"}], [10, {"message": "b"}]], OPTION], Mode.FORWARD, EVENTS, id="forward"),
    pytest.param(["app", PACKED, OPTION], Mode.PACKED_FORWARD, EVENTS, id="packed"),
    pytest.param(["app", PACKED, {**OPTION, "compressed": "text"}], Mode.PACKED_FORWARD, EVENTS, id="text"),
    pytest.param(
        ["app", gzip.compress(PACKED), {**OPTION, "compressed": "gzip"}],
        Mode.COMPRESSED_PACKED_FORWARD,
        EVENTS,
        id="compressed",
    ),
    pytest.param(
        ["app", gzip.compress(PACKED[:20]) + gzip.compress(b"") + gzip.compress(PACKED[20:]), {"compressed": "gzip", "chunk": "id"}],
        Mode.COMPRESSED_PACKED_FORWARD,
        EVENTS,
        id="gzip-members-joined",
    ),
    pytest.param(["app", b"", {"chunk": "id"}], Mode.PACKED_FORWARD, [], id="empty"),
    pytest.param(["app", [], {"chunk": "id"}], Mode.FORWARD, [], id="empty-forward"),
    pytest.param(b"\xdc\x00\x03\xa3app" + b"\xdb" + len(PACKED).to_bytes(4, "big") + PACKED + b"\x81\xa5chunk\xa2id",
                 Mode.PACKED_FORWARD, EVENTS, id="long-headers"),
]  # fmt: skip


@pytest.mark.parametrize("reading", Reading)
@pytest.mark.parametrize(("content", "mode", "events"), CHUNKS)
def test_modes(content, mode, events, reading):
    """Every mode gives the same tag, number of events and id, however far the entries are read (S30, S35)."""
    chunk = read(content, reading)

    assert (chunk.tag, chunk.mode, chunk.count, chunk.id) == ("app", mode, len(events), "id")
    assert chunk.events == ([] if reading is Reading.COUNT else events)


@pytest.mark.parametrize("option", [[], [None], [{}]], ids=["none", "nil", "empty"])
def test_without_an_id(option):
    """Who gives no id wants no ack."""
    assert read(["app", PACKED, *option]).id is None
    assert read(["app", 10, {"message": "b"}, *option]).id is None


def test_metadata():
    """Fluent Bit's entries [[time, metadata], record] are read; the metadata is left out."""
    chunk = read(["app", [[[TIME, {"severity": 1}], {"message": "a"}]]])

    assert chunk.events == EVENTS[:1]


def test_counting_does_not_look():
    """When the option says how many entries there are, counting does not touch them; verifying does."""
    content = ["app", b"no entries at all", {"size": 7}]

    assert read(content, Reading.COUNT).count == 7
    with pytest.raises(RemoteProtocolError):
        read(content, Reading.VERIFY)


def test_wrong_size():
    """A wrong option size is an error only for who verifies, as Fluentd does not use it either."""
    assert read(["app", PACKED, {"size": 3}]).count == 2
    with pytest.raises(RemoteProtocolError, match=r"2 entries.* 3"):
        read(["app", PACKED, {"size": 3}], Reading.VERIFY)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(7, "an integer where a message", id="integer"),
        pytest.param({}, "a map where a message", id="map"),
        pytest.param(["app"], "an array where a message", id="tag-only"),
        pytest.param(["app", 1, {}, {}, {}], "an array where a message", id="five-elements"),
        pytest.param([7, PACKED], "an integer where a tag", id="tag"),
        pytest.param(["app", PACKED, 7], "an integer where at most an option", id="option"),
        pytest.param(["app", PACKED, {}, {}], "a map where at most an option", id="two-options"),
        pytest.param(["app", PACKED, {"size": -1}], "size", id="negative-size"),
        pytest.param(["app", PACKED, {"size": "2"}], "size", id="text-size"),
        pytest.param(["app", PACKED, {"size": True}], "size", id="boolean-size"),
        pytest.param(["app", PACKED, {"size": MAX_ELEMENTS + 1}], "size", id="absurd-size"),
        pytest.param(["app", PACKED, {"chunk": 7}], "an integer as the id", id="id"),
        pytest.param(["app", PACKED, {"compressed": "zstd"}], "other than gzip", id="compression"),
        pytest.param(["app", None, {}], "nil as the time", id="nil-time"),
        pytest.param(["app", True, {}], "a boolean as the time", id="boolean-time"),
        pytest.param(["app", float("nan"), {}], "a float as the time", id="nan-time"),
        pytest.param(["app", msgpack.ExtType(5, b"x"), {}], "an extension as the time", id="ext-time"),
        pytest.param(["app", 1, "x"], "a str as a record", id="record"),
        pytest.param(["app", 1], "an array where an entry", id="no-record"),
        pytest.param(["app", [7]], "an integer where an entry", id="entry"),
        pytest.param(["app", [[1, {}, 2]]], "an array where an entry", id="entry-of-three"),
        pytest.param(["app", [[[1], {}]]], "an array as the time", id="time-without-metadata"),
        pytest.param(["app", PACKED[:-1]], "cut off", id="cut-entry"),
        pytest.param(["app", PACKED + b"\x92"], "cut off, 1 bytes", id="begun-entry"),
        pytest.param(["app", gzip.compress(PACKED)[:-1], {"compressed": "gzip"}], "cut off", id="cut-gzip"),
        pytest.param(["app", b"", {"compressed": "gzip"}], "cut off", id="empty-gzip"),
        pytest.param(["app", PACKED, {"compressed": "gzip"}], "no gzip", id="no-gzip"),
        pytest.param(["app", gzip.compress(PACKED) + b"\x1f\x8b", {"compressed": "gzip"}], "cut off", id="begun-member"),
        pytest.param(["app", gzip.compress(PACKED) + b"x" * 20, {"compressed": "gzip"}], "no gzip", id="gzip-and-more"),
        pytest.param(["app", b"\xc0" * (1 << 20)], "nil where an entry", id="nils"),
        pytest.param(["app", b"\x92\x01\x80" * (MAX_ELEMENTS + 1)], "more than 1048576 entries", id="too-many"),
    ],
)  # fmt: skip
def test_wrong_chunks(content, reason):
    """What is no Forward message is refused with the reason."""
    with pytest.raises(RemoteProtocolError, match=reason):
        read(content)


def test_gzip_bomb():
    """Decompression stops at the limit, it does not first fill the memory (S28, S30)."""
    bomb = gzip.compress(bytes(1 << 20))

    assert gunzip(bomb, 1 << 20) == bytes(1 << 20)
    for data, limit in (bomb, (1 << 20) - 1), (bomb * 3, 1 << 21):
        with pytest.raises(RemoteProtocolError, match=f"more than {limit} bytes"):
            gunzip(data, limit)


@pytest.mark.parametrize("is_deep", [False, True], ids=["flat", "deep"])
def test_a_bomb_of_values(monkeypatch, is_deep):
    """
    A little gzip that holds very many empty maps is refused before one of them is built: at the limit of decompression
    they would be 5 GB. Here all is a fiftieth.
    """
    monkeypatch.setattr(values, "MAX_VALUES", 80_000)
    maps = b"\xdc\x50\x00" + b"\x80" * 0x5000
    record = b"\x92\x01\x81\xa0" + (b"\x92" * 5 + maps * 6 if is_deep else b"\x96" + maps * 6)
    chunk = ["app", gzip.compress(record), {"compressed": "gzip"}]
    assert len(chunk[1]) < 1000
    tracemalloc.start()
    try:
        with pytest.raises(RemoteProtocolError, match="more than 80000 values"):
            read(chunk)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_long_id():
    """An id is sent back, so it has its limit; to be acknowledged 64 MiB at a time is nobody's right."""
    assert read(["app", PACKED, {"chunk": "x" * 1024}]).id == "x" * 1024
    for ident in ("x" * 1025, b"x" * 1025):
        with pytest.raises(RemoteProtocolError, match="whose id is longer than 1024"):
            read(["app", PACKED, {"chunk": ident}])


def test_many_gzip_members(monkeypatch):
    """As many members are read as a buffering Fluentd makes, but not any number."""
    assert gunzip(gzip.compress(b"ab") * 5000) == b"ab" * 5000

    monkeypatch.setattr(decode, "MAX_GZIP_MEMBERS", 4999)
    with pytest.raises(RemoteProtocolError, match="4999 gzip members"):
        gunzip(gzip.compress(b"ab") * 5000)


@pytest.mark.parametrize("level", [0, 1, 9])
def test_gzip_members_at_every_step(level):
    """Members are told apart wherever they end with regard to the steps of decompression."""
    deflater = zlib.compressobj(level, wbits=zlib.MAX_WBITS | 16)
    text = bytes(range(256)) * 300
    member = deflater.compress(text) + deflater.flush()
    for padding in range(40):
        filler = gzip.compress(bytes(padding), compresslevel=0)

        assert gunzip(filler + member + filler + member) == (bytes(padding) + text) * 2
