"""Which file is which: inodes that are used again, files that look alike, files that are replaced by themselves."""

from __future__ import annotations

import dataclasses
import os
import shutil

import pytest
from following import Log, numbered

from fluentlite.worker.checkpoint import Checkpoint

HEADER = "#Fields: date time c-ip cs-method cs-uri-stem sc-status " + "x" * 1100


def recreate(log, inode, *lines):
    """
    Create the log, which is not there, with this free inode number; return whether the file system let us have it.

    ext4 gives free numbers away again, lowest first; tmpfs never does.
    """
    taken = []
    for number in range(300):
        taken.append(log.path.with_name(f"taken {number}"))
        taken[-1].touch()
        if taken[-1].stat().st_ino == inode:
            break
    taken[-1].rename(log.path)
    for path in taken[:-1]:
        path.unlink()
    log.append(*lines)
    return log.inode() == inode


def recreate_while_stopped(log, follower, *lines):
    """The same for a stopped agent; where numbers are never used again the checkpoint says the new one instead."""
    inode = log.inode()
    log.path.unlink()
    if not recreate(log, inode, *lines):
        checkpoint = Checkpoint(follower.state_dir, str(log.path))
        (point,) = checkpoint.state.points
        point = dataclasses.replace(point, identity=dataclasses.replace(point.identity, inode=log.inode()))
        checkpoint.write(dataclasses.replace(checkpoint.state, points=(point,)))
        checkpoint.close()


def test_inode_used_again_while_stopped(log, follower):
    """A new file with the inode of the old one, larger than the offset reached in it, is read from 0 (T12)."""
    log.append(*numbered(1, 100))
    follower.start()
    follower.follow()
    follower.stop()
    new = [f"new {number}" for number in range(500)]
    recreate_while_stopped(log, follower, *new)
    follower.start()
    follower.follow()

    assert follower.lines == [*numbered(1, 100), *new]


def test_inode_used_again_by_a_smaller_file(log, follower):
    """The same where the new file is smaller (T12)."""
    log.append(*numbered(1, 100))
    follower.start()
    follower.follow()
    follower.kill()
    recreate_while_stopped(log, follower, "new")
    follower.start()
    follower.follow()

    assert follower.lines == [*numbered(1, 100), "new"]
    assert follower.points == [(log.inode(), 4)]


def test_inode_used_again_while_running(log, follower):
    """While the old file is still open its inode is not free; once it is closed, a new file with it is a new one (T12)."""
    log.append("old 1", "old 2")
    follower.start()
    follower.follow()
    inode = log.inode()
    log.path.unlink()
    follower.finish()
    recreate(log, inode, *(f"new {number}" for number in range(100)))
    follower.follow()

    assert follower.lines == ["old 1", "old 2", *(f"new {number}" for number in range(100))]


@pytest.mark.parametrize("header", ["short", HEADER])
def test_inode_used_again_with_the_same_header(log, follower, header):
    """The same where the new file begins with the very bytes of the old one, header by header (T12, T13)."""
    log.append(header)
    follower.start()
    follower.follow()
    inode = log.inode()
    log.path.unlink()
    follower.finish()
    recreate(log, inode, header, "line")
    follower.finish()

    assert follower.lines == [header, header, "line"]


def test_chunks_of_a_reused_inode_have_ids_of_their_own(log, follower):
    """Bytes at the same offsets of another file with the same inode are other chunks: no server may drop them (T12, S06)."""
    log.append("one", "same")
    follower.start()
    follower.look()
    first = follower.read()
    follower.deliver()
    follower.stop()
    recreate_while_stopped(log, follower, "two", "same")
    follower.start()
    second = follower.read()

    assert (first[0].file_bytes, second[0].file_bytes) == (9, 9)
    assert first[0].id != second[0].id


