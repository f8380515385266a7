"""Disks that give errors instead of a log's bytes: said, tried again with pauses, and nothing else waits for them."""

import errno
import os

import pytest
from disks import BadSpots
from following import ROTATE_WAIT, numbered

from fluentlite.worker.unreadable import FIRST_REST, LONGEST_REST


@pytest.fixture
def bad(monkeypatch):
    return BadSpots(monkeypatch)


def test_in_the_middle_of_a_log(log, follower, said, bad):
    """What is before the bad spot arrives, what is behind it when it can be read; path, inode and offset are said once (T35)."""
    log.append(*numbered(1, 1000))
    bad.add(log.path, 6000, 6500)
    follower.start()
    follower.follow(20)
    assert follower.lines == numbered(1, 500)
    (message,) = said()
    assert message == (
        f"{log.path} (inode {log.inode()}): it cannot be read at offset 6000 (Input/output error); see to its file "
        "system; its position is kept; trying again"
    )
    assert follower.trouble == message
    bad.mend()
    follower.follow(2 * LONGEST_REST)

    assert follower.lines == numbered(1, 1000)
    assert follower.trouble == ""
    assert said()[1:] == [f"{log.path}: it can be read again"]


def test_it_is_tried_with_pauses(log, follower, said, bad):
    """A dying disk is not asked all the time: less and less often, up to twice a minute (T35)."""
    log.append(*numbered(1, 100))
    bad.add(log.path, 600)
    follower.start()
    for _ in range(200):
        follower.look(0.01)  # hints may come as they like
        follower.read()
    assert bad.attempts <= 2 * (2.0 / FIRST_REST + 1), "in the first two seconds"
    follower.follow(300)
    at_first = bad.attempts
    follower.follow(300)

    assert 2 <= bad.attempts - at_first <= 2 * (300 / LONGEST_REST + 1)
    assert len(said()) == 1


@pytest.mark.parametrize("end", ["kill", "stop", None])
def test_a_rotated_one_holds_up_nobody(log, follower, said, bad, end):
    """A rotated file that cannot be read is kept, however long, also over a restart; the newer ones arrive meanwhile (T35)."""
    log.append(*numbered(1, 100))
    bad.add(log.path, 600)
    follower.start()
    follower.follow()
    for number in range(3):
        log.rotate()
        log.append(f"newer {number}")
        follower.follow(3 * ROTATE_WAIT)
    assert follower.lines == [*numbered(1, 50), "newer 0", "newer 1", "newer 2"]
    assert follower.points[0] == (os.stat(f"{log.path}.3").st_ino, 600)
    assert "at offset 600" in follower.trouble
    if end:
        getattr(follower, f"{end}_and_start")()
        follower.follow(3 * ROTATE_WAIT)
        assert follower.points[0][1] == 600
    bad.mend()
    follower.follow(2 * LONGEST_REST)

    assert sorted(follower.lines) == sorted([*numbered(1, 100), "newer 0", "newer 1", "newer 2"])
    assert len(follower.points) == 1
    assert follower.trouble == ""
    assert "it can be read again" in said()[-1]


def test_late_lines_that_cannot_be_read(log, follower, said, bad):
    """A rotated file that was read to its end, and gives an error for what came later, is not over after rotate_wait (T03, T35)."""
    log.append(*numbered(1, 50))
    follower.start()
    follower.follow()
    old = log.rotate()
    log.append("newer")
    follower.follow()
    log.append("late", to=old)
    bad.add(old, 600)
    follower.follow(10 * ROTATE_WAIT)
    assert len(follower.points) == 2
    bad.mend()
    follower.follow(2 * LONGEST_REST)

    assert follower.lines == [*numbered(1, 50), "newer", "late"]
    assert len(follower.points) == 1
    assert said()


def test_two_at_once(log, follower, said, bad):
    """It is over when all can be read again, not when one of them can (T35)."""
    log.append(*numbered(1, 100))
    follower.start()
    bad.add(log.path, 600)
    old = log.rotate()
    log.append(*numbered(101, 200))
    bad.add(log.path, 600)
    follower.follow(5)
    bad.mend(log.path)
    follower.follow(2 * LONGEST_REST)
    assert sorted(follower.lines) == sorted([*numbered(1, 50), *numbered(101, 200)])
    assert f"(inode {old.stat().st_ino}): it cannot be read at offset 600" in follower.trouble
    bad.mend()
    follower.follow(2 * LONGEST_REST)

    assert sorted(follower.lines) == numbered(1, 200)
    assert follower.trouble == ""
    assert said()


def test_at_the_first_sight(log, make_follower, said, bad):
    """A log whose end cannot be read when it is first seen begins there, when it can be (T35)."""
    log.append(*numbered(1, 100))
    bad.add(log.path, 0)
    follower = make_follower(read_from_head=False).start()
    follower.follow(5)
    assert (
        "it cannot be opened (Input/output error); see to its file system; trying again" in follower.trouble
    )
    bad.mend()
    follower.follow()
    log.append("next")
    follower.follow()

    assert follower.lines == ["next"]
    assert len(said()) == 2


def test_a_new_file_at_the_path(log, follower, said, bad):
    """A new file whose first bytes cannot be read, after one that was deleted: both are there when they can be read (T02, T35)."""
    log.append(*numbered(1, 50))
    follower.start()
    follower.follow()
    log.path.rename(log.path.with_name("gone"))
    log.append("new")
    bad.add(log.path, 0)
    log.append("late", to=log.path.with_name("gone"))
    log.path.with_name("gone").unlink()
    follower.follow(5)
    bad.mend()
    follower.follow(2 * LONGEST_REST)

    assert sorted(follower.lines[50:]) == ["late", "new"]
    assert said()


def test_a_stale_handle(log, follower, said, monkeypatch):
    """A network file system that has forgotten the open file is asked for it by its name (T35)."""
    log.append(*numbered(1, 100))
    follower.start()
    follower.follow()
    stale, pread = follower.tail.newest.fd, os.pread

    def read(fd, size, offset):
        if fd == stale:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return pread(fd, size, offset)

    monkeypatch.setattr(os, "pread", read)
    log.append("next")
    aside = os.open(os.devnull, os.O_RDONLY)  # the new descriptor gets another number
    follower.follow(2 * LONGEST_REST)
    os.close(aside)

    assert follower.lines == [*numbered(1, 100), "next"]
    assert len(said()) == 2
