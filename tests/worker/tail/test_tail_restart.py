"""Stopped, killed and started again at any moment: no line lost, and doubled only what had not been acknowledged."""

from __future__ import annotations

import gzip
import shutil

import pytest
from following import numbered

from fluentlite.worker.checkpoint import checkpoint_path

ENDS = ["stop", "kill"]


@pytest.fixture(params=ENDS)
def end(request):
    """How the agent ends: told to, or killed."""
    return request.param


def restart(follower, end):
    getattr(follower, f"{end}_and_start")()


def gzip_away(path):
    """As logrotate's ``compress`` does it."""
    with open(path, "rb") as plain, gzip.open(f"{path}.gz", "wb") as packed:
        shutil.copyfileobj(plain, packed)
    path.unlink()


def test_first_start_at_the_end(log, make_follower):
    """A log seen for the first time is followed from its end, unless told otherwise (T20)."""
    log.append("old")
    follower = make_follower(read_from_head=False).start()
    log.append("new")
    follower.follow()

    assert follower.lines == ["new"]


def test_first_start_at_the_head(log, make_follower):
    """... or from its head (T20)."""
    log.append("old")
    follower = make_follower(read_from_head=True).start()
    follower.follow()

    assert follower.lines == ["old"]


@pytest.mark.parametrize("before", ["", "whole\n", "whole\n" + "x" * 100_000])
def test_first_start_in_the_middle_of_a_line(log, make_follower, before):
    """A line that is being written at the first start arrives whole, however long its begin is (T22)."""
    log.write(before + "begin ")
    follower = make_follower(read_from_head=False).start()
    log.write("end\n")
    follower.follow()

    assert follower.lines == [before.removeprefix("whole\n") + "begin end"]


def test_first_start_behind_an_endless_line(log, make_follower):
    """Where no line begin is near, what comes next is followed, without reading the whole file backwards (T28)."""
    log.write("x" * 5000)
    follower = make_follower(read_from_head=False, max_line_size=1000).start()
    log.append(" rest", "next")
    follower.follow()

    assert follower.lines == [" rest", "next"]


def test_a_file_that_comes_after_the_start(log, make_follower, end):
    """Only a file that was there at the first start is begun at its end; one that comes later is read from 0 (T19, T36)."""
    follower = make_follower(read_from_head=False).start()
    follower.look()
    restart(follower, end)
    log.append(*numbered(1, 10))
    follower.follow()

    assert follower.lines == numbered(1, 10)


def test_a_file_that_comes_while_stopped(log, make_follower, end):
    """The same for a log that did not exist when it was last waited for, also if it was rotated meanwhile (T19, T21)."""
    follower = make_follower(read_from_head=False).start()
    getattr(follower, end)()
    log.append(*numbered(1, 5))
    log.rotate()
    log.append(*numbered(6, 10))
    follower.start()
    follower.finish()

    assert follower.lines == numbered(1, 10)


def test_an_empty_file_is_remembered(log, make_follower, end):
    """A position of 0 is a position: what was written while stopped is sent (T21)."""
    log.create()
    follower = make_follower(read_from_head=False).start()
    getattr(follower, end)()
    log.append(*numbered(1, 10))
    follower.start()
    follower.follow()

    assert follower.lines == numbered(1, 10)


def test_lines_written_while_stopped(log, follower, end):
    """A start goes on where deliveries had ended."""
    log.append("one")
    follower.start()
    follower.follow()
    getattr(follower, end)()
    log.append("two")
    follower.start()
    follower.follow()

    assert follower.lines == ["one", "two"]


def test_rotated_while_stopped(log, follower, end):
    """The rest of the rotated file is sent, then the new one from 0 (T05)."""
    log.append(*numbered(1, 100))
    follower.start()
    follower.follow()
    getattr(follower, end)()
    log.append(*numbered(101, 200))
    log.rotate()
    log.append(*numbered(201, 300))
    follower.start()
    follower.finish()

    assert follower.lines == numbered(1, 300)


@pytest.mark.parametrize("name", ["app.log.1", "app.log-20260101", "archived", "app.log.1.bak"])
def test_rotated_to_any_name_while_stopped(log, follower, name):
    """A file that is known is found by its identity, whatever it is called now (T05)."""
    log.append("one")
    follower.start()
    follower.follow()
    follower.kill()
    log.append("two")
    log.rename(name)
    log.append("three")
    follower.start()
    follower.finish()

    assert follower.lines == ["one", "two", "three"]


