"""Files that are cut short: copytruncate in all its forms, holes, and sizes that are not to be believed."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest
from following import ROTATE_WAIT, numbered

from fluentlite.core.rotation import is_rotated_name
from fluentlite.worker import directory, troubles
from fluentlite.worker.files import open_log

GIB = 1 << 30


def test_copytruncate(log, follower):
    """A file that becomes shorter is read from 0 again; what it had is neither lost nor read twice from the copy (T07, T09)."""
    log.append(*numbered(1, 100))
    follower.start()
    follower.follow()
    log.copytruncate()
    log.append("new")
    follower.finish()

    assert follower.lines == [*numbered(1, 100), "new"]
    assert follower.points == [(log.inode(), 4)]


def test_copytruncate_without_a_copy(log, follower):
    """The same where only the log itself is emptied: ``: > log`` (T07)."""
    log.append(*numbered(1, 100))
    follower.start()
    follower.follow()
    log.path.write_bytes(b"")
    log.append("new")
    follower.follow(2)

    assert follower.lines == [*numbered(1, 100), "new"]


def test_truncated_to_something(log, follower):
    """A file that is cut in the middle has lost its end, and what follows is read: restart at 0 means its rest comes again (T07)."""
    log.append("one", "two", "three")
    follower.start()
    follower.follow()
    os.truncate(log.path, 4)
    log.append("four")
    follower.follow(2)

    assert follower.lines == ["one", "two", "three", "one", "four"]


def test_unread_lines_are_found_in_the_copy(log, follower):
    """What had not been read when the file was cut short is read from the copy, before the new content (T07, T09)."""
    log.append("one")
    follower.start()
    follower.follow()
    log.append("two", "three")
    log.copytruncate()
    log.append("four")
    follower.finish()

    assert follower.lines == ["one", "two", "three", "four"]


@pytest.fixture
def bad_disk(monkeypatch):
    """Makes the disk give errors for so many files that are opened beside the log."""
    left = []

    def open_unless_bad(path):
        if left and is_rotated_name("app.log", os.path.basename(path)):
            left.pop()
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        return open_log(path)

    monkeypatch.setattr(directory, "open_log", open_unless_bad)
    return lambda count: left.extend([None] * count)


def test_the_copy_cannot_be_read_for_a_moment(log, follower, said, bad_disk):
    """While the disk refuses the copy it is waited for: without it all of it would come again (T07)."""
    log.append("one")
    follower.start()
    follower.follow()
    log.append("two", "three")
    log.copytruncate()
    log.append("four")
    bad_disk(1)
    follower.finish()

    assert follower.lines == ["one", "two", "three", "four"]
    assert "a generation cannot be opened now (Input/output error)" in said()[0]


def test_the_copy_cannot_be_read_at_all(log, follower, said, bad_disk, monkeypatch):
    """A copy that the disk does not give for long holds up nothing: the new content is read without it (T07)."""
    monkeypatch.setattr(troubles, "COPY_PATIENCE", 0.3)
    log.append("one")
    follower.start()
    follower.follow()
    log.append("two")
    follower.look()
    log.copytruncate()
    log.append("three")
    bad_disk(10_000)
    follower.finish()

    assert follower.lines == ["one", "three"]
    assert any("4 bytes had not been read and are in no copy" in text for text in said())


def test_lines_only_the_copy_has_never_been_read(log, follower):
    """The same when nothing at all had been read before."""
    log.append("one")
    follower.start()
    follower.look()
    log.copytruncate()
    log.append("two")
    follower.finish()

    assert follower.lines == ["one", "two"]


def test_several_copies_between_two_looks(log, follower):
    """Copies of which nobody saw the original are read as well, oldest first (T04, T07)."""
    log.append("one")
    follower.start()
    follower.follow()
    for line in ("two", "three", "four"):
        log.append(line)
        log.copytruncate()
    log.append("five")
    follower.finish()

    assert follower.lines == ["one", "two", "three", "four", "five"]


def test_unread_lines_that_no_copy_has(log, follower, said):
    """What had not been read and is nowhere is gone; how much that was is said with path and inode (T07, T09)."""
    log.append("one")
    follower.start()
    follower.follow()
    log.append("nobody read this")
    follower.look()
    inode = log.inode()
    log.path.write_bytes(b"")
    log.append("new")
    follower.follow(2)

    assert follower.lines == ["one", "new"]
    assert said() == [f"{log.path} (inode {inode}): cut short; 17 bytes had not been read and are in no copy"]


def test_partial_line_before_a_truncation(log, follower):
    """The partial line of what was cut off is a line of its own, never the begin of the first new one (T07, T24)."""
    log.append("one")
    log.write("stale-prefix")
    follower.start()
    follower.follow()
    log.copytruncate()
    log.append("fresh line")
    follower.finish()

    assert sorted(follower.lines) == ["fresh line", "one", "stale-prefix"]


@pytest.mark.parametrize("size", [1023, 1024, 1025, 5000])
def test_fast_regrow(log, follower, size):
    """Cut short and filled beyond its old size between two looks: the bytes before the offset tell, not the size (T08)."""
    log.append("x" * (size - 1))
    follower.start()
    follower.follow()
    log.path.write_bytes(b"")
    lines = [f"new {number}" for number in range(size)]
    log.append(*lines)
    assert log.path.stat().st_size > 2 * size
    follower.follow(2)

    assert follower.lines == ["x" * (size - 1), *lines]


def test_fast_regrow_to_the_same_size(log, follower):
    """The same where the new content is just as long (T08)."""
    log.append("aaaa")
    follower.start()
    follower.follow()
    log.path.write_bytes(b"")
    log.append("bbbb")
    follower.follow(2)

    assert follower.lines == ["aaaa", "bbbb"]


def test_fast_regrow_before_anything_was_read(log, follower):
    """And where the offset is still 0: the first bytes tell (T08)."""
    log.append("old")
    follower.start()
    follower.look()
    log.copytruncate()
    log.append("much longer")
    follower.look()
    follower.finish()

    assert follower.lines == ["old", "much longer"]


def test_fast_regrow_while_the_agent_reads_chunk_by_chunk(log, make_follower):
    """Cut short while it is read: chunks on their way belong to the old content, later ones to the new (T08)."""
    follower = make_follower(read_buffer_size=512).start()
    log.append(*numbered(1, 100))
    follower.look()
    follower.read(most=3)
    log.copytruncate()
    log.append(*numbered(101, 300))
    follower.finish()

    assert follower.lines == numbered(1, 300)


def test_chunks_of_both_contents_have_ids_of_their_own(log, follower):
    """The same bytes at the same offsets after a truncation are other lines: a server must not drop them (T07, S06)."""
    follower.start()
    ids = []
    for _ in range(3):
        log.append("same")
        follower.look()
        ids += [chunk.id for chunk in follower.read()]
        follower.deliver()
        log.path.write_bytes(b"")
        follower.look()
        follower.look()

    assert len(set(ids)) == len(ids) == 3


def test_truncated_again_and_again(log, follower):
    """Each truncation ends one content and begins the next; nothing of it is kept (T07, T51)."""
    follower.start()
    expected = []
    for number in range(50):
        log.append(f"{number} a", f"{number} b")
        follower.follow()
        log.copytruncate("app.log.1")
        expected += [f"{number} a", f"{number} b"]
    follower.finish()

    assert follower.lines == expected
    assert len(follower.tail.generations) == 1


def test_lines_that_did_not_fit_before_a_truncation(log, make_follower):
    """Lines read but left for the next chunk survive the truncation, and so does a long partial line behind them (T07, T24)."""
    follower = make_follower(read_buffer_size=1000, max_line_size=1000).start()
    lines = ["a" * 300, "b" * 300, "c" * 300]
    log.append(*lines)
    log.write("p" * 990)
    follower.look()
    follower.read(most=1)
    log.path.write_bytes(b"")
    log.append("new")
    follower.finish()
    follower.finish()

    assert sorted(follower.lines) == sorted([*lines, "p" * 990, "new"])


def writer_without_append(path):
    return os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)


@pytest.mark.parametrize("size", [10, 5000, 200_000])
def test_writer_without_append(log, follower, said, size):
    """Behind copytruncate its writer leaves NULs up to the old offset: passed over, and the first line has none (T10)."""
    fd = writer_without_append(log.path)
    os.write(fd, b"x" * (size - 1) + b"\n")
    follower.start()
    follower.follow()
    log.copytruncate()
    os.write(fd, b"first\nsecond\n")
    os.close(fd)
    follower.finish()

    assert follower.lines == ["x" * (size - 1), "first", "second"]
    assert f"{size} NUL bytes at offset 0" in said()[0]
    assert len(said()) == 1


def test_a_long_run_of_nuls_costs_no_memory(log, follower, said):
    """100 MB of real NUL bytes, no hole, are passed over with bounded memory, in bounded time per look (T10)."""
    with open(log.path, "wb") as file:
        for _ in range(100):
            file.write(bytes(1 << 20))
        file.write(b"text\n")
    before = peak_memory()
    follower.start()
    follower.follow(5)

    assert follower.lines == ["text"]
    assert f"{100 << 20} NUL bytes at offset 0" in said()[0]
    assert peak_memory() - before < 16 << 20


def peak_memory():
    """Most memory that this process ever had resident, in bytes."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def test_nuls_at_the_end_may_be_space_not_yet_written(log, follower):
    """A file that was made larger in advance: its lines arrive as they are written into it, each once (T10)."""
    log.append("one")
    os.truncate(log.path, 1000)
    follower.start()
    follower.follow(3)
    with open(log.path, "r+b") as file:
        for number, line in enumerate((b"two\n", b"three\n", b"four\n")):
            file.seek(4 + sum((4, 6, 5)[:number]))
            file.write(line)
            file.flush()
            follower.follow(2)

    assert follower.lines == ["one", "two", "three", "four"]


