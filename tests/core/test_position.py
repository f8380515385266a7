"""The bytes of a checkpoint: pinned, and whatever is torn, cut or flipped is recognised as such."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slots import slot_of

from fluentlite.core.lines import MARKER_SIZE
from fluentlite.core.position import (
    MAX_FINISHED,
    MOST,
    SLOT_SIZE,
    Marker,
    NewerVersionError,
    Point,
    SlotError,
    State,
    checkpoint_name,
    decode_slot,
    encode_slot,
    newest,
)
from fluentlite.core.rotation import Identity

OLD = Point(Identity(64769, 7), 0, 1000, Marker(1000, "0011223344556677"), 1200, 1_700_000_000_000_000_001)
NOW = Point(
    Identity(64769, 8), 2, 5 << 30, Marker(1024, "8899aabbccddeeff"), 6 << 30, 1_700_000_001_000_000_002
)
DONE = Point(Identity(64769, 6), 0, 10, Marker(10, "0123456789abcdef"), 10, 1_600_000_000_000_000_000)
STATE = State("/var/log/app.log", True, (OLD, NOW), (DONE,))

PAYLOAD = (
    b'{"path":"/var/log/app.log","started":true,'
    b'"points":[[64769,7,0,1000,1000,"0011223344556677",1200,1700000000000000001],'
    b'[64769,8,2,5368709120,1024,"8899aabbccddeeff",6442450944,1700000001000000002]],'
    b'"finished":[[64769,6,0,10,10,"0123456789abcdef",10,1600000000000000000]]}'
)
SLOT = b"FLUENTL1" + bytes.fromhex("0000000000000102 0000010e 181e0924") + PAYLOAD

MOST_IDENTITY = (1 << 64) - 1
points = st.builds(
    Point,
    identity=st.builds(Identity, st.integers(0, MOST_IDENTITY), st.integers(0, MOST_IDENTITY)),
    epoch=st.integers(0, 1 << 32),
    offset=st.integers(0, MOST),
    marker=st.builds(Marker, st.integers(0, 1024), st.text("0123456789abcdef", min_size=16, max_size=16)),
    size=st.integers(0, MOST),
    mtime_ns=st.integers(0, MOST),
)
states = st.builds(
    State,
    path=st.binary(max_size=100).map(
        lambda path: path.replace(b"\0", b"/").decode("utf-8", "surrogateescape")
    ),
    is_started=st.booleans(),
    points=st.lists(points, max_size=20).map(tuple),
    finished=st.lists(points, max_size=MAX_FINISHED).map(tuple),
)


def test_bytes_of_a_slot():
    """The bytes of a slot are what they have always been, so that an upgrade finds its positions (T48, C05)."""
    assert encode_slot(0x102, STATE) == SLOT


def test_what_follows_a_slot_does_not_matter():
    """A slot is read whatever an earlier, longer one left behind it."""
    assert decode_slot(SLOT) == (0x102, STATE)
    assert decode_slot(SLOT.ljust(SLOT_SIZE, b"\0")) == (0x102, STATE)
    assert decode_slot(SLOT + b"x" * 99) == (0x102, STATE)


@given(st.integers(0, MOST), states)
def test_what_is_written_is_read(sequence, state):
    """Whatever the state, its slot gives it back."""
    assert decode_slot(encode_slot(sequence, state)) == (sequence, state)


def test_a_path_that_is_no_text_is_kept():
    """A path whose bytes are not UTF-8 is kept as it is."""
    state = State("/var/log/\udcff\udcfe.log")

    assert decode_slot(encode_slot(1, state)) == (1, state)


@pytest.mark.parametrize("size", range(len(SLOT)))
def test_cut_short(size):
    """A slot that was cut anywhere, alone or padded as in a file, is no slot, and the error says why (T48)."""
    for cut in (SLOT[:size], SLOT[:size].ljust(SLOT_SIZE, b"\0")):
        with pytest.raises(SlotError, match=r"^it(s|) ") as caught:
            decode_slot(cut)
        assert type(caught.value) is SlotError


def test_any_flipped_bit():
    """A single wrong bit anywhere makes it no slot; none is ever taken for another position (T48)."""
    for bit in range(8 * len(SLOT)):
        damaged = bytearray(SLOT)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SlotError) as caught:
            decode_slot(bytes(damaged))
        assert type(caught.value) is SlotError, f"bit {bit}"


def test_torn_between_two_versions():
    """Partly the new state and partly the one before, torn at any byte: never a third position (T48)."""
    later = State(STATE.path, True, (OLD, dataclasses.replace(NOW, offset=6 << 30, mtime_ns=1)), ())
    old, new = encode_slot(3, STATE), encode_slot(5, later)
    whole = 0
    for size in range(len(new) + 1):
        with contextlib.suppress(SlotError):
            assert decode_slot(new[:size] + old[size:]) in ((3, STATE), (5, later))
            whole += 1

    assert 2 <= whole < 30


@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda data: SLOT[:24] + data))
def test_any_other_bytes(data):
    """Whatever the bytes are, they are a slot or a SlotError, never something else (T48)."""
    with pytest.raises(SlotError):
        decode_slot(data)


_texts = st.sampled_from(["0011223344556677", "/a", "/\ud800", "/a\0", ""]) | st.text(max_size=9)
_cells = st.integers(0, 2000) | st.integers() | st.floats() | st.booleans() | st.none() | _texts
_rows = st.lists(_cells, min_size=7, max_size=9) | st.builds(
    lambda row, index, cell: [*row[:index], cell, *row[index + 1 :]],
    st.just([64769, 7, 0, 1000, 1000, "0011223344556677", 1200, 17]), st.integers(0, 7), _cells,
)  # fmt: skip
_documents = st.fixed_dictionaries(
    {
        "path": _texts | _cells,
        "started": st.booleans() | _cells,
        "points": st.lists(_rows, max_size=3) | _cells,
    },
    optional={"finished": st.lists(_rows, max_size=3), "later": _cells},
)


@given(
    _documents
    | st.recursive(_cells, lambda inner: st.lists(inner) | st.dictionaries(_texts, inner), max_leaves=9)
)
def test_any_content(document):
    """Whatever a whole slot says, it is a state that can be written again, or a SlotError of a few words (T48)."""
    try:
        sequence, state = decode_slot(slot_of(document))
    except SlotError as exc:
        assert len(str(exc)) < 300
        return
    assert decode_slot(encode_slot(sequence + 1, state))[1].points == state.points
    assert checkpoint_name(state.path)


REASONS = [
    pytest.param(b"", "it is cut short", id="nothing"),
    pytest.param(b"\0" * SLOT_SIZE, "it is empty", id="nuls"),
    pytest.param(b"# my notes, not a checkpoint\n", "it does not begin as a checkpoint does", id="foreign"),
    pytest.param(SLOT[:-1], "its checksum does not match", id="cut"),
    pytest.param(slot_of(b"\xff"), "its content is not understood", id="no-text"),
    pytest.param(slot_of(b"{"), "its content is not understood", id="no-json"),
    pytest.param(slot_of(b"[" * 100_000), "its content is not understood", id="nested"),
    pytest.param(slot_of(b"1" * 10_000), "its content is not understood", id="huge-number"),
    pytest.param(slot_of([]), "its content is not understood", id="no-object"),
    pytest.param(slot_of({}), "its content is not understood", id="no-keys"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "reason"), REASONS)
def test_reasons(data, reason):
    """What is no slot says what is wrong with it, in a few words that fit behind the file's name (T48)."""
    with pytest.raises(SlotError) as caught:
        decode_slot(data)

    assert str(caught.value).startswith(reason)
    assert type(caught.value) is SlotError


