"""Who is hung, and who only could not run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluentlite.core.hang import (
    HUNG_AFTER,
    LONGEST_GAP,
    STARTING_HUNG_AFTER,
    STARVED_BELOW,
    Judgement,
    Pulse,
    SuspendGuard,
)

START = 1000.0


class Watch:
    """A master that turns every second and looks at one worker, whose state the test sets."""

    def __init__(self, state="S", *, is_starting=False):
        self.now = self.heartbeat = START
        self.cpu, self.state, self.is_starting = 7.0, state, is_starting
        self.guard = SuspendGuard()
        self.pulse = Pulse(self.guard, START)
        self.turn(0.0)

    def turn(self, seconds=1.0, cpu=0.0):
        self.now += seconds
        self.cpu += cpu
        self.guard.tick(self.now)
        self.judgement = self.pulse.judge(
            self.now, self.heartbeat, self.state, self.cpu, is_starting=self.is_starting
        )
        return self.judgement

    def turns(self, count, cpu=0.0):
        return [self.turn(1.0, cpu) for _ in range(count)]


@pytest.mark.parametrize("state", ["S", "T", "t"])
def test_silence_of_half_a_minute_is_a_hang(state):
    """A worker that sleeps or is stopped, without a heartbeat for 30 s, is hung; not before (P14)."""
    watch = Watch(state)

    assert not any(judgement.is_hung or judgement.remark for judgement in watch.turns(int(HUNG_AFTER) - 1))
    assert watch.turn().is_hung
    assert "no sign of life for 30 s" in watch.judgement.remark


@pytest.mark.parametrize("state", ["R", "S", "D"])
def test_heartbeats_keep_a_worker_alive(state):
    """As long as heartbeats come, nothing is said, whatever the state (P14)."""
    watch = Watch(state)
    for _ in range(100):
        watch.heartbeat = watch.now
        assert watch.turn(4.0) == Judgement(is_hung=False, remark="")


def test_a_worker_that_starts_has_five_minutes():
    """Before its first look at the log a worker may take ten times as long."""
    watch = Watch(is_starting=True)

    assert not any(judgement.is_hung for judgement in watch.turns(int(STARTING_HUNG_AFTER) - 1))
    assert watch.turn().is_hung


def test_a_worker_without_a_first_heartbeat_counts_from_its_fork():
    """A heartbeat of 0 means that there was none, not that it was long ago."""
    watch = Watch(is_starting=True)
    watch.heartbeat = 0.0

    assert not any(judgement.is_hung for judgement in watch.turns(int(STARTING_HUNG_AFTER) - 1))
    assert watch.turn().is_hung


def test_a_worker_in_the_kernel_is_not_killed():
    """State D cannot be killed: it is said, with where to look, and nobody is called hung (P14)."""
    watch = Watch("D")

    assert not any(judgement.is_hung for judgement in watch.turns(1000))
    assert "state D" in watch.judgement.remark
    assert "Look at the disk or the mount" in watch.judgement.remark


def test_a_starved_worker_is_not_killed():
    """Runnable, but without CPU since its last heartbeat: the machine is starved, not the worker hung (P14)."""
    watch = Watch("R")
    watch.turns(60)

    assert watch.turns(100, cpu=0.001)[-1].is_hung is False
    assert "gets no CPU (0.1 s since then)" in watch.judgement.remark


def test_a_spinning_worker_is_hung():
    """Runnable and using CPU without ever taking a turn is a hang (P14)."""
    watch = Watch("R")

    assert watch.turns(int(HUNG_AFTER), cpu=0.9)[-1].is_hung
    assert "s of CPU" in watch.judgement.remark


def test_a_spinning_worker_on_a_starved_machine_is_found_later():
    """However little CPU it gets, a worker that spins is found once it has used five seconds."""
    watch = Watch("R")
    turns_needed = int(STARVED_BELOW / 0.0625)

    assert not any(judgement.is_hung for judgement in watch.turns(turns_needed - 1, cpu=0.0625))
    assert watch.turn(cpu=0.0625).is_hung


def test_cpu_counts_from_the_last_heartbeat():
    """Hours of honest work before the last heartbeat do not make a starved worker a spinning one (P14)."""
    watch = Watch("R")
    for _ in range(10):
        watch.heartbeat = watch.now
        watch.turn(1.0, cpu=100.0)

    assert not any(judgement.is_hung for judgement in watch.turns(100))


@pytest.mark.parametrize("state", ["", "Z", "X"])
def test_the_dead_are_not_hung(state):
    """Who is dead, or could not be looked at, is left to whoever reaps the dead."""
    watch = Watch(state)

    assert not any(judgement.is_hung or judgement.remark for judgement in watch.turns(100))


@given(gap=st.floats(LONGEST_GAP + 0.001, 1e6), state=st.sampled_from("STR"))
def test_a_pause_of_the_master_is_not_held_against_workers(gap, state):
    """After the master itself did not run, workers have 30 s to give a sign before any of them is judged (P14)."""
    watch = Watch(state)
    watch.turns(20)

    assert not watch.turn(gap, cpu=gap).is_hung
    assert not any(judgement.is_hung for judgement in watch.turns(int(HUNG_AFTER) - 1, cpu=1.0))


def test_who_stays_silent_after_a_pause_is_hung():
    """A pause only puts the judgement off (P14)."""
    watch = Watch()
    watch.turn(3600.0)
    watch.turns(int(HUNG_AFTER) - 1)

    assert watch.turn().is_hung


def test_starvation_that_goes_on_puts_off_again():
    """Each long gap between two turns of the master counts (P14)."""
    watch = Watch()
    for _ in range(20):
        assert not watch.turn(20.0).is_hung


def test_ordinary_turns_do_not_put_off():
    """Turns that are as far apart as the master lets them be leave a hang a hang."""
    watch = Watch()
    while watch.now < START + HUNG_AFTER:
        watch.turn(LONGEST_GAP)

    assert watch.judgement.is_hung
