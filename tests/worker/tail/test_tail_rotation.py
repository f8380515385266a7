"""Rotation by rename, in every order of events that a machine can think of: every line once, in order."""

from __future__ import annotations

import os

import pytest
from following import ROTATE_WAIT, Log, numbered


def test_late_writer(log, follower):
    """A writer that holds on to the renamed file is read until it falls silent, before the new file's lines (T01)."""
    log.append("a 1")
    follower.start()
    follower.follow()
    old = log.rotate()
    log.create()
    for second in range(3):
        log.append(*(f"late {second} {i}" for i in range(400)), to=old)
        follower.follow()
    log.append("new")
    log.append("last", to=old)
    follower.finish()

    late = [f"late {second} {i}" for second in range(3) for i in range(400)]
    assert follower.lines == ["a 1", *late, "last", "new"]
    assert follower.points == [(log.inode(), 4)]


def test_new_lines_do_not_wait_for_a_late_writer(log, follower):
    """While the renamed file is only watched for late lines, the new file's lines are sent at once (T01)."""
    log.append("old")
    follower.start()
    follower.follow()
    log.rotate()
    log.append("new")
    follower.look(0.01)

    assert follower.read_lines() == ["new"]


def test_rotate_wait_begins_at_the_end(log, make_follower):
    """However long reading takes, the wait begins when the end was reached: no unread byte is cut off (T02)."""
    follower = make_follower(rotate_wait=1.0, read_buffer_size=4096).start()
    lines = numbered(1, 5000)
    log.append(*lines)
    follower.look()
    log.rotate()
    log.append("new")
    for _ in range(20):
        follower.look(3.0)
        follower.read(most=1)
        follower.deliver()
    assert follower.lines == lines[: len(follower.lines)]
    assert len(follower.lines) < len(lines), (
        "too fast: the wait was not over while there was something to read"
    )
    follower.finish()

    assert follower.lines == [*lines, "new"]


def test_quiet_seconds_are_counted_from_the_last_line(log, follower):
    """Each late line begins the wait anew (T01, T02)."""
    log.append("old")
    follower.start()
    follower.follow()
    old = log.rotate()
    log.create()
    for number in range(10):
        follower.follow(ROTATE_WAIT - 1)
        assert len(follower.tail.generations) == 2
        log.append(f"late {number}", to=old)
    follower.finish()

    assert follower.lines == ["old", *(f"late {number}" for number in range(10))]
    assert len(follower.tail.generations) == 1


def test_blocked_while_it_rotates(log, follower):
    """While nothing can be sent every new generation is opened, held and drained in order, however long it takes (T03, T44)."""
    log.append("first")
    follower.start()
    expected = ["first"]
    for number in range(4):
        log.rotate()
        log.append(f"generation {number}", f"more {number}")
        expected += [f"generation {number}", f"more {number}"]
        for _ in range(20):
            follower.look(100.0)  # far beyond rotate_wait, and nothing is read

    assert len(follower.tail.generations) == 5
    assert follower.tail.lag == sum(len(line) + 1 for line in expected)
    for number in range(1, 5):
        log.path.with_name(f"app.log.{number}").unlink()
    follower.finish()

    assert follower.lines == expected
    assert len(follower.tail.generations) == 1


def test_blocked_with_everything_in_flight(log, follower):
    """What was read but not acknowledged keeps its generation in the checkpoint, although its file was closed (T03, T46)."""
    log.append("old")
    follower.start()
    log.rotate()
    log.append("new")
    for _ in range(20):
        follower.look()
        follower.read()
    inodes = [inode for inode, _ in follower.points]
    follower.kill_and_start()
    follower.finish()

    assert len(inodes) == 2
    assert follower.lines == ["old", "new"]


def test_a_generation_that_nobody_saw(log, follower):
    """A file that came and went between two looks is found beside the path, and read in its turn (T04)."""
    log.append("a")
    follower.start()
    follower.follow()
    for number in range(3):
        log.rotate()
        log.append(f"unseen {number}")
    follower.finish()

    assert follower.lines == ["a", "unseen 0", "unseen 1", "unseen 2"]


@pytest.mark.parametrize(
    "name", ["app.log-2020010{}", "app.log.2020-01-0{}", "app-2020010{}.log", "app.log.{}"]
)
def test_unseen_generations_of_any_naming(log, follower, name):
    """Missed generations are recognised by the names of all common rotations (T04)."""
    log.append("a")
    follower.start()
    follower.follow()
    for number in range(1, 4):
        log.rename(name.format(number))
        log.append(f"b{number}")
    follower.finish()

    assert follower.lines == ["a", "b1", "b2", "b3"]


