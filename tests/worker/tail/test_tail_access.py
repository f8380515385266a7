"""Files that cannot be opened, that are not files, and descriptors that run out: it waits, says so once, and goes on."""

from __future__ import annotations

import contextlib
import os
import shutil

import pytest
from following import Log, open_descriptors


def test_closed_to_us_after_it_was_opened(guarded, said):
    """A file that is being read is read on, whatever becomes of its mode; nothing is said about it (T35)."""
    log, follower = guarded
    log.append("one")
    follower.start()
    follower.follow()
    with open(log.path, "ab") as writer:
        log.path.chmod(0)
        writer.write(b"two\n")
        writer.flush()
        follower.follow()

    assert follower.lines == ["one", "two"]
    assert said() == []


def test_a_new_file_that_is_closed_to_us(guarded, said):
    """Rotated to a file that nobody may read: the old one is drained, the new one read when it is allowed; two lines say so (T35)."""
    log, follower = guarded
    log.append("one")
    follower.start()
    old = log.rotate()
    log.append("two")
    log.path.chmod(0)
    log.append("late", to=old)
    follower.follow(30)
    assert follower.lines == ["one", "late"]
    assert follower.trouble == said()[0]
    assert follower.tail.troubles.is_waiting
    log.path.chmod(0o644)
    follower.follow()

    assert follower.lines == ["one", "late", "two"]
    assert said() == [
        f"{log.path}: it cannot be opened (Permission denied); let user {os.geteuid()} read it; trying again",
        f"{log.path}: it can be opened again",
    ]
    assert follower.trouble == ""


def test_closed_to_us_at_the_first_start(guarded, said):
    """A log that cannot be read at the first start is begun as configured when it can: it was there (T19, T35)."""
    log, follower = guarded
    log.append("one")
    log.path.chmod(0)
    follower.start()
    follower.follow(5)
    log.path.chmod(0o644)
    follower.follow()

    assert follower.lines == ["one"]
    assert len(said()) == 2


def test_a_directory_that_is_closed_to_us(guarded, said):
    """The same for a directory in the path; what is open stays open, and one look costs one attempt (T35)."""
    log, follower = guarded
    log.append("one")
    follower.start()
    follower.follow()
    log.path.parent.chmod(0)
    follower.follow(20)
    log.path.parent.chmod(0o755)
    log.append("two")
    log.rotate()
    log.append("three")
    follower.finish()

    assert follower.lines == ["one", "two", "three"]
    assert len(said()) == 2


def test_no_directory(directory, make_follower):
    """Where even the directory is missing, it waits, and reads what comes from 0 (T36)."""
    log = Log(directory / "later" / "deep" / "app.log")
    follower = make_follower(log.path, read_from_head=False).start()
    follower.follow(5)
    log.path.parent.mkdir(parents=True)
    follower.follow(5)
    log.append("one")
    follower.follow()

    assert follower.lines == ["one"]


def test_directory_is_removed_and_made_again(log, follower):
    """A directory that is removed and made again changes nothing (T36)."""
    log.append("one")
    follower.start()
    follower.follow()
    log.append("two")
    shutil.rmtree(log.path.parent)
    follower.follow(20)
    log.path.parent.mkdir()
    log.append("three")
    follower.follow()

    assert follower.lines == ["one", "two", "three"]


def test_directory_is_renamed(log, follower):
    """Neither does one that is renamed, while a new one takes its place (T16, T36)."""
    log.append("one")
    follower.start()
    follower.follow()
    log.append("two")
    log.path.parent.rename(log.path.parent.with_name("old"))
    log.path.parent.mkdir()
    log.append("three")
    follower.finish()

    assert follower.lines == ["one", "two", "three"]


def test_a_file_where_a_directory_should_be(directory, make_follower):
    """A part of the path that is a file is like one that is missing (T36)."""
    log = Log(directory / "part" / "app.log")
    log.path.parent.write_text("")
    follower = make_follower(log.path).start()
    follower.follow(3)
    log.path.parent.unlink()
    log.path.parent.mkdir()
    log.append("one")
    follower.follow()

    assert follower.lines == ["one"]


