"""Chunks: their bytes in each mode, their ids, and their halves."""

from __future__ import annotations

import gzip
import json

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluentlite.core.decode import Mode, Reading, decode_chunk
from fluentlite.core.entries import JsonEntries, MsgpackEntries
from fluentlite.core.forward import Chunk, ChunkEncoder, Position, Step, chunk_id
from fluentlite.core.messages import MsgpackMessages

TIME_NS = 1_700_000_000_123_456_789
SOURCE = "64769:7:0"
ID = "CR/WUGfF3UgfwNHWiiDtXA=="


def steps_of(*batches, entries=None, start=0):
    """A step for each list of lines, as if they stood in a file one after another from *start*."""
    packer = entries or MsgpackEntries("m")
    packer.begin(TIME_NS)
    steps, offset = [], start
    for lines in batches:
        size = sum(map(len, lines)) + len(lines)
        offset += size
        steps.append(Step(packer.pack(lines), len(lines), size, Position(1, offset, lines[-1] + b"\n")))
    return tuple(steps)


def message_of(chunk):
    """The bytes that go to the server."""
    assert chunk.size == sum(map(len, chunk.buffers))
    return b"".join(chunk.buffers)


def encode(*batches, appended=b"", **how):
    return ChunkEncoder("app", **{"require_ack": True} | how).encode(SOURCE, steps_of(*batches), appended=appended)  # fmt: skip


ENTRY_A = "92 d7006553f100075bcd15 81 a16d a161"
ENTRY_B = "92 d7006553f100075bcd15 81 a16d a162"


def test_bytes_of_packed_forward():
    """PackedForward: tag, the entries as bin32, and the option with the number of entries and the id."""
    option = "82 a473697a65 02 a56368756e6b b8" + ID.encode().hex()
    expected = f"93 a3617070 c6 00000020 {ENTRY_A} {ENTRY_B} {option}"

    assert message_of(encode([b"a"], [b"b"])) == bytes.fromhex(expected)


def test_bytes_without_ack():
    """Without acks the option has no chunk, so that the server does not answer (S01)."""
    expected = f"93 a3617070 c6 00000020 {ENTRY_A} {ENTRY_B} 81 a473697a65 02"

    assert message_of(encode([b"a", b"b"], require_ack=False)) == bytes.fromhex(expected)


def test_bytes_of_compressed_packed_forward():
    """CompressedPackedForward: the same entries as one gzip member, and the option that says so (S30)."""
    tag, entries, option = msgpack.unpackb(message_of(encode([b"a"], [b"b"], compress="gzip")))

    assert (tag, option) == ("app", {"size": 2, "chunk": ID, "compressed": "gzip"})
    assert gzip.decompress(entries) == bytes.fromhex(ENTRY_A + ENTRY_B)
    assert entries[:8] == bytes.fromhex("1f8b 08 00 00000000"), (
        "a time or a name in it would change the bytes"
    )
    assert not entries[8:].count(b"\x1f\x8b\x08"), "one member"


def test_the_same_entries_are_the_same_bytes():
    """A chunk made a second time, after a restart, is the same message byte for byte, compressed or not (S06, S07)."""
    lines = [b"%d" % i for i in range(1000)]
    for how in ({}, {"compress": "gzip"}):
        assert message_of(encode(lines, **how)) == message_of(encode(lines, **how))


def test_text_of_json():
    """As JSON it is Forward mode: an array of entries, each an array of time and record."""
    encoder = ChunkEncoder("app", require_ack=True, as_json=True)
    chunk = encoder.encode(SOURCE, steps_of([b"a"], [b"b"], entries=JsonEntries("m")))

    assert message_of(chunk) == (
        b'["app",[[1700000000,{"m":"a"}],[1700000000,{"m":"b"}]],{"size": 2, "chunk": "'
        + ID.encode()
        + b'"}]'
    )
    assert json.loads(message_of(chunk))[2]["chunk"] == chunk.id


def test_a_tag_that_is_no_ascii():
    """A tag travels as UTF-8, in JSON as escapes."""
    lines = steps_of([b"a"])
    text = ChunkEncoder("日.é", require_ack=True, as_json=True).encode(SOURCE, steps_of([b"a"], entries=JsonEntries("m")))  # fmt: skip

    assert (
        msgpack.unpackb(message_of(ChunkEncoder("日.é", require_ack=True).encode(SOURCE, lines)))[0] == "日.é"
    )
    assert json.loads(message_of(text))[0] == "日.é"


def test_facts_of_a_chunk():
    """A chunk knows its entries, the bytes of the log that it covers, and the position behind it."""
    chunk = encode([b"a", b"bb"], [b"ccc"])

    assert (chunk.count, chunk.file_bytes) == (3, 9)
    assert chunk.end == Position(1, 9, b"ccc\n")
    assert chunk.id == chunk_id(SOURCE, 0, chunk.end)