def test_old_generations_are_not_missed_ones(log, follower):
    """What lay beside the log before it was followed is never read, however often it is renamed (T04, T06)."""
    for number in range(3):
        log.append(f"old {number}")
        log.rotate()
    log.append("a")
    follower.start()
    for number in range(4):
        follower.follow()
        log.rotate()
        log.append(f"b {number}")
    follower.stop_and_start()
    follower.finish()

    assert follower.lines == ["a", "b 0", "b 1", "b 2", "b 3"]


def test_a_generation_unseen_before_the_first_file(log, follower):
    """A log that did not exist yet, and rotated before the first look at it, is read whole (T04, T36)."""
    follower.start()
    follower.follow()
    log.append("first")
    log.rotate()
    log.append("second")
    follower.finish()

    assert follower.lines == ["first", "second"]


def test_a_generation_unseen_after_a_delete(log, follower):
    """The same when the log was deleted and drained before (T04, T33)."""
    log.append("first")
    follower.start()
    follower.follow()
    log.path.unlink()
    follower.finish()
    log.append("second")
    log.rotate()
    log.append("third")
    follower.finish()

    assert follower.lines == ["first", "second", "third"]


def test_another_log_beside_it(log, follower):
    """Another log whose name begins alike is not a generation of this one (T04)."""
    log.append("a")
    follower.start()
    follower.follow()
    other = Log(log.path.with_name("app-error.log"))
    other.append("not mine")
    log.rotate()
    other.append("not mine either")
    log.append("b")
    follower.finish()

    assert follower.lines == ["a", "b"]


def test_atomic_replace(log, follower):
    """A file put over the path ends the old one, which is drained first, and is read from 0 (T15)."""
    log.append("old 1", "old 2")
    follower.start()
    new = log.path.with_name("new")
    log.append("new 1", to=new)
    new.rename(log.path)
    log.append("new 2")
    follower.look()
    assert follower.read_lines() == ["old 1", "old 2", "new 1", "new 2"]
    follower.deliver()
    follower.finish()

    assert follower.points == [(log.inode(), 12)]


@pytest.mark.parametrize("part", ["file", "directory"])
def test_symlink_is_switched(directory, make_follower, part):
    """A link in the path that leads elsewhere is a rotation: the old target is drained, the new one read from 0 (T16)."""
    releases = [directory / "r1", directory / "r2"]
    logs = [Log(release / "app.log") for release in releases]
    for release in releases:
        release.mkdir()
    link = directory / "current"
    link.symlink_to("r1/app.log" if part == "file" else "r1")
    path = link if part == "file" else link / "app.log"
    logs[0].append("one")
    follower = make_follower(path).start()
    follower.follow()
    logs[0].append("two")
    logs[1].append("three")
    new = directory / "new"
    new.symlink_to("r2/app.log" if part == "file" else "r2")
    new.rename(link)
    logs[0].append("late")
    follower.finish()
    logs[1].append("four")
    follower.finish()

    assert follower.lines == ["one", "two", "late", "three", "four"]
    assert follower.points == [(logs[1].inode(), 11)]


def test_target_of_a_symlink_is_rotated(directory, make_follower):
    """A rotation of the file behind a link is one of the log, also one that nobody saw (T16, T04)."""
    (directory / "real").mkdir()
    log = Log(directory / "real" / "target.log")
    link = directory / "app.log"
    link.symlink_to("real/target.log")
    log.append("one")
    follower = make_follower(link).start()
    follower.follow()
    for line in ("two", "three"):
        log.rotate()
        log.append(line)
    follower.finish()

    assert follower.lines == ["one", "two", "three"]


def test_a_gap_without_a_file(log, follower):
    """A file that comes late is read from 0, with all that it holds when it is opened (T18)."""
    log.append("old")
    follower.start()
    follower.follow()
    log.rotate()
    follower.follow(20)
    lines = numbered(1, 50)
    log.append(*lines)
    follower.follow()

    assert follower.lines == ["old", *lines]


def test_late_lines_in_the_gap(log, follower):
    """While there is no new file the renamed one stays open, however quiet it is (T01, T18)."""
    log.append("old")
    follower.start()
    follower.follow()
    old = log.rotate()
    follower.follow(100)
    log.append("late", to=old)
    follower.follow()

    assert follower.lines == ["old", "late"]


def test_a_late_line_after_rotate_wait(log, follower):
    """A line that comes after the file was closed is found at the next rotation, and only that line is read (T01)."""
    log.append("old")
    follower.start()
    follower.follow()
    old = log.rotate()
    log.append("new")
    follower.finish()
    log.append("much too late", to=old)
    log.rotate()
    log.append("newest")
    follower.finish()

    assert sorted(follower.lines) == ["much too late", "new", "newest", "old"]