def make_socket(path):
    import socket

    with contextlib.closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.bind(str(path))


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, make_socket], ids=["directory", "fifo", "socket"])
def test_something_else_at_the_path(log, follower, said, make):
    """What is no regular file is not opened, so it cannot block; it is said once, and a file that comes is read (T37)."""
    log.append("one")
    follower.start()
    follower.follow()
    log.rotate()
    make(log.path)
    follower.follow(30)
    assert follower.lines == ["one"]
    (os.rmdir if make is os.mkdir else os.unlink)(log.path)
    log.append("two")
    follower.finish()

    assert follower.lines == ["one", "two"]
    assert said() == [
        f"{log.path}: it cannot be opened (it is not a regular file); trying again",
        f"{log.path}: it can be opened again",
    ]


def test_a_link_to_a_device(directory, make_follower, said):
    """A device behind a link is not opened either: opening it may have effects (T37)."""
    path = directory / "app.log"
    path.symlink_to("/dev/zero")
    follower = make_follower(path).start()
    follower.follow(3)

    assert follower.lines == []
    assert len(said()) == 1


def test_a_link_to_itself(directory, make_follower, said):
    """A path that can never be resolved is reported as what it is."""
    path = directory / "app.log"
    path.symlink_to("app.log")
    make_follower(path).start().follow(3)

    assert len(said()) == 1
    assert "Too many levels of symbolic links" in said()[0]


@pytest.mark.parametrize("left", range(4))
def test_no_descriptors_while_it_rotates(log, follower, said, make_descriptors, left):
    """With no or few descriptors left every generation is still read, in order, as soon as there are some again (T38)."""
    log.append("0")
    follower.start()
    follower.follow()
    few = make_descriptors(left)
    for number in range(1, 5):
        log.append(f"{number} a")
        log.rotate()
        log.append(f"{number} b")
        with few:
            for _ in range(3):
                follower.look()
    follower.finish()

    assert follower.lines == ["0", "1 a", "1 b", "2 a", "2 b", "3 a", "3 b", "4 a", "4 b"]
    assert all("a generation cannot be opened now (Too many open files)" in s or "again" in s for s in said())
    assert len(said()) == 2


def test_no_descriptors_at_the_start(log, make_follower, said, make_descriptors):
    """The same at a start: positions are not given up because a file could not be opened (T38)."""
    log.append("one")
    follower = make_follower(read_from_head=False).start()
    log.append("two")
    follower.follow()
    follower.stop()
    log.append("three")
    log.rotate()
    log.append("four")
    with make_descriptors(1):  # for the checkpoint
        follower.start()
        follower.look()
        follower.kill_and_start()
    follower.finish()

    assert follower.lines == ["two", "three", "four"]
    assert len(said()) == 3  # in both lives that it is so, and that it is over


def test_no_descriptors_when_a_file_is_cut_short(log, follower, said, make_descriptors):
    """A copy that cannot be looked for now is looked for when there are descriptors again (T07, T38)."""
    log.append("one")
    follower.start()
    follower.follow()
    log.append("two")
    log.copytruncate()
    log.append("three")
    with make_descriptors(0):
        for _ in range(3):
            follower.look()
    follower.finish()

    assert follower.lines == ["one", "two", "three"]
    assert len(said()) == 2


def test_no_descriptor_is_lost(log, follower, said, make_descriptors):
    """Whatever went wrong, everything that was opened is closed again (T38, T51)."""
    log.append("0")
    follower.start()
    limits = [make_descriptors(left) for left in range(5)]
    before = open_descriptors()
    for few in limits:
        log.rotate()
        log.append("x")
        with few:
            follower.look()
        follower.finish()

    assert open_descriptors() == before
    assert said()
