"""Lines that are made and compared in blocks are the lines that are made one by one; no byte goes unseen."""

from __future__ import annotations

import pytest

from .lines import line, lines, number_of, runs_of


@pytest.mark.parametrize(
    ("first", "end"),
    [(0, 1), (0, 8001), (999, 1001), (4997, 5000), (17 * 10**9 + 6_999_990, 17 * 10**9 + 7_000_010), (5, 5)],
)
def test_blocks_are_made_of_lines(first, end):
    """However numbers lie in blocks: what is written are the lines, one by one."""
    assert lines(first, end) == b"".join(line(number) + b"\n" for number in range(first, end))


def test_all_bytes_but_the_newline_are_in_lines():
    """Every byte that may stand in a line does, also at the ends, and lines are of many sizes."""
    made = [line(number) for number in range(7000)]
    assert {byte for data in made for byte in data} >= {
        *range(0x20, 0x7F),
        0x00,
        0x0D,
        0x1B,
        0x80,
        0xC3,
        0xFF,
    }
    assert not any(b"\n" in data for data in made)
    assert {len(data) for data in made} >= set(range(26, 177))
    assert 95 < sum(map(len, made)) / len(made) + 1 < 115
    assert max(map(len, made)) > 25_000


def test_successive_lines_are_one_run():
    """What is compared at once is what is compared line by line."""
    assert runs_of(lines(900, 3100).split(b"\n")[:-1]) == [(900, 2200, b"")]
    assert runs_of([]) == []


def test_a_gap_a_repetition_and_another_log():
    """A run ends where numbers do not go on by one."""
    numbers = [*range(5, 9), *range(10, 20), 19, 10**9]
    assert runs_of([line(n) for n in numbers]) == [(5, 4, b""), (10, 10, b""), (19, 1, b""), (10**9, 1, b"")]


@pytest.mark.parametrize("at", [0, 1, 250, 498, 499])
def test_one_changed_byte_in_a_chunk(at):
    """Wherever in a chunk a byte of a line differs: that line is none, and the others are found."""
    data = [line(n) for n in range(1000, 1500)]
    for changed in (
        data[at][:-1],
        data[at] + b"\0",
        data[at][:13] + b"~~" + data[at][15:],
        b"",
        b"\n",
        b"000",
    ):
        runs = runs_of([*data[:at], changed, *data[at + 1 :]])

        assert [run for run in runs if run[0] < 0] == [(-1, 1, changed)]
        assert [run for run in runs if run[0] >= 0 and run[1]] == [
            run for run in ((1000, at, b""), (1001 + at, 499 - at, b"")) if run[1]
        ]


def test_newlines_cannot_hide_in_a_line():
    """Two lines that arrive as one are no line, and neither is one that arrives as two."""
    assert [run[0] for run in runs_of([line(1) + b"\n" + line(2)])] == [-1]
    assert [run[0] for run in runs_of([line(1), line(2) + b"\n", line(3)])] == [1, -1, 3]
    assert [run[0] for run in runs_of([line(3)[:20], line(3)[20:]])] == [-1, -1]


def test_the_digits_of_a_number_are_ascii():
    """What only looks like a number is none."""
    assert number_of("١".encode() * 6 + line(1)[12:]) == -1
    assert number_of(b"+00000000001" + line(1)[12:]) == -1
    assert number_of(line(1)) == 1