def test_rotated_several_times_while_stopped(log, follower, end):
    """Every generation is read, oldest first (T06)."""
    log.append("0")
    follower.start()
    follower.follow()
    getattr(follower, end)()
    for number in range(1, 6):
        log.append(f"{number} a")
        log.rotate()
        log.append(f"{number} b")
    follower.start()
    follower.finish()

    assert follower.lines == ["0", "1 a", "1 b", "2 a", "2 b", "3 a", "3 b", "4 a", "4 b", "5 a", "5 b"]


def test_one_generation_is_compressed_already(log, follower, said):
    """A compressed generation is never read as lines; how many bytes are out of reach is said (T06)."""
    log.append("one")
    follower.start()
    follower.follow()
    log.append("two")
    follower.look()  # 4 bytes are known, and not read
    inode = log.inode()
    follower.kill()
    log.append("gone")
    first = log.rotate()
    log.append("three")
    gzip_away(first)
    log.rotate()
    log.append("four")
    follower.start()
    follower.finish()

    assert follower.lines == ["one", "three", "four"]
    (message,) = said()
    assert f"{log.path}: inode {inode} is gone" in message
    assert "at least 4 bytes behind offset 4 are unreachable" in message


def test_finished_generations_are_not_read_again(log, follower, end):
    """However often it is started, a generation that was delivered is not read a second time (T06)."""
    expected = []
    follower.start()
    for number in range(12):
        log.append(f"line {number}")
        expected.append(f"line {number}")
        follower.follow(8)
        log.rotate()
        restart(follower, end)
    follower.finish()

    assert follower.lines == expected


def test_finished_generation_is_compressed(log, follower, said):
    """A generation that was delivered may be compressed without a word."""
    log.append("one")
    follower.start()
    follower.follow()
    old = log.rotate()
    log.append("two")
    follower.finish()
    gzip_away(old)
    follower.kill_and_start()
    follower.finish()

    assert follower.lines == ["one", "two"]
    assert said() == []


def test_copytruncated_while_stopped(log, follower, end):
    """The rest is read from the copy, then the new content, each line once (T05, T07)."""
    log.append("one")
    follower.start()
    follower.follow()
    getattr(follower, end)()
    log.append("two")
    log.copytruncate()
    log.append("three")
    follower.start()
    follower.finish()

    assert follower.lines == ["one", "two", "three"]


def test_copytruncated_several_times_while_stopped(log, follower, end):
    """The same with several copies (T06, T07)."""
    log.append("one")
    follower.start()
    follower.follow()
    getattr(follower, end)()
    for line in ("two", "three", "four"):
        log.append(line)
        log.copytruncate()
    log.append("five")
    follower.start()
    follower.finish()

    assert follower.lines == ["one", "two", "three", "four", "five"]


def test_copytruncated_and_regrown_while_stopped(log, follower):
    """A file that is larger than it was, and another one, is read from 0: the bytes before the position tell (T08)."""
    log.append("one")
    follower.start()
    follower.follow()
    follower.kill()
    log.copytruncate()
    log.append(*numbered(1, 100))
    follower.start()
    follower.finish()

    assert follower.lines == ["one", *numbered(1, 100)]


def test_nothing_was_delivered_yet(log, follower, end):
    """A file in which nothing was delivered is read whole, from the copy if it was cut short (T05, T07, T46)."""
    log.append("one")
    follower.start()
    follower.look()
    getattr(follower, end)()
    log.copytruncate()
    log.append("two")
    follower.start()
    follower.finish()

    assert follower.lines == ["one", "two"]


def test_deleted_while_stopped(log, follower, said):
    """Unread lines of a file that was deleted while nobody had it open are gone, and how many bytes is said (T33)."""
    log.append("one")
    follower.start()
    follower.follow()
    log.append("two")
    follower.look()
    follower.stop()
    log.path.unlink()
    log.append("three")
    follower.start()
    follower.finish()

    assert follower.lines == ["one", "three"]
    assert len(said()) == 1
    assert "4 bytes behind offset 4 are unreachable" in said()[0]