def test_no_chunk_without_entries():
    """A chunk without entries is a bug of ours, and is refused."""
    with pytest.raises(ValueError, match="'app' has no entries"):
        encode()


def test_what_is_appended_travels_behind_the_chunk():
    """The drain log is a message of its own behind the chunk, and the chunk's id and count are not changed by it."""
    plain, appended = encode([b"a"]), encode([b"a"], appended=b"\x93drain")

    assert message_of(appended) == message_of(plain) + b"\x93drain"
    assert (appended.id, appended.count, appended.steps) == (plain.id, plain.count, plain.steps)


def test_ids_are_derived():
    """The id depends on the file, its epoch, the offsets and the bytes before the end, and on nothing else (S06, S07, T47)."""
    end = Position(1, 100, b"line\n")
    first = chunk_id(SOURCE, 0, end)
    others = [
        chunk_id("64769:8:0", 0, end),
        chunk_id("64769:7:1", 0, end),
        chunk_id(SOURCE, 1, end),
        chunk_id(SOURCE, 0, Position(1, 101, b"line\n")),
        chunk_id(SOURCE, 0, Position(1, 100, b"Line\n")),
    ]

    assert chunk_id(SOURCE, 0, Position(9, 100, b"line\n")) == first, (
        "another process counts generations anew"
    )
    assert len({first, *others}) == 6
    assert all(len(one) == 24 for one in (first, *others))


def test_the_id_is_pinned():
    """The id of the same bytes is the same in the next version, so that a server recognises a repetition across an upgrade (S06)."""
    assert chunk_id(SOURCE, 0, Position(1, 4, b"b\n")) == ID


LINES = st.binary(max_size=20).filter(lambda line: b"\n" not in line)


def leaves_of(encoder, chunk):
    """The chunks that *chunk* is cut into until nothing can be cut any more."""
    pending, leaves = [chunk], []
    while pending:
        parts = encoder.split(pending[0])
        if len(parts) == 1:
            assert parts == pending[:1]
            leaves.append(pending.pop(0))
        else:
            assert parts[-1].end == pending[0].end
            pending[:1] = parts
    return leaves


@given(st.lists(st.lists(LINES, min_size=1, max_size=20), min_size=1, max_size=9))
def test_parts(batches):
    """Cut again and again, a chunk gives single entries, the same in the same order, each with its bytes of the file (S28, S36)."""
    encoder = ChunkEncoder("app", require_ack=True)
    lines, text = [line for batch in batches for line in batch], b"".join(line + b"\n" for batch in batches for line in batch)  # fmt: skip
    leaves = leaves_of(encoder, encoder.encode(SOURCE, steps_of(*batches)))

    entries = [entry for step in steps_of(*[[line] for line in lines]) for entry in [step.entries]]
    assert [leaf.steps[0].entries for leaf in leaves] == entries
    spans = [leaf.steps[0].span for leaf in leaves]
    assert [text[span.start : span.end] for span in spans] == [line + b"\n" for line in lines]
    assert all(span.is_exact for span in spans)
    assert len({leaf.id for leaf in leaves}) == len(lines)
    assert sum(leaf.file_bytes for leaf in leaves) == len(text)


@given(st.lists(st.lists(LINES, min_size=1, max_size=20), min_size=1, max_size=3))
def test_parts_move_the_position(batches):
    """
    Each part is delivered for good: what was acknowledged of a step is not sent again after a restart. Its position has
    before it what the file has there (S36, T47).
    """
    text = b"".join(line + b"\n" for batch in batches for line in batch)
    encoder = ChunkEncoder("app", require_ack=True)
    leaves = leaves_of(encoder, encoder.encode(SOURCE, steps_of(*batches)))

    assert all(leaf.moves_position for leaf in leaves)
    assert [leaf.end.offset for leaf in leaves] == [leaf.steps[0].span.end for leaf in leaves]
    assert all(leaf.end.window for leaf in leaves)
    assert all(text[: leaf.end.offset].endswith(leaf.end.window) for leaf in leaves)


@pytest.mark.parametrize(
    ("entries", "lines", "size"),
    [
        pytest.param(MsgpackEntries("m"), [b"one", b"two", b"three"], 100, id="passed-over"),
        pytest.param(JsonEntries("m"), [b"one", b"two", b"three"], 14, id="json"),
    ],
)
def test_only_the_last_part_moves_the_position(entries, lines, size):
    """Where the bytes of lines are not known, the position stays at the step's beginning until all of it is delivered (S36)."""
    [step] = steps_of(lines, entries=entries)
    step = Step(step.entries, 3, size, Position(1, 200, b"three\n"))
    encoder = ChunkEncoder("app", require_ack=True, as_json=isinstance(entries, JsonEntries))
    leaves = leaves_of(encoder, encoder.encode(SOURCE, [step]))

    assert [leaf.moves_position for leaf in leaves] == [False, False, True]
    assert [leaf.file_bytes for leaf in leaves] == [0, 0, size]


