"""Clocks that are wrong, and are set: the times of files and events change, and nothing is lost or doubled for that."""

import os
import time

import msgpack
import pytest
from following import ROTATE_WAIT, lines_of

from fluentlite.core.position import MAX_FINISHED

DAY = 86400
YEARS = {1901: -2_177_452_800, 1960: -315_619_200, 1970: 0, 2039: 2_177_452_800, 2107: 4_323_369_600}
"""Some years in seconds since 1970."""


def set_time(path, seconds):
    """As if *path* had been written last when the clock said *seconds*."""
    os.utime(path, (seconds, seconds))


def append_at(log, line, seconds):
    """Append *line* when the clock says *seconds*."""
    log.append(line)
    set_time(log.path, seconds)


def rotate_old(log, times):
    """Leave a rotated file for each of *times*, when it was written last."""
    for number, seconds in enumerate(times):
        append_at(log, f"old {number}", seconds)
        log.rotate()


@pytest.mark.parametrize("seconds", YEARS.values(), ids=YEARS.keys())
@pytest.mark.parametrize("end", ["kill", "stop"])
def test_a_log_from_another_age(log, follower, end, seconds):
    """A log that was last written before 1970 or long after today keeps its position like any other (T44)."""
    append_at(log, "one", seconds)
    follower.start()
    follower.follow()
    getattr(follower, f"{end}_and_start")()
    append_at(log, "two", seconds + 1)
    follower.follow()
    log.rotate()
    log.append("three")
    follower.finish()

    assert follower.lines == ["one", "two", "three"]


@pytest.mark.parametrize("ahead", [3600, DAY, 100 * 365 * DAY])
def test_the_clock_was_ahead(log, make_follower, ahead):
    """Rotated unseen after the clock was set right: what then looks older than the last lines before is read even so (T06, T44)."""
    now = int(time.time())
    rotate_old(log, (now - DAY + number for number in range(3)))
    append_at(log, "one", now - 60)
    follower = make_follower().start()
    follower.follow()
    log.rotate()
    append_at(log, "two", now - 30)
    follower.finish()
    set_time(log.path, now + ahead)
    follower.look()
    follower.stop()
    log.rotate()
    append_at(log, "unseen", now + 1)
    log.rotate()
    append_at(log, "three", now + 2)
    follower.start()
    follower.finish()

    assert follower.lines == ["one", "two", "unseen", "three"]


@pytest.mark.parametrize("jump", [-100 * 365 * DAY, -40 * 365 * DAY, -DAY, -3600, 3600, DAY, 100 * 365 * DAY])
def test_the_clock_jumps_while_it_rotates(log, make_follower, jump):
    """Set while it follows, forward or back, a log that rotates loses and doubles nothing, with many old files beside it (T44)."""
    now = int(time.time())
    rotate_old(log, (now - DAY * days for days in range(20, 0, -1)))
    follower = make_follower().start()
    for number in range(6):
        append_at(log, f"before {number}", now + number)
        follower.follow()
    written = [f"before {number}" for number in range(6)]
    for turn in range(3):
        for number in range(3):
            written.append(f"after {turn} {number}")
            append_at(log, written[-1], now + jump + 10 * turn + number)
            follower.follow()
        log.rotate()
    append_at(log, "last", now + jump + 100)
    follower.finish()

    assert follower.lines == [*written, "last"]


def test_set_during_a_rotation_wait(log, follower, monkeypatch):
    """A rotated file is closed after rotate_wait seconds that have passed, whatever the wall clock says (T44)."""
    log.append("one")
    follower.start()
    follower.follow()
    old = log.rotate()
    log.append("two")
    follower.follow(ROTATE_WAIT / 2)
    for seconds in (time.time() + DAY, time.time() - DAY, 0.0):
        monkeypatch.setattr(time, "time", lambda seconds=seconds: seconds)
        monkeypatch.setattr(time, "time_ns", lambda seconds=seconds: int(seconds * 10**9))
        follower.look(0.1)
        follower.read()
        assert len(follower.tail.generations) == 2
    log.append("late", to=old)
    follower.finish()

    assert follower.lines == ["one", "two", "late"]
    assert len(follower.tail.generations) == 1


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(-1, (0, 0)), (0, (0, 0)), (2**31, (2**31, 0)), (2**32 - 1, (2**32 - 1, 0)), (2**32, (2**32 - 1, 999_999_999)), (10**11, (2**32 - 1, 999_999_999))],
)  # fmt: skip
@pytest.mark.parametrize("is_integer", [False, True])
def test_the_time_of_an_event(log, make_follower, seconds, expected, is_integer):
    """An event's time ends in 2106: a clock beyond that, or before 1970, gives the nearest one, and stops no log (T44, T45)."""
    follower = make_follower(forward={"time_as_integer": is_integer}).start()
    log.append("one")
    follower.look()
    chunk = follower.drain.next_chunk(follower.now, seconds * 10**9)
    _tag, entries, _option = msgpack.unpackb(b"".join(chunk.buffers), raw=True)
    [when, _record] = msgpack.unpackb(entries, raw=True)

    assert lines_of(chunk) == [b"one"]
    if is_integer:
        assert when == expected[0]
    else:
        assert (int.from_bytes(when.data[:4], "big"), int.from_bytes(when.data[4:], "big")) == expected


@pytest.mark.parametrize("old", [4, 20])
def test_set_back_and_restarted(log, make_follower, old):
    """
    Set back behind the times of the rotated files, and restarted: nothing is lost; of those files, the ones that are not
    among the last finished ones come again (T44).
    """
    now = int(time.time())
    rotate_old(log, (now - DAY * days for days in range(old, 0, -1)))
    follower = make_follower().start()
    append_at(log, "one", now - 10)
    follower.follow()
    append_at(log, "two", now - 40 * 365 * DAY)
    follower.follow()
    follower.stop_and_start()
    log.rotate()
    append_at(log, "three", now - 40 * 365 * DAY + 5)
    follower.finish()

    assert [line for line in follower.lines if not line.startswith("old")] == ["one", "two", "three"]
    assert len(follower.lines) == 3 + max(0, old - MAX_FINISHED)
