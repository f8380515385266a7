"""What workers say of themselves in shared memory: whole, whatever they were killed at."""

import json
import math
import os
import random
import signal
import time
import zlib
from dataclasses import asdict, fields, replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fluentlite import scoreboard
from fluentlite.scoreboard import ERROR_SIZE, SERVER_SIZE, SLOT_SIZE, STATES, Score, Scoreboard, Slot

FULL = Score(
    heartbeat=12.5, state="catching_up", server="[::1]:24224", lines=1, bytes=2, chunks=3, lag_bytes=4,
    unacked_chunks=5, oldest_unacked=6.5, position=1 << 40, reconnects=8, resent_chunks=9, last_error="it is broken",
)  # fmt: skip


def numbered(number):
    """A score whose numbers and texts all say *number*: a part of another one would show."""
    return Score(
        heartbeat=1.0, state=STATES[number % len(STATES)], server=f"host-{number}:1", lines=number, bytes=number,
        chunks=number, lag_bytes=number, unacked_chunks=number, oldest_unacked=float(number), position=number,
        reconnects=number, resent_chunks=number, last_error=f"error {number}" * (number % 40),
    )  # fmt: skip


@pytest.fixture
def forked():
    """``forked(run)`` runs it in a child and returns its pid; children are gone after the test."""
    pids = []

    def fork(run):
        pid = os.fork()
        if pid == 0:
            try:
                run()
            finally:
                os._exit(0)
        pids.append(pid)
        return pid

    yield fork
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_what_a_child_writes_the_parent_reads(forked):
    """Every field arrives as it was written, in memory that was there before the fork."""
    slot = Scoreboard().take()
    assert slot.read() == Score()

    os.waitid(os.P_PID, forked(lambda: slot.write(FULL)), os.WEXITED | os.WNOWAIT)

    assert slot.read() == FULL
    assert all(getattr(FULL, field.name) != field.default for field in fields(Score)), "all are tried"


def test_a_heartbeat_changes_nothing_else():
    """``beat`` moves the heartbeat alone."""
    slot = Scoreboard().take()
    slot.write(FULL)

    slot.beat(99.0)

    assert slot.read() == replace(FULL, heartbeat=99.0)


@pytest.mark.parametrize("old", [Score(), numbered(7)])
def test_a_torn_write_is_never_seen(old):
    """A writer that is killed after any byte of a write leaves the score before it, or the new one."""
    memory = bytearray(SLOT_SIZE)
    slot = Slot(memoryview(memory))
    if old != Score():
        slot.write(old)
    before = bytes(memory)
    new = numbered(8)
    slot.write(new)
    after = bytes(memory)

    for torn in range(SLOT_SIZE + 1):
        for mix in (after[:torn] + before[torn:], before[:torn] + after[torn:]):
            found = replace(Slot(memoryview(bytearray(mix))).read(), heartbeat=1.0)
            assert found in (replace(old, heartbeat=1.0), new)


def test_two_torn_places_leave_what_was_read_last():
    """Should both places be unreadable, the last score that was read still holds."""
    memory = bytearray(SLOT_SIZE)
    slot = Slot(memoryview(memory))
    slot.write(numbered(1))
    slot.write(numbered(2))
    assert slot.read() == numbered(2)

    memory[16:] = bytes(byte ^ 0x55 for byte in memory[16:])

    assert slot.read() == numbered(2)


def test_killed_while_it_writes(forked):
    """Workers that are killed at any moment of writing without pause leave whole scores, and so does reading them meanwhile."""

    def write_on(slot):
        number = 0
        while True:
            number += 1
            slot.write(numbered(number))

    board = Scoreboard()
    for _ in range(30):
        slot = board.take()
        pid = forked(lambda slot=slot: write_on(slot))
        last, reads, end = 0, 0, time.monotonic() + 10
        while reads < 300 and time.monotonic() < end:
            score = slot.read()
            if score.chunks or score.server:
                assert score == numbered(score.lines)
                assert score.lines >= last, "never an older one"
                last, reads = score.lines, reads + 1
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        score = slot.read()
        assert score == numbered(score.lines)
        assert score.lines >= last
        board.free(slot)


def test_a_slot_is_used_again():
    """A slot that was given back is taken again, and says nothing of the worker before."""
    board = Scoreboard(capacity=1)
    slot = board.take()
    slot.write(FULL)
    board.free(slot)

    again = board.take()

    assert again is slot
    assert again.read() == Score()
    again.write(numbered(3))
    assert again.read() == numbered(3)