def test_a_hole_in_the_middle(log, follower, said):
    """A hole behind some lines is passed over as well, and separates what stands before and behind it (T10)."""
    log.append("before")
    log.write("cut")
    os.truncate(log.path, 10_000_000)
    log.append("behind")
    follower.start()
    follower.follow(2)

    assert follower.lines == ["before", "cut", "behind"]
    assert "NUL bytes" in said()[0]


def test_nuls_in_a_line(log, follower):
    """A few NULs are bytes of a line like others, also where a read begins with them (T11)."""
    follower.start()
    for text in (b"a\0b\n", b"part", b"\0", b"\0\0rest\n", b"\0\n"):
        log.write(text)
        follower.follow()

    assert follower.raw_lines == [b"a\0b", b"part\0\0\0rest", b"\0"]


def test_a_line_of_nuls_at_the_very_begin(log, follower, said):
    """NULs at the start of a file are what copytruncate leaves, however few; the line behind them arrives (T10, T11)."""
    log.write(b"\0\0\0text\n")
    follower.start()
    follower.follow()

    assert follower.raw_lines == [b"text"]
    assert "3 NUL bytes at offset 0" in said()[0]


def test_beyond_4_gib(log, make_follower):
    """Offsets beyond 4 GiB are followed, kept and found again (T32)."""
    log.create()
    os.truncate(log.path, 5 * GIB)
    log.append("")
    follower = make_follower(read_from_head=False).start()
    log.append("one")
    follower.follow()
    assert follower.points == [(log.inode(), 5 * GIB + 5)]
    follower.kill_and_start()
    log.append("two")
    follower.follow()

    assert follower.lines == ["one", "two"]
    assert follower.points == [(log.inode(), 5 * GIB + 9)]


