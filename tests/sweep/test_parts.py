"""The parts of the sweep: which points there are, and what its evidence says."""

from __future__ import annotations

from collections import Counter

import pytest
from faults.receptions import Connection, Reception

from .calls import AT_EMPTY_PATH, EPOLL_CTL_ADD, ERRORS, NUMBERS, can_fail
from .evidence import ARRIVED_WITHIN, CallEvidence
from .interceptor import Event
from .plan import points, sample
from .point import Point, parse
from .server import Seen

FIRST, SECOND = ("journal", 1), ("journal", 2)


@pytest.mark.parametrize(
    "text",
    ["worker/pwrite64:7:KILL", "master/accept4:1:EMFILE", "worker/fsync:2:EIO*20", "worker/fsync:2:EIO*"],
)
def test_a_point_is_read_as_it_is_printed(text):
    """What is printed can be given to --only."""
    assert str(parse(text)) == text


def test_a_point_without_a_scenario_is_the_workers():
    """The short form means the worker."""
    assert parse("pwrite64:7:KILL") == Point("worker", "pwrite64", 7, "KILL")
    with pytest.raises(ValueError, match="is no point"):
        parse("pwrite64")


def test_which_calls_are_meant():
    """A point means one call, so many from there on, or all from there on."""
    hit = {
        text: [n for n in range(1, 9) if parse(text).hits("read", n)]
        for text in ("read:3:EIO", "read:3:EIO*2", "read:6:EIO*", "write:3:EIO")
    }

    assert hit == {"read:3:EIO": [3], "read:3:EIO*2": [3, 4], "read:6:EIO*": [6, 7, 8], "write:3:EIO": []}


def test_every_call_is_killed_and_fails_in_each_way():
    """There is a point for each call and each error that it can give; failures that last where positions are written."""
    found = points("worker", {"pwrite64": 2, "read": 1, "close": 1}, {"read": []})

    assert [str(point).removeprefix("worker/") for point in found] == [
        "close:1:KILL",
        *(
            f"pwrite64:{number}:{action}"
            for number in (1, 2)
            for action in ("KILL", "ENOSPC", "EIO", "EINTR", "ENOSPC*20", "ENOSPC*", "EIO*20", "EIO*")
        ),
        "read:1:KILL",
        "read:1:EINTR",
    ]


def test_the_calls_that_count_are_covered():
    """What opens, reads, writes, renames, syncs, connects, sends, receives or forks is in the table."""
    calls = "openat read pread64 write pwrite64 linkat unlinkat fsync fdatasync connect sendto sendmsg recvfrom clone"
    assert set(calls.split()) <= set(NUMBERS.values())
    assert {error for errors in ERRORS.values() for error in errors} == {
        "ENOSPC", "EIO", "EMFILE", "EINTR", "EAGAIN", "ECONNRESET", "ENOMEM",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("call", "arguments", "expected"),
    [
        pytest.param("read", (1,), True, id="a-file"),
        pytest.param("read", (2,), False, id="a-pipe"),
        pytest.param("newfstatat", (2, 0, 0, 0), True, id="a-path"),
        pytest.param("newfstatat", (2, 0, 0, AT_EMPTY_PATH), False, id="the-descriptor-of-a-pipe"),
        pytest.param("epoll_ctl", (2, EPOLL_CTL_ADD), True, id="what-needs-memory"),
        pytest.param("epoll_ctl", (2, EPOLL_CTL_ADD + 1), False, id="what-needs-none"),
        pytest.param("pread64", (2,), True, id="all-others"),
    ],
)
def test_where_a_call_can_fail(call, arguments, expected):
    """No pipe gives an error of a disk, and what needs no memory does not lack it."""
    assert can_fail(call, arguments, lambda descriptor: descriptor == 1) is expected


def test_a_sample_is_spread():
    """A sample has kills and failures of all scenarios in equal parts, no point twice, and is the same for a seed."""
    every = [
        point
        for name, count in (("worker", 100), ("master", 40))
        for point in points(name, {"pread64": count, "close": count}, {})
    ]
    chosen = sample(every, 40, 7)

    assert Counter((p.scenario, p.is_kill) for p in chosen) == dict.fromkeys(
        [("worker", True), ("worker", False), ("master", True), ("master", False)], 10
    )
    assert len(set(chosen)) == 40
    assert chosen == sample(every, 40, 7) != sample(every, 40, 8)


# -- evidence ---------------------------------------------------------------------------------------------


def received(name, at, acked_at, chunk_id="a"):
    """A chunk that came on connection *name*."""
    return Reception(Connection(name, at), chunk_id, 0, at, acked_at)


def lived(*calls, status=-9):
    """Evidence of a life with these calls, (time, name, whether it failed); a descriptor is 5 all the time."""
    evidence = CallEvidence()
    events = [Event(time, call, 5, bool(failed)) for time, call, *failed in calls]
    evidence.has_ended(Seen(opened=[FIRST]), events, status)
    evidence.has_ended(Seen(opened=[SECOND]), None, 0)
    return evidence


CONNECTED, READ = (1.0, "connect"), (3.0, "recvfrom")
LATER = 2.0 + ARRIVED_WITHIN
TURNS = [(LATER + n, "epoll_wait") for n in (1.1, 1.2, 1.3)]


@pytest.mark.parametrize(
    ("calls", "status", "expected"),
    [
        pytest.param([CONNECTED, READ, *TURNS], -9, True, id="read-and-had-its-turns"),
        pytest.param([CONNECTED, READ, *TURNS[:2]], -9, False, id="had-not"),
        pytest.param([CONNECTED, *TURNS], -9, False, id="not-read"),
        pytest.param([CONNECTED, (1.9, "recvfrom"), *TURNS], -9, False, id="read-before-it-came"),
        pytest.param([CONNECTED, (3.0, "recvfrom", True), *TURNS], -9, False, id="could-not-be-read"),
        pytest.param([CONNECTED, (2.5, "close"), READ, *TURNS], -9, False, id="closed-before"),
        pytest.param([CONNECTED, READ], 0, True, id="an-orderly-end"),
        pytest.param([CONNECTED, READ, *TURNS, (4.0, "pwrite64", True)], 0, False, id="could-not-be-written"),
        pytest.param([CONNECTED, (1.5, "pwrite64", True), READ, *TURNS, (4.0, "pwrite64")], 0, True, id="written-later"),
        pytest.param([CONNECTED, READ, *TURNS, (4.0, "pwrite64", True)], -9, True, id="killed-while-writing-late"),
    ],
)  # fmt: skip
def test_when_an_ack_is_known_and_recorded(calls, status, expected):
    """A chunk must not come again if its ack was read and the worker had its turn to write its position."""
    evidence = lived(*calls, status=status)
    first, again = received(FIRST, 1.5, 2.0), received(SECOND, 9.0, 9.1, "b")

    assert evidence.is_settled(first) is expected
    assert evidence.explains((first, again)) is not expected


def test_within_a_life_a_chunk_keeps_its_id():
    """What is sent again by the same worker goes under the same id, and never twice in one chunk."""
    evidence = lived(CONNECTED)
    first = received(FIRST, 1.5, None)

    assert evidence.explains((first, received(FIRST, 1.7, None)))
    assert not evidence.explains((first, received(FIRST, 1.7, None, "b")))
    assert not evidence.explains((first, first))
    assert not evidence.explains((received(SECOND, 8.0, 8.1), received(SECOND, 9.0, 9.1)))
