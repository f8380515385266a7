"""What a line is, from the bytes in the file to the bytes in the message."""

from __future__ import annotations

import os
from pathlib import Path

import msgpack
import pytest
from following import EVENT_TIME_NS, lines_of

MIB = 1 << 20


@pytest.fixture
def sent(log, make_follower):
    """Write pieces of bytes, looking and reading after each, and return the lines that were sent."""

    def sent(*pieces, **settings):
        follower = make_follower(**settings).start()
        for piece in pieces:
            log.write(piece)
            follower.follow()
        return follower.raw_lines

    return sent


def test_partial_line(log, follower):
    """Nothing is sent before the newline, however long it takes; then the line is whole (T22)."""
    follower.start()
    log.write("abc")
    follower.follow(3600)
    assert follower.lines == []
    log.write("def\n")
    follower.follow()

    assert follower.lines == ["abcdef"]


def test_partial_line_that_is_a_zero(sent):
    """A partial line is known by its length, not by its truth (T25)."""
    assert sent(b"0", b"1 rest\n", b"0\n", b"0", b"\n") == [b"01 rest", b"0", b"0"]


@pytest.mark.parametrize("pieces", [[b"a\n\n\n"], [b"a\n", b"\n", b"\n"], [b"a", b"\n\n", b"\n"]])
def test_blank_lines(sent, pieces):
    """Blank lines are records, however the reads fall (T26)."""
    assert sent(*pieces) == [b"a", b"", b""]


@pytest.mark.parametrize("pieces", [[b"a\r\nb\r\n"], [b"a\r", b"\nb\r\n"], [b"a", b"\r\nb", b"\r", b"\n"]])
def test_crlf(sent, pieces):
    """The carriage return stays in the record, wherever the reads fall (T27)."""
    assert sent(*pieces) == [b"a\r", b"b\r"]


@pytest.mark.parametrize("step", range(1, 8))
def test_read_boundaries(sent, step):
    """Wherever a read of any size ends, the lines are the same (T22, T27, T30)."""
    data = "one\r\nzwölf\n\n日本\n0\nlast\n".encode()

    assert sent(data, read_buffer_size=2 * step) == data.split(b"\n")[:-1]


NOT_UTF_8 = [
    pytest.param(b"\xff\xfe\xfd", id="never"),
    pytest.param("Stra\xdfe".encode("latin-1"), id="latin-1"),
    pytest.param("日本語".encode("shift-jis"), id="shift-jis"),
    pytest.param("日".encode()[:2], id="half"),
    pytest.param(bytes(sorted(set(range(256)) - {10})), id="all-bytes"),
]


@pytest.mark.parametrize("line", NOT_UTF_8)
def test_bytes_are_not_touched(log, follower, line):
    """Whatever the bytes are, they travel unchanged, and as msgpack str (T30)."""
    follower.start()
    log.write(b"a" + line + b"\n")
    follower.look()
    (chunk,) = follower.read()

    assert lines_of(chunk) == [b"a" + line]
    assert msgpack.packb("a" + line.decode("utf-8", "surrogateescape"), unicode_errors="surrogateescape") in chunk.steps[0].entries  # fmt: skip


def test_half_a_character_at_a_read_boundary(sent):
    """A character that is cut by a read arrives whole (T30)."""
    assert sent("日".encode()[:1], "日".encode()[1:] + b"\n") == ["日".encode()]


def test_utf_16(sent):
    """UTF-16 is bytes like others: cut at the byte 0A, nothing added, nothing lost, nothing read again (T31)."""
    data = "ab\ncd\n".encode("utf-16")
    lines = sent(data, data[2:])

    assert lines == [b"\xff\xfea\0b\0", b"\0c\0d\0", b"\0a\0b\0", b"\0c\0d\0"]
    assert b"\n".join(lines) + b"\n\0" == data + data[2:]


@pytest.fixture
def peak():
    """Call it for the most memory (bytes) that this process had resident since the test began."""
    Path("/proc/self/clear_refs").write_text("5")  # proc(5): resets the peak

    def peak():
        return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024

    return peak