def test_beyond_4_gib_from_the_head(log, follower, said):
    """A hole of 5 GiB is passed over in one step (T10, T32)."""
    log.create()
    os.truncate(log.path, 5 * GIB)
    log.append("one", "two")
    follower.start()
    follower.follow()

    assert follower.lines == ["one", "two"]
    assert follower.points == [(log.inode(), 5 * GIB + 8)]
    assert f"{5 * GIB} NUL bytes" in said()[0]


def test_a_size_that_was_not_true(log, follower):
    """A file that seems shorter in one look and is whole in the next was not cut short: nothing is read again (T40)."""
    content = b"".join(b"line %d\n" % number for number in range(1000))
    log.write(content)
    follower.start()
    follower.follow()
    for size in (0, 1, 4000):
        os.truncate(log.path, size)  # what a stale attribute of a network file system looks like
        follower.look(1.0)
        assert follower.read() == []
        assert follower.tail.is_suspect
        log.path.write_bytes(content)
        follower.look(0.05)
        assert follower.read() == []
        follower.follow()
    log.append("last")
    follower.follow()

    assert follower.lines == [*(f"line {number}" for number in range(1000)), "last"]


def test_a_smaller_size_that_stays(log, follower):
    """It is believed when it is still so a moment later (T07, T40)."""
    log.append("one", "two")
    follower.start()
    follower.follow()
    os.truncate(log.path, 4)
    follower.look(1.0)
    assert follower.read() == []
    follower.look(0.2)

    assert follower.read_lines() == ["one"]


