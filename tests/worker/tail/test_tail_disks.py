"""State directories on disks that are full, read-only or broken: lines arrive, and no position goes back further than it must."""

import errno
import os

import pytest
from disks import FailingCalls, RealDisk, kinds
from following import Follower, numbered

from fluentlite.core.position import SLOT_SIZE, SLOTS
from fluentlite.errors import StateError
from fluentlite.worker import opening

FULL = (errno.ENOSPC, errno.EDQUOT)
ALL = (*FULL, errno.EROFS, errno.EIO, errno.ENODEV, errno.ESTALE, errno.EACCES)


@pytest.fixture
def make_disk(tmp_path, monkeypatch):
    made = []

    def make(kind):
        (tmp_path / "disk").mkdir()
        made.append(RealDisk(tmp_path / "disk") if kind is RealDisk else kind(tmp_path / "disk", monkeypatch))
        return made[-1]

    yield make
    for disk in made:
        disk.close()


@pytest.fixture
def make_follower(log, make_disk):
    """A follower with its state on such a disk."""
    followers = []

    def make(kind, **settings):
        disk = make_disk(kind)
        followers.append(Follower(log.path, disk.directory / "state", **settings))
        return followers[-1], disk

    yield make
    for follower in followers:
        follower.close()


@pytest.fixture
def following(log, make_follower):
    """A follower on such a disk that has delivered one line, and has synced that."""

    def begin(kind):
        follower, disk = make_follower(kind)
        log.append("safe")
        follower.start()
        follower.follow()
        tick(follower)
        return follower, disk

    return begin


def tick(follower, seconds=2.0):
    """Let it sync what is due, and wait for that."""
    checkpoint = follower.checkpoint
    checkpoint.sync_if_due(checkpoint._synced_at + seconds)
    if checkpoint._syncer is not None:
        assert checkpoint._syncer.wait(10)


@pytest.mark.parametrize(("kind", "number"), kinds(*ALL, is_open=True))
def test_while_following(log, following, said, kind, number):
    """Whatever the disk says: lines arrive, through rotations and with more and more files; it is said, and mended by itself (T48, T49)."""
    follower, disk = following(kind)
    disk.fail(number)
    for turn in range(1, 9):
        log.append(str(turn))
        follower.follow(0.5)
        tick(follower)
        if turn % 2:
            log.rotate()
    assert follower.lines == ["safe", *map(str, range(1, 9))]
    if kind is FailingCalls:
        assert os.strerror(number) in follower.checkpoint.trouble
        assert "the checkpoint cannot be written" in said()[0]
    disk.mend()
    tick(follower, 4.0)
    tick(follower, 6.0)
    assert follower.checkpoint.trouble == ""
    follower.kill_and_start()
    follower.finish()

    assert follower.lines == ["safe", *map(str, range(1, 9))]
    assert len(said()) == (2 if kind is FailingCalls else 0), "the blocks of a checkpoint are its own"


@pytest.mark.parametrize(("kind", "number"), kinds(*ALL, is_open=True))
def test_killed_meanwhile(log, following, said, kind, number):
    """Killed while nothing can be written, what was delivered meanwhile comes twice, and nothing is lost (T48, T49)."""
    said()
    follower, disk = following(kind)
    disk.fail(number)
    log.append("twice")
    follower.follow()
    follower.kill()
    disk.mend()
    log.append("after")
    follower.start()
    follower.follow()

    twice = ["twice"] if kind is FailingCalls else []
    assert follower.lines == ["safe", "twice", *twice, "after"]


@pytest.mark.parametrize(("kind", "number"), kinds(*ALL, is_open=True))
def test_stopped_meanwhile(log, following, said, kind, number):
    """An orderly stop ends, and says what it could not write; the next start loses nothing (T49)."""
    follower, disk = following(kind)
    disk.fail(number)
    log.append("more")
    follower.follow()
    follower.stop()
    disk.mend()
    follower.start()
    follower.follow()

    assert [*dict.fromkeys(follower.lines)] == ["safe", "more"]
    assert bool(said()) == (kind is FailingCalls)