def test_partial_line_at_the_end_of_a_generation(log, follower):
    """What has no newline at the end of a rotated file is its last line, and never the begin of the next file's first (T24)."""
    log.append("whole")
    log.write("stale-prefix")
    follower.start()
    log.rotate()
    log.append("fresh line")
    follower.finish()

    assert follower.lines == ["whole", "fresh line", "stale-prefix"]


def test_partial_line_waits_for_its_writer(log, follower):
    """The rest of the line may still come from a late writer: it is one line then (T01, T24)."""
    log.write("begin ")
    follower.start()
    follower.follow()
    old = log.rotate()
    log.create()
    follower.follow(ROTATE_WAIT - 2)
    assert follower.lines == []
    log.append("end", to=old)
    follower.finish()

    assert follower.lines == ["begin end"]


def test_deleted_while_open(log, follower):
    """A deleted file is read to its end, its partial line included, and closed once it is quiet (T33)."""
    log.append("one", "two")
    log.write("three")
    follower.start()
    log.path.unlink()
    for _ in range(100):
        follower.look()  # the server is down: nothing is read, nothing is let go
    assert follower.tail.lag == 13
    follower.finish()

    assert follower.lines == ["one", "two", "three"]
    assert follower.tail.generations == []
    assert follower.points == []


def test_a_writer_of_a_deleted_file(log, follower):
    """What is written to a deleted file before it falls silent arrives as well (T33)."""
    log.append("one")
    with open(log.path, "ab") as writer:
        follower.start()
        log.path.unlink()
        follower.follow(ROTATE_WAIT - 1)
        writer.write(b"two\n")
    follower.finish()

    assert follower.lines == ["one", "two"]


def test_idle_for_hours(log, follower):
    """An idle file is never let go: what is written after hours and renamed at once arrives (T34)."""
    log.append("before")
    follower.start()
    follower.follow()
    for _ in range(10):
        follower.look(3600.0)
    log.append("after")
    log.rotate()
    log.append("new")
    follower.finish()

    assert follower.lines == ["before", "after", "new"]


def test_late_delivery_for_an_old_generation(log, follower):
    """An acknowledgement for the old file moves the old file's position and never that of the new one (T42)."""
    log.append("old 1")
    follower.start()
    follower.read()
    log.append("old 2")
    follower.read()
    old_inode = log.inode()
    log.rotate()
    log.append("new")
    follower.look()
    follower.read()
    new_inode = log.inode()

    seen = []
    while follower.unacked:
        follower.deliver(most=1)
        seen.append(follower.points)
    assert seen == [
        [(old_inode, 6), (new_inode, 0)],
        [(old_inode, 12), (new_inode, 0)],
        [(old_inode, 12), (new_inode, 4)],
    ]


def test_a_storm_of_rotations(log, follower):
    """Rotations in the same second as reads, deliveries and late lines leave every line once and in order (T42)."""
    follower.start()
    expected = []
    for number in range(200):
        log.append(f"{number} a")
        follower.look(0.001)
        follower.read()
        log.append(f"{number} b")
        log.rotate(keep=5)
        follower.look(0.001)
        if number % 3 == 0:
            follower.deliver()
        expected += [f"{number} a", f"{number} b"]
    follower.finish()

    assert follower.lines == expected


def test_a_rotation_is_undone(log, follower):
    """A finished file that is moved back to the path is followed on from where it was left (T42)."""
    log.append("one")
    follower.start()
    follower.follow()
    old = log.rotate()
    log.append("two")
    follower.finish()
    old.rename(log.path)
    log.append("three")
    follower.finish()
    log.append("four")
    follower.finish()

    assert follower.lines == ["one", "two", "three", "four"]


def test_a_rotation_is_undone_at_once(log, follower):
    """The same while the file is still open: it stays open for as long as it is at the path (T42)."""
    log.append("one")
    follower.start()
    follower.follow()
    old = log.rotate()
    log.append("two")
    follower.follow()
    log.rename("elsewhere")
    old.rename(log.path)
    log.append("three")
    follower.look()
    follower.read()
    for _ in range(20):
        follower.look()
        follower.read()
    log.append("four")
    follower.finish()

    assert follower.lines == ["one", "two", "three", "four"]


def test_time_of_the_files_does_not_matter_for_waits(log, follower):
    """Files from the past or the future change nothing about waits: these count monotonic seconds (T44)."""
    log.append("one")
    follower.start()
    follower.follow()
    old = log.rotate()
    log.append("two")
    os.utime(old, (2**33, 2**33))
    os.utime(log.path, (1, 1))
    follower.follow(ROTATE_WAIT - 1)
    assert len(follower.tail.generations) == 2
    follower.follow(3)

    assert len(follower.tail.generations) == 1
    assert follower.lines == ["one", "two"]