def test_the_board_grows(forked):
    """More workers than a region has slots get slots of their own, each read by the master."""
    board = Scoreboard(capacity=2)
    slots = []
    for number in range(5):
        slots.append(board.take())
        os.waitid(os.P_PID, forked(lambda number=number: slots[-1].write(numbered(number))), os.WEXITED | os.WNOWAIT)  # fmt: skip

    assert [slot.read().lines for slot in slots] == [0, 1, 2, 3, 4]


def test_long_texts_are_cut():
    """Texts that do not fit are cut and marked; one that fits is whole, and bytes that are no text are shown."""
    slot = Scoreboard().take()

    slot.write(Score(server="h" * SERVER_SIZE, last_error="é" * ERROR_SIZE))
    assert slot.read().server == "h" * SERVER_SIZE
    error = slot.read().last_error
    assert len(error.encode()) <= ERROR_SIZE
    assert error.strip("é") == "..."

    slot.write(Score(last_error=os.fsdecode(b"/var/log/\xff.log: no such file")))
    assert slot.read().last_error == "/var/log/\\udcff.log: no such file"


def test_a_write_is_cheap():
    """Saying new numbers costs microseconds, saying that nothing changed no more."""
    slot = Scoreboard().take()
    slot.write(FULL)
    scores = [replace(FULL, lines=number) for number in range(10_000)]
    times = []
    for _ in range(5):
        began = time.thread_time()
        for score in scores:
            slot.write(score)
        times.append((time.thread_time() - began) / len(scores))

    assert min(times) < 20e-6


def whole(body, sequence):
    """What stands in a place in which *body* was written to its end."""
    return scoreboard._HEAD.pack(sequence, zlib.crc32(body, sequence), len(body)) + body


def is_sound(score):
    """Whether a master can go on with it, and tell it."""
    json.dumps(asdict(score), allow_nan=False).encode()
    return score.state in STATES and math.isfinite(score.heartbeat) and math.isfinite(score.oldest_unacked)


@given(
    body=st.binary(max_size=scoreboard._PLACE_SIZE),
    heartbeat=st.floats(),
    sequence=st.integers(0, 2**64 - 1),
    is_whole=st.booleans(),
)
@example(b"\xff" * scoreboard._PLACE_SIZE, float("nan"), 2**64 - 1, True)
def test_whatever_a_worker_writes(body, heartbeat, sequence, is_whole):
    """A worker that has fallen into wrong hands cannot bring down the master by what it says of itself."""
    slot = Scoreboard(1).take()
    slot._heartbeat[0] = heartbeat
    if is_whole:
        body = whole(body[scoreboard._HEAD.size :], sequence)
    slot._places[0][: len(body)] = body

    assert is_sound(slot.read())


@pytest.mark.parametrize(
    ("what", "value"),
    [(0, 255), (0, len(STATES)), (6, math.nan), (6, math.inf), (6, -math.inf)],
    ids=["state", "next-state", "nan", "infinity", "minus-infinity"],
)
def test_what_no_worker_says(what, value):
    """Workers run as another user: whatever one writes to its slot, the master reads a score, the last one that made sense."""
    memory = memoryview(bytearray(SLOT_SIZE))
    slot = Slot(memory)
    slot.write(FULL)
    assert slot.read() == FULL
    numbers = [1, *range(10)]
    numbers[what] = value
    place = whole(scoreboard._NUMBERS.pack(*numbers), 9)
    for begin in (scoreboard._HEARTBEAT_SIZE, scoreboard._HEARTBEAT_SIZE + scoreboard._PLACE_SIZE):
        memory[begin : begin + len(place)] = place

    assert slot.read() == FULL
    slot.beat(math.nan)
    assert slot.read().heartbeat == 0.0


def test_random_bytes_in_a_slot():
    """Nor does any other byte that is written there keep the master from reading."""
    chooser = random.Random(7)
    for _ in range(2000):
        memory = memoryview(bytearray(SLOT_SIZE))
        slot = Slot(memory)
        slot.write(FULL)
        for _ in range(chooser.randrange(1, 20)):
            memory[chooser.randrange(SLOT_SIZE)] = chooser.randrange(256)
        assert is_sound(slot.read())