@pytest.mark.parametrize(("kind", "number"), kinds(*ALL, is_open=False))
def test_at_the_first_start(log, make_follower, inbox, said, monkeypatch, kind, number):
    """A new log waits for a place for its position, and begins where its end was at the first look (T49, C06)."""
    monkeypatch.setattr(opening, "RETRY_INTERVAL", 0.01)
    follower, disk = make_follower(kind, read_from_head=False)
    log.append("old")
    disk.fail(number)
    reasons = []

    def tell(reason):
        reasons.append(reason)
        if len(reasons) == 3:
            log.append("one")
            log.rotate()
            log.append("two")
        if len(reasons) == 6:
            disk.mend()

    follower.wait_for_checkpoint(inbox, tell)
    follower.start()
    follower.finish()

    assert follower.lines == ["one", "two"]
    assert len(reasons) == 6
    assert os.listdir(follower.state_dir) == [follower.checkpoint.path.name]
    reason = said()[0]
    assert str(disk.directory) in reason and reason.endswith("trying again")
    assert len(said()) == 2


@pytest.mark.parametrize(("kind", "number"), kinds(*ALL, is_open=False))
def test_at_a_later_start(log, make_follower, inbox, said, monkeypatch, kind, number):
    """Where there is a position, a full disk keeps nobody from starting; one that is broken is waited for (T49, C06)."""
    monkeypatch.setattr(opening, "RETRY_INTERVAL", 0.01)
    said()
    follower, disk = make_follower(kind)
    log.append("one")
    follower.start()
    follower.follow()
    follower.stop()
    log.append("two")
    disk.fail(number)
    reasons = []

    def tell(reason):
        reasons.append(reason)
        if len(reasons) == 3:
            disk.mend()

    follower.wait_for_checkpoint(inbox, tell)
    assert (len(reasons) < 3) == (number in (*FULL, errno.EACCES))
    disk.mend()
    follower.start()
    follower.follow()

    assert follower.lines == ["one", "two"]


@pytest.mark.parametrize(("kind", "number"), kinds(*ALL, is_open=False))
def test_a_damaged_one_cannot_be_set_aside(log, make_follower, said, kind, number):
    """It is no first start, however often it is tried, and what is left of it stays (T20, T48, T49)."""
    follower, disk = make_follower(kind, read_from_head=False)
    log.append("old")
    follower.start()
    log.append("one")
    follower.follow()
    follower.stop()
    path = follower.checkpoint.path
    path.write_bytes(b"damage" * 1000)
    disk.fail(number)
    for _ in range(3):
        with pytest.raises(StateError):
            follower.start()
    assert path.read_bytes() == b"damage" * 1000
    assert [name for name in os.listdir(follower.state_dir) if ".new-" in name] == []
    disk.mend()
    log.append("two")
    follower.start()
    follower.follow()

    assert follower.lines == ["one", "old", "one", "two"]
    assert len(list(path.parent.glob("*.broken-*"))) == 1
    assert path.stat().st_size == SLOTS * SLOT_SIZE
    assert len(said("ERROR")) == 1


@pytest.mark.parametrize("times", [3, 40])
def test_many_generations_on_a_full_disk(log, following, said, times):
    """Generations that cannot be delivered yet find room in the checkpoint that is there, also on a full disk (T03, T49)."""
    said()
    follower, disk = following(RealDisk if os.geteuid() == 0 else FailingCalls)
    if isinstance(disk, RealDisk):
        disk.fail(errno.ENOSPC)
    for number in range(times):
        log.append(*numbered(10 * number + 1, 10 * number + 10))
        follower.look()
        follower.read()
        log.rotate()
    follower.kill_and_start()
    follower.finish()

    assert follower.lines == ["safe", *numbered(1, 10 * times)]