@pytest.mark.parametrize(
    ("index", "value"),
    [
        *itertools.product([0, 1, 2, 3, 4, 6, 7], [None, True, "1", 1.5, [], {}]),
        *itertools.product([0, 1, 2, 3, 4, 6], [-1]),
    ],
)
def test_a_number_that_is_none(index, value):
    """A whole slot with a wrong type in it (a bug, or a hand) is refused, not followed (T48)."""
    document = json.loads(PAYLOAD)
    document["points"][0][index] = value

    with pytest.raises(SlotError, match="content is not understood"):
        decode_slot(slot_of(document))


@pytest.mark.parametrize(("key", "value"), [("path", 1), ("started", 1), ("started", None), ("points", 1), ("points", [1]), ("points", [[1]]), ("finished", None)])  # fmt: skip
def test_a_part_that_is_none(key, value):
    """The same for its other parts (T48)."""
    with pytest.raises(SlotError, match="content is not understood"):
        decode_slot(slot_of({**json.loads(PAYLOAD), key: value}))


def test_a_file_older_than_1970():
    """Of all numbers the time of a file alone may be negative."""
    document = json.loads(PAYLOAD)
    document["points"][0][7] = -1

    assert decode_slot(slot_of(document))[1].points[0].mtime_ns == -1


@pytest.mark.parametrize(
    ("index", "value"),
    [
        pytest.param(0, 1 << 64, id="device"),
        pytest.param(1, 1 << 64, id="inode"),
        pytest.param(2, 1 << 63, id="epoch"),
        pytest.param(3, 1 << 70, id="offset"),
        pytest.param(3, 1 << 63, id="offset-as-no-kernel-has-it"),
        pytest.param(4, 1 << 40, id="marker-of-a-terabyte"),
        pytest.param(4, MARKER_SIZE + 1, id="marker-longer-than-any"),
        pytest.param(5, "", id="no-digest"),
        pytest.param(5, "0011223344556677" * 1000, id="long-digest"),
        pytest.param(5, "001122334455667X", id="digest-with-an-x"),
        pytest.param(6, 1 << 63, id="size"),
        pytest.param(7, 1 << 63, id="time"),
    ],
)
def test_an_absurd_value(index, value):
    """
    A number that no kernel or worker can have written is refused: as an offset it would be an error of ours at each
    start, as the size of a marker a terabyte of memory (T48).
    """
    for kind in ("points", "finished"):
        damaged = json.loads(PAYLOAD)
        damaged[kind][0][index] = value
        with pytest.raises(SlotError, match="content is not understood") as caught:
            decode_slot(slot_of(damaged))
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize("path", ["/a\0b", "/a\ud800b"], ids=["nul", "half-a-character"])
def test_a_path_that_no_system_has(path):
    """A path that could not be looked at is refused (T48)."""
    with pytest.raises(SlotError, match="content is not understood"):
        decode_slot(slot_of({**json.loads(PAYLOAD), "path": path}))