def test_a_copy_is_written_over_while_it_is_read(log, follower):
    """The next copy goes into the same file while the last one is still read: each line once (T03, T07)."""
    log.append("1")
    follower.start()
    for number in range(2, 8):
        for _ in range(3):
            follower.look()
            follower.read(most=1)
        log.copytruncate("app.log.1")
        log.append(str(number))
        follower.look()
        follower.deliver()
    follower.finish()

    assert follower.lines == ["1", "2", "3", "4", "5", "6", "7"]


def test_what_a_copy_that_is_written_over_takes_with_it(log, follower, said):
    """Nothing can be sent, and the only copy of unread lines is written over: how much is gone is said (T02, T07)."""
    log.append("one")
    follower.start()
    for line in ("two", "three"):
        follower.look()
        copy = log.copytruncate("app.log.1")
        log.append(line)
    follower.look()
    follower.finish()

    assert follower.lines == ["two", "three"]
    assert said() == [f"{copy} (inode {copy.stat().st_ino}): cut short; 4 bytes had not been read and are in no copy"]  # fmt: skip


def test_a_rotated_file_is_cut_short(log, follower):
    """A rotated file that is emptied while its late lines are awaited does not disturb the new one (T01, T07)."""
    log.append("one")
    follower.start()
    follower.follow()
    old = log.rotate()
    log.append("two")
    follower.follow()
    old.write_bytes(b"")
    log.append("three")
    follower.finish()

    assert follower.lines == ["one", "two", "three"]


def test_truncated_while_blocked(log, follower):
    """Nothing can be sent, and it is cut short again and again with copies: every line arrives afterwards (T03, T07)."""
    log.append("0")
    follower.start()
    for number in range(1, 6):
        for _ in range(3):
            follower.look(ROTATE_WAIT)
        log.copytruncate()
        log.append(str(number))
    for _ in range(3):
        follower.look(ROTATE_WAIT)
    follower.finish()

    assert follower.lines == ["0", "1", "2", "3", "4", "5"]


def test_a_copy_by_hand_is_not_a_rotation(log, follower):
    """A copy that somebody keeps beside the log is never read, whatever its name (T09, T13)."""
    log.append("one", "two")
    follower.start()
    follower.follow()
    for name in ("app.log.bak", "app.log.1"):
        shutil.copyfile(log.path, log.path.with_name(name))
    log.append("three")
    follower.follow()

    assert follower.lines == ["one", "two", "three"]