@pytest.mark.parametrize("size", [5, 100])
def test_offsets_that_nobody_knows(size):
    """Where lines were cut or bytes passed over, a part says between which offsets it was (S36)."""
    [step] = steps_of([b"one", b"two", b"three"])
    odd = Step(step.entries, 3, size, Position(1, 200, b"three\n"))
    encoder = ChunkEncoder("app", require_ack=True)
    spans = [leaf.steps[0].span for leaf in leaves_of(encoder, encoder.encode(SOURCE, [odd]))]

    assert {(span.start, span.end, span.is_exact) for span in spans} == {(200 - size, 200, False)}


def test_parts_of_json():
    """JSON entries are cut at their commas, whatever the lines have in them (S36)."""
    lines = [b'a"],[1,{"', "日本".encode(), b"\\", b""]
    encoder = ChunkEncoder("app", require_ack=True, as_json=True)
    leaves = leaves_of(encoder, encoder.encode(SOURCE, steps_of(lines, entries=JsonEntries("m"))))

    assert [json.loads(message_of(leaf))[1][0][1]["m"].encode() for leaf in leaves] == lines
    assert [leaf.steps[0].span.end for leaf in leaves] == [10, 17, 19, 20]


def test_bytes_that_are_no_text_have_no_exact_place_in_json():
    """JSON replaces them, so that the line's length is lost (S36)."""
    encoder = ChunkEncoder("app", require_ack=True, as_json=True)
    leaves = leaves_of(encoder, encoder.encode(SOURCE, steps_of([b"\xff", b"b"], entries=JsonEntries("m"))))

    assert [leaf.steps[0].span.is_exact for leaf in leaves] == [False, False]


def test_ids_of_parts_are_derived():
    """Cut again after a restart, the same step gives parts with the same ids (S06, S36)."""
    encoder = ChunkEncoder("app", require_ack=True)
    first, second = (encoder.encode(SOURCE, steps_of([b"a", b"b", b"c"])) for _ in range(2))

    assert [leaf.id for leaf in leaves_of(encoder, first)] == [leaf.id for leaf in leaves_of(encoder, second)]


def test_what_is_appended_can_be_taken_off():
    """Without it a chunk is what it is by itself; none of its parts has it (S36)."""
    chunk = encode([b"a"], [b"b"], appended=b"\x93drain")

    assert chunk.alone() == encode([b"a"], [b"b"]) == encode([b"a"], [b"b"]).alone()
    assert [half.appended for half in ChunkEncoder("app", require_ack=True).split(chunk)] == [b"", b""]


def test_a_hollow_chunk():
    """What is not sent still moves the position, and counts no line (S36)."""
    chunk = encode([b"a"], [b"b"]).hollow()

    assert (chunk.count, chunk.file_bytes, chunk.end.offset, chunk.moves_position) == (0, 4, 4, True)


def test_a_half_is_what_a_later_start_would_send():
    """The second half has the id that the same bytes have when they are read by themselves (S07)."""
    encoder = ChunkEncoder("app", require_ack=True)
    _, half = encoder.split(encoder.encode(SOURCE, steps_of([b"a"], [b"b"])))
    alone = encoder.encode(SOURCE, steps_of([b"b"], start=2))

    assert (half.id, half.buffers) == (alone.id, alone.buffers)


@given(
    st.lists(st.lists(st.binary(max_size=40), min_size=1, max_size=9), min_size=1, max_size=4),
    st.sampled_from(["none", "gzip"]),
    st.booleans(),
)
def test_any_chunk_is_understood(batches, compress, require_ack):
    """What any chunk's bytes say, read by the server's half of the protocol, is what went in."""
    chunk: Chunk = encode(*batches, compress=compress, require_ack=require_ack)
    messages = MsgpackMessages()
    messages.feed(message_of(chunk))
    received = decode_chunk(messages.next_message(), Reading.DECODE)
    lines = [event.record["m"] for event in received.events]

    assert [line.encode(errors="surrogateescape") for line in lines] == [line for batch in batches for line in batch]  # fmt: skip
    assert (received.tag, received.count, received.id) == ("app", chunk.count, chunk.id if require_ack else None)  # fmt: skip
    assert received.mode is (Mode.PACKED_FORWARD if compress == "none" else Mode.COMPRESSED_PACKED_FORWARD)