def test_the_last_number_of_a_slot():
    """A slot whose number leaves no room for the next one is refused: the next write would fail for ever (T48)."""
    with pytest.raises(SlotError, match="its number is 18446744073709551615"):
        decode_slot(slot_of(PAYLOAD, sequence=(1 << 64) - 1))


def test_an_unknown_key_is_no_error():
    """A key that a later version of the same format adds is passed over, so that a downgrade works (C05)."""
    document = {**json.loads(PAYLOAD), "later": 1}

    assert decode_slot(slot_of(document)) == (1, STATE)


@pytest.mark.parametrize("version", b"02A\xff")
def test_another_format(version):
    """A whole slot of another format is not damage: it is named, so that nobody throws it away (C05)."""
    slot = slot_of(b"whatever it is then", magic=b"FLUENTL" + bytes([version]))

    with pytest.raises(NewerVersionError, match="it is of format"):
        decode_slot(slot)


def test_the_newest_wins():
    """Of two slots the one with the higher number is used, whichever stands first."""
    slots = [encode_slot(8, STATE), encode_slot(9, State("/b"))]

    assert newest(slots) == (9, State("/b"), [])
    assert newest(slots[::-1]) == (9, State("/b"), [])


@pytest.mark.parametrize("damage", [b"", b"\0" * SLOT_SIZE, SLOT[:-1], b"x" * 100])
def test_the_other_one_is_used(damage):
    """If one slot is damaged the other one is used, and what was wrong is told (T20, T48)."""
    for slots in ([damage, SLOT], [SLOT, damage]):
        sequence, state, problems = newest(slots)
        assert (sequence, state, len(problems)) == (0x102, STATE, 1)


def test_no_slot_is_usable():
    """If both are damaged it says what is wrong with both (T48)."""
    with pytest.raises(SlotError, match=r"^it is empty; its checksum does not match$"):
        newest([b"\0" * SLOT_SIZE, SLOT[:-1]])


def test_one_newer_slot_stops_all():
    """A slot of a later format beside an older one of ours means that a later version was here (C05)."""
    newer = slot_of(b"{}", magic=b"FLUENTL2", sequence=9)
    for slots in ([SLOT, newer], [newer, SLOT]):
        with pytest.raises(NewerVersionError):
            newest(slots)


def test_more_generations_than_fit():
    """Where there are more generations than fit, the oldest are kept; the newest have not been begun (T03, T51)."""
    many = tuple(
        Point(Identity(64769, 10**9 + i), 0, 1 << 40, NOW.marker, 1 << 40, 10**18) for i in range(1000)
    )
    slot = encode_slot(1, State("/var/log/app.log", True, many, (DONE,) * MAX_FINISHED))
    _, state = decode_slot(slot)

    assert len(slot) <= SLOT_SIZE
    assert len(state.points) > 100
    assert state.points == many[: len(state.points)]


def test_finished_generations_are_bounded():
    """Only the last finished generations are kept (T51)."""
    finished = tuple(Point(Identity(1, i), 0, 1, NOW.marker, 1, 1) for i in range(100))

    assert (
        decode_slot(encode_slot(1, State("/a", True, (), finished)))[1].finished == finished[-MAX_FINISHED:]
    )


@pytest.mark.parametrize("letter", ["a", "\x01", "\udcff", "\u6f22"])
def test_the_longest_path_fits(letter):
    """The longest path that a system allows fits into a slot, whatever letters it is written with."""
    longest = letter * (4095 // len(letter.encode(errors="surrogateescape")))
    slot = encode_slot(1, State(longest, True, (OLD,) * 3, (DONE,) * MAX_FINISHED))

    assert len(slot) <= SLOT_SIZE
    assert decode_slot(slot)[1].path == longest


def test_a_marker():
    """A marker is the number of bytes and their hash: pinned, since it is compared with older ones."""
    assert Marker.of(b"") == Marker(0, hashlib.blake2b(b"", digest_size=8).hexdigest())
    assert Marker.of(b"a line\n") == Marker(7, "14fb4b2a840b48ed")
    assert Marker.of(b"a line\n") != Marker.of(b"a line.")
