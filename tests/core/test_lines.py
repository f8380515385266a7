"""Bytes in, whole lines and offsets out: wherever the reads are cut, whatever the bytes are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluentlite.core.lines import MARKER_SIZE, LineSplitter

MODES = ["split", "truncate", "skip"]

TEXTS = [
    pytest.param(b"", [], id="nothing"),
    pytest.param(b"a", [], id="partial"),
    pytest.param(b"a\n", [b"a"], id="one"),
    pytest.param(b"a\nb", [b"a"], id="one-and-partial"),
    pytest.param(b"a\n\n\n", [b"a", b"", b""], id="blank-at-end"),
    pytest.param(b"\n\na\n", [b"", b"", b"a"], id="blank-at-begin"),
    pytest.param(b"\n", [b""], id="blank"),
    pytest.param(b"0\n01 rest\n0", [b"0", b"01 rest"], id="zeros"),
    pytest.param(b"a\r\nb\r\n\r\n", [b"a\r", b"b\r", b"\r"], id="crlf"),
    pytest.param(b"a\0b\n\0\n", [b"a\0b", b"\0"], id="nul"),
    pytest.param(b"\xff\xfe\n\xe3\x81\n\x82\n", [b"\xff\xfe", b"\xe3\x81", b"\x82"], id="not-utf-8"),
    pytest.param("a\u2028b\x0bc\x0cd\x1ce\x85f\n".encode(), ["a\u2028b\x0bc\x0cd\x1ce\x85f".encode()], id="no-newlines"),
    pytest.param("ab\n".encode("utf-16-le"), [b"a\0b\0"], id="utf-16"),
]  # fmt: skip


def lines_of(splitter, *pieces):
    """Feed *pieces* and return all lines."""
    return [line for piece in pieces for line in splitter.feed(piece)]


def cuts(data):
    """*data* in two pieces, cut at each offset."""
    return [(data[:i], data[i:]) for i in range(len(data) + 1)]


def plain(data, limit, mode):
    """What the lines of *data* are, said as simply as possible: (lines, longer ones, bytes not returned)."""
    *whole, _ = data.split(b"\n")
    long = [line for line in whole if len(line) > limit]
    if mode == "split":
        pieces = [[line[i : i + limit] for i in range(0, len(line), limit)] or [b""] for line in whole]
        return [piece for line in pieces for piece in line], len(long), 0
    kept = [line[:limit] for line in whole if mode == "truncate" or len(line) <= limit]
    return kept, len(long), sum(map(len, whole)) - sum(map(len, kept))


def ended(data):
    """*data* as if its last line had its newline."""
    return data if data[-1:] in (b"", b"\n") else data + b"\n"


class Fed:
    """Feed *data* in pieces of the given *sizes* (the last one again and again), checking every promise on the way."""

    def __init__(self, data, sizes, *, start=b"", limit=1 << 20, mode="split", max_lines=1 << 62):
        self.file = start + data
        self.splitter = LineSplitter(
            len(start), tail=start, max_line_size=limit, long_lines=mode, max_lines=max_lines
        )
        self.lines: list[bytes] = []
        sizes = list(sizes)
        while self.splitter.read_offset < len(self.file):
            size = sizes.pop(0) if len(sizes) > 1 else sizes[0]
            self._feed(size, limit, max_lines)

    def _feed(self, size, limit, max_lines):
        splitter, before = self.splitter, self.splitter.read_offset
        lines = splitter.feed(self.file[before : before + size])
        assert before < splitter.read_offset <= before + size
        assert splitter.partial_size == splitter.read_offset - splitter.end_offset
        assert splitter.tail == self.file[: splitter.read_offset][-MARKER_SIZE:]
        assert splitter.window == self.file[: splitter.end_offset][-MARKER_SIZE:]
        assert all(len(line) <= limit for line in lines)
        assert len(lines) <= max(max_lines, 1) + size // limit + 1
        self.lines += lines


@pytest.mark.parametrize(("data", "lines"), TEXTS)
def test_cut_anywhere(data, lines):
    """The lines and the offset after them are the same wherever the reads are cut (T11, T22, T25, T26, T27, T30, T31)."""
    for pieces in cuts(data):
        splitter = LineSplitter()

        assert lines_of(splitter, *pieces) == lines
        assert splitter.read_offset == len(data)
        assert splitter.end_offset == data.rfind(b"\n") + 1
        assert splitter.partial_size == len(data) - splitter.end_offset


@pytest.mark.parametrize(("data", "lines"), TEXTS)
def test_byte_by_byte(data, lines):
    """Reads of a single byte give the same lines."""
    assert lines_of(LineSplitter(), *(data[i : i + 1] for i in range(len(data)))) == lines


def test_a_partial_line_is_kept_however_many_reads_it_takes():
    """Nothing is returned before the newline; then the line is whole (T22)."""
    splitter = LineSplitter()

    assert splitter.feed(b"abc") == []
    assert splitter.feed(b"") == []
    assert (splitter.end_offset, splitter.partial_size) == (0, 3)
    assert splitter.feed(b"def\n") == [b"abcdef"]
    assert (splitter.end_offset, splitter.partial_size) == (7, 0)


def test_a_partial_line_is_known_by_its_length():
    """A partial line that is "0" is one: its truth is not asked for (T25)."""
    splitter = LineSplitter()
    splitter.feed(b"0")

    assert splitter.partial_size == 1
    assert splitter.feed(b"1 rest\n") == [b"01 rest"]


@pytest.mark.parametrize(("data", "flushed"), [(b"a\nb", [b"b"]), (b"a\n0", [b"0"]), (b"a\n", []), (b"", [])])
def test_flush_returns_the_partial_line_once(data, flushed):
    """The rest of a file that will not grow is its last line, and offset and bytes before it lie at its end (T24)."""
    splitter = LineSplitter()
    splitter.feed(data)

    assert splitter.flush() == flushed
    assert splitter.flush() == []
    assert splitter.end_offset == splitter.read_offset == len(data)
    assert splitter.window == data
    assert splitter.feed(b"c\n") == [b"c"]


def test_skip_passes_over_bytes_that_are_no_text():
    """Bytes that were passed over count for the offsets, and are part of no line and no marker (T10)."""
    splitter = LineSplitter()
    splitter.feed(b"a\n")
    splitter.skip(10)

    assert (splitter.read_offset, splitter.end_offset) == (12, 12)
    assert splitter.feed(b"b\n") == [b"b"]
    assert splitter.window == b"b\n"


def test_begins_in_the_middle_of_a_file():
    """Offsets count from the start of the file, and the bytes before the first line belong to the marker (T23)."""
    splitter = LineSplitter(100, tail=b"x" * 2000)

    assert splitter.window == b"x" * MARKER_SIZE
    assert splitter.feed(b"abc\nd") == [b"abc"]
    assert (splitter.read_offset, splitter.end_offset) == (105, 104)
    assert splitter.window == b"x" * (MARKER_SIZE - 4) + b"abc\n"
    assert splitter.tail == b"x" * (MARKER_SIZE - 5) + b"abc\nd"


LONG = [
    pytest.param(b"12345\n", "split", [b"1234", b"5"], 1, 0, id="split"),
    pytest.param(b"1234\n", "split", [b"1234"], 0, 0, id="split-fits"),
    pytest.param(b"12345678\n", "split", [b"1234", b"5678"], 1, 0, id="split-multiple"),
    pytest.param(b"123456789\n12345\n1\n", "split", [b"1234", b"5678", b"9", b"1234", b"5", b"1"], 2, 0, id="split-two"),
    pytest.param(b"12345\n1\n", "truncate", [b"1234", b"1"], 1, 1, id="truncate"),
    pytest.param(b"1234\n", "truncate", [b"1234"], 0, 0, id="truncate-fits"),
    pytest.param(b"1\n123456789\n2\n", "truncate", [b"1", b"1234", b"2"], 1, 5, id="truncate-between"),
    pytest.param(b"12345\n1\n", "skip", [b"1"], 1, 5, id="skip"),
    pytest.param(b"1234\n", "skip", [b"1234"], 0, 0, id="skip-fits"),
    pytest.param(b"1\n123456789\n2\n", "skip", [b"1", b"2"], 1, 9, id="skip-between"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "mode", "lines", "long_count", "lost_bytes"), LONG)
def test_long_lines(data, mode, lines, long_count, lost_bytes):
    """A line above the limit is split, cut or left out, counted, and the next one is whole, wherever reads end (T28)."""
    for pieces in [*cuts(data), [data[i : i + 1] for i in range(len(data))]]:
        splitter = LineSplitter(max_line_size=4, long_lines=mode)

        assert lines_of(splitter, *pieces) == lines
        assert (splitter.long_count, splitter.lost_bytes) == (long_count, lost_bytes)
        assert splitter.end_offset == len(data)


@pytest.mark.parametrize("mode", MODES)
def test_a_long_line_needs_no_more_memory_than_the_limit(mode):
    """However long a line is, no more than the limit and one read of it is kept (T28)."""
    splitter = LineSplitter(max_line_size=1000, long_lines=mode)
    for _ in range(1000):
        splitter.feed(b"x" * 500)
        assert len(splitter._partial) <= 1000

    expected = {"split": [b"x" * 1000], "truncate": [b"x" * 1000], "skip": []}[mode]
    assert splitter.feed(b"\nnext\n") == [*expected, b"next"]
    assert splitter.lost_bytes == {"split": 0, "truncate": 499_000, "skip": 500_000}[mode]
    assert splitter.long_count == 1


@pytest.mark.parametrize(("mode", "resumed"), [("split", [b"5678", b"9", b"a"]), ("truncate", [b"1234", b"a"]), ("skip", [b"a"])])  # fmt: skip
def test_a_start_within_a_long_line(mode, resumed):
    """Whoever starts again at the end offset gets neither a rest of the long line nor a line twice (T29)."""
    data = b"0\n123456789\na\n"
    splitter = LineSplitter(max_line_size=4, long_lines=mode)
    before = splitter.feed(data[:8])
    after = LineSplitter(splitter.end_offset, max_line_size=4, long_lines=mode)

    assert before == ([b"0", b"1234"] if mode == "split" else [b"0"])
    assert after.feed(data[splitter.end_offset :]) == resumed


@pytest.mark.parametrize(("mode", "lost"), [("split", 0), ("truncate", 5), ("skip", 9)])
def test_flush_of_a_long_line(mode, lost):
    """A long line that ends with the file is treated, and counted, as one that ends with a newline (T24, T28)."""
    splitter = LineSplitter(max_line_size=4, long_lines=mode)
    before = splitter.feed(b"1234567") + splitter.feed(b"89")

    expected = {"split": [b"1234", b"5678", b"9"], "truncate": [b"1234"], "skip": []}[mode]
    assert before + splitter.flush() == expected
    assert (splitter.long_count, splitter.lost_bytes) == (1, lost)
    assert splitter.feed(b"ab\n") == [b"ab"]


def test_takes_no_more_lines_at_once_than_asked():
    """A read that holds more lines is taken in parts, so that the entries of empty lines stay within a chunk."""
    splitter = LineSplitter(max_lines=10)

    assert splitter.feed(b"\n" * 1000) == [b""] * splitter.read_offset
    assert 1 <= splitter.read_offset <= 10


@given(
    st.binary(max_size=200) | st.text("ab\n", max_size=300).map(str.encode),
    st.lists(st.integers(1, 64), min_size=1, max_size=40),
    st.integers(1, 20),
    st.sampled_from(MODES),
    st.integers(1, 8) | st.just(1 << 62),
    st.binary(max_size=30),
)
def test_any_bytes_in_any_pieces(data, sizes, limit, mode, max_lines, start):
    """Lines, counts, offsets and the bytes before them depend on the bytes alone, never on how they were read."""
    fed = Fed(data, sizes, start=start, limit=limit, mode=mode, max_lines=max_lines)
    lines = fed.lines + fed.splitter.flush()

    assert (lines, fed.splitter.long_count, fed.splitter.lost_bytes) == plain(ended(data), limit, mode)
    assert fed.splitter.end_offset == len(start) + len(data)


@given(st.text("ab\n", max_size=200).map(str.encode), st.lists(st.integers(0, 200), max_size=4), st.integers(1, 9), st.sampled_from(MODES))  # fmt: skip
def test_any_restarts(data, stops, limit, mode):
    """However often it is started again at its end offset, every line arrives once and whole (T23, T29)."""
    splitter, lines = LineSplitter(max_line_size=limit, long_lines=mode), []
    for stop in [*sorted(stops), len(data)]:
        lines += splitter.feed(data[splitter.read_offset : max(stop, splitter.read_offset)])
        if stop != len(data):
            splitter = LineSplitter(splitter.end_offset, max_line_size=limit, long_lines=mode)
    lines += splitter.flush()

    assert lines == plain(ended(data), limit, mode)[0]