@pytest.mark.parametrize(("mode", "expected"), [("split", 101), ("truncate", 2), ("skip", 1)])
def test_a_line_of_100_mb(log, make_follower, peak, mode, expected):
    """An endless line needs no more memory than its limit, and the next line is complete at its exact offset (T28)."""
    follower = make_follower(long_lines=mode).start()
    log.write("x")
    follower.follow()
    before, biggest = peak(), 0
    piece = b"x" * MIB
    for number in range(100):
        log.write(piece)
        follower.look()
        chunks = follower.read()
        biggest = max([biggest, *(chunk.size for chunk in chunks)])
        for chunk in chunks:
            assert all(len(line) <= MIB for line in lines_of(chunk)), number
        follower.unacked.clear()
    log.write("\nnext\n")
    follower.follow()

    assert follower.lines[-1] == "next"
    assert follower.points == [(log.inode(), 100 * MIB + 7)]
    assert biggest < MIB + 100
    assert peak() - before < 24 * MIB
    assert follower.tail.generations[0].splitter.long_count == 1


@pytest.mark.parametrize("mode", ["split", "truncate", "skip"])
def test_restart_within_a_long_line(log, make_follower, mode):
    """Stopped inside a long line, it goes on without a second copy of earlier lines or a stray rest (T29)."""
    follower = make_follower(max_line_size=10, long_lines=mode).start()
    log.append("before")
    log.write("0123456789" * 3 + "abc")
    follower.follow()
    follower.kill_and_start()
    follower.follow()
    follower.stop_and_start()
    log.append("def", "after")
    follower.follow()

    long = {"split": ["0123456789"] * 3 + ["abcdef"], "truncate": ["0123456789"], "skip": []}[mode]
    assert follower.lines == ["before", *long, "after"]


def test_a_long_line_at_the_end_of_a_rotated_file(log, make_follower):
    """A long line without its newline ends with its file (T24, T28)."""
    follower = make_follower(max_line_size=10, long_lines="truncate").start()
    log.write("0123456789" * 3)
    follower.follow()
    log.rotate()
    log.append("next")
    follower.finish()

    assert sorted(follower.lines) == ["0123456789", "next"]


def test_chunks_keep_their_limit(log, make_follower):
    """No chunk has more bytes of entries than its limit, however many its lines are, unless one of them is that long (S28)."""
    follower = make_follower(read_buffer_size=4096).start()
    lines = ["x" * (number * 37 % 300) for number in range(2000)] + ["y" * 5000] + [""] * 5000
    log.append(*lines)
    follower.look()
    chunks = follower.read()
    follower.deliver()

    assert follower.lines == lines
    for chunk in chunks:
        size = sum(len(step.entries) for step in chunk.steps)
        assert size <= (4096 if max(map(len, lines_of(chunk))) < 2048 else 5000 + 4096)


def test_one_time_for_one_chunk(log, follower):
    """Lines have the time at which their chunk was read, however old they are: it is documented so (T45)."""
    log.append(*(str(number) for number in range(1000)))
    follower.start()
    (chunk,) = follower.read()
    unpacker = msgpack.Unpacker()
    unpacker.feed(b"".join(step.entries for step in chunk.steps))

    expected = msgpack.ExtType(0, (EVENT_TIME_NS // 10**9).to_bytes(4, "big") + bytes(4))
    assert {time for time, _record in unpacker} == {expected}


def test_a_file_without_a_newline_at_its_end_is_not_read_to_death(log, follower):
    """A partial line is read once, not at each look: nothing is left to do until something is written (T22, T52)."""
    log.write("x" * 100_000)
    follower.start()
    follower.follow()
    before = os.times().user
    for _ in range(200):
        follower.look()
        assert follower.read() == []

    assert os.times().user - before < 0.5


def test_lines_that_are_cut_are_reported(log, make_follower, said):
    """How many lines were too long, and how many of their bytes nobody gets, is said, and not for each line (T28)."""
    follower = make_follower(max_line_size=100, long_lines="truncate").start()
    for _ in range(3):
        log.append("x" * 130, "y")
        follower.look(after=1.0)
        follower.follow()
    follower.look(after=100.0)
    follower.finish()

    assert follower.lines == ["x" * 100, "y"] * 3
    assert [line.partition(": ")[2] for line in said()] == [
        "1 lines were longer than max_line_size; 30 bytes of them are not sent (long_lines)",
        "2 lines were longer than max_line_size; 60 bytes of them are not sent (long_lines)",
    ]