def test_partial_line_across_a_restart(log, follower, end):
    """A line whose begin was read before the stop arrives once and whole (T23)."""
    log.append("one")
    log.write("begin ")
    follower.start()
    follower.follow()
    restart(follower, end)
    follower.follow()
    log.append("end")
    follower.follow()

    assert follower.lines == ["one", "begin end"]


def test_partial_line_of_a_rotated_file_across_a_restart(log, follower, end):
    """The same where the file is rotated between: its last bytes are a line of their own (T23, T24)."""
    log.append("one")
    log.write("rest")
    follower.start()
    follower.follow()
    getattr(follower, end)()
    log.rotate()
    log.append("two")
    follower.start()
    follower.finish()

    assert sorted(follower.lines) == ["one", "rest", "two"]


def test_nothing_is_committed_that_was_not_acknowledged(log, follower, end):
    """What was read and sent, but not acknowledged, is read again (T46)."""
    log.append(*numbered(1, 100))
    follower.start()
    follower.read()
    assert follower.points == [(log.inode(), 0)]
    restart(follower, end)
    follower.follow()

    assert follower.lines == numbered(1, 100)


def test_killed_at_every_acknowledgement(log, make_follower):
    """
    Killed after any number of acknowledgements: what was committed is not sent again, and all else is (T46, T47).

    Of each life one chunk more was acknowledged than committed: exactly that one may be doubled.
    """
    log.append(*numbered(1, 6000))
    follower = make_follower(read_buffer_size=4096).start()
    arrived = []
    for _ in range(10):
        chunks = follower.read(most=5)
        follower.deliver(most=4)
        arrived.append(chunks[4])  # acknowledged, but killed before it was written
        follower.kill_and_start()
        again = follower.read(most=1)[0]
        assert (again.id, again.buffers) == (arrived[-1].id, arrived[-1].buffers)
        follower.kill_and_start()
    follower.follow()

    assert follower.lines == numbered(1, 6000)


def test_out_of_order_nothing_is_committed(log, make_follower):
    """The position is the end of the oldest chunk delivered in order, for each generation by itself (T46)."""
    log.append(*numbered(1, 1000))
    follower = make_follower(read_buffer_size=2048).start()
    follower.read()
    ends = [chunk.end.offset for chunk in follower.unacked]
    for end in ends:
        follower.deliver(most=1)
        assert follower.points == [(log.inode(), end)]


def test_more_generations_than_a_checkpoint_holds(log, follower):
    """After an outage with hundreds of rotations a start finds them all, in order, none twice (T03, T06, T51)."""
    log.append("line 0")
    follower.start()
    for number in range(1, 560):
        log.rename(f"app.log-{number:04}")
        log.append(f"line {number}")
    follower.look()
    assert len(follower.tail.generations) == 560
    assert 100 < len(follower.points) < 560
    follower.kill_and_start()
    assert len(follower.tail.generations) == 560
    follower.finish()

    assert follower.lines == [f"line {number}" for number in range(560)]


def test_a_new_tag_keeps_the_position(log, make_follower):
    """The position belongs to the file: other options, another server, and it goes on (C04)."""
    log.append("one")
    first = make_follower().start()
    first.follow()
    first.stop()
    log.append("two")
    second = make_follower(field_name="log", read_from_head=False, max_line_size=1000).start()

    assert [chunk.count for chunk in second.read()] == [1]


def test_an_epoch_survives_a_restart(log, follower):
    """How often a file was cut short is remembered: equal bytes have other ids after each truncation (T07, S06)."""
    follower.start()
    ids = []
    for _ in range(4):
        log.append("same")
        follower.look()
        ids += [chunk.id for chunk in follower.read()]
        follower.deliver()
        follower.kill()
        log.path.write_bytes(b"")
        follower.start()
        follower.look()
        follower.look()

    assert len(set(ids)) == 4


def test_the_checkpoint_is_found_by_the_whole_path(tmp_path):
    """Two logs of the same name have checkpoints of their own, named so that an operator knows them (T50)."""
    paths = [checkpoint_path(str(tmp_path), path) for path in ("/var/log/a/app.log", "/var/log/b/app.log")]

    assert paths[0] != paths[1]
    assert all(path.name.startswith("app.log-") and path.suffix == ".checkpoint" for path in paths)
    assert paths[0] == checkpoint_path(str(tmp_path), "/var/log/a/app.log")