@pytest.mark.parametrize("header", ["#Fields: date time", HEADER])
def test_rotated_file_with_the_same_head(log, follower, header):
    """Two generations that begin with the same bytes are both read whole: content is a veto, never the key (T13)."""
    log.append(header, "one")
    follower.start()
    follower.follow()
    log.rotate()
    log.append(header)
    follower.follow()
    log.append("two")
    follower.follow()
    follower.stop()
    log.rotate()
    log.append(header, "three")
    follower.start()
    follower.finish()

    assert follower.lines == [header, "one", header, "two", header, "three"]


def test_identical_generations(log, follower):
    """Even generations that are the same byte for byte are each read (T13)."""
    log.append("same")
    follower.start()
    for _ in range(3):
        follower.follow()
        log.rotate()
        log.append("same")
    follower.finish()

    assert follower.lines == ["same"] * 4


def test_the_old_file_is_deleted_and_a_new_one_begins_alike(log, follower):
    """A file that grows from nothing with the same first lines is a new log, not the old one in another inode (T13, T14)."""
    log.append(HEADER)
    follower.start()
    follower.follow()
    log.path.unlink()
    log.create()
    follower.look()
    log.append(HEADER, "one")
    follower.finish()

    assert follower.lines == [HEADER, HEADER, "one"]


def test_empty_and_tiny_files_are_read_at_once(directory, make_follower):
    """No file is too small to be followed: each of two tiny ones beside each other arrives whole (T13)."""
    logs = [Log(directory / name) for name in ("a.log", "b.log")]
    followers = [make_follower(log.path) for log in logs]
    for log, follower in zip(logs, followers, strict=True):
        log.create()
        follower.start()
        follower.follow()
        log.append("x")
        follower.follow()
        assert follower.lines == ["x"]


def replaced_by_copy(log, *more):
    """As ``cp a t && mv t a``, editors that save, and rsync do it."""
    new = log.path.with_name("t")
    shutil.copyfile(log.path, new)
    log.touch(new)
    if more:
        log.append(*more, to=new)
    new.rename(log.path)


@pytest.mark.parametrize("more", [(), ("added",)])
def test_replaced_by_a_copy_of_itself(log, follower, more):
    """A new inode with the same content is gone on in at the same offset: nothing is sent again (T14)."""
    log.append(*numbered(1, 1000))
    follower.start()
    follower.follow()
    replaced_by_copy(log, *more)
    follower.follow()
    log.append("later")
    follower.finish()

    assert follower.lines == [*numbered(1, 1000), *more, "later"]


def test_replaced_by_a_copy_while_stopped(log, follower):
    """The same while nobody looks (T14)."""
    log.append(*numbered(1, 1000))
    follower.start()
    follower.follow()
    follower.stop()
    replaced_by_copy(log, "added")
    follower.start()
    follower.finish()

    assert follower.lines == [*numbered(1, 1000), "added"]


def test_replaced_by_a_copy_with_unread_lines(log, follower):
    """What had not been read in the old file is in the copy as well, and is read once (T14)."""
    log.append("one")
    follower.start()
    follower.follow()
    log.append("two")
    replaced_by_copy(log, "three")
    follower.finish()

    assert follower.lines == ["one", "two", "three"]


def test_an_edited_file(log, follower):
    """A copy whose content was changed is another file: read from 0, since nobody can say what is new in it (T14)."""
    log.append("one", "two")
    follower.start()
    follower.follow()
    new = log.path.with_name("t")
    log.append("one", "TWO", to=new)
    new.rename(log.path)
    follower.finish()

    assert follower.lines == ["one", "two", "one", "TWO"]


def test_a_hard_link_beside_it(log, follower):
    """Another name of the same file is the same file, and is not read again (T17)."""
    log.append("one")
    os.link(log.path, log.path.with_name("app.log.1"))
    follower.start()
    follower.follow()
    log.append("two")
    log.path.unlink()
    log.append("three")
    follower.finish()

    assert follower.lines == ["one", "two", "three"]
