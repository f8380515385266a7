"""Waits between attempts: they grow, end at a cap, and no two agents wait alike."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluentlite.config.model import ForwardSettings, Server
from fluentlite.core.retry import FIRST_WAIT, Backoff

DEFAULTS = ForwardSettings(primary=(Server("logs.example"),))


def backoff(maximum=60.0, rate=1.5, seed=1):
    return Backoff(maximum, rate, random.Random(seed))


def waits(count, **options):
    waiting = backoff(**options)
    return [waiting.next_wait() for _ in range(count)]


@given(
    maximum=st.floats(0.001, 3600.0), rate=st.floats(1.0, 100.0), seed=st.integers(), count=st.integers(1, 60)
)
def test_each_wait_is_between_half_and_all_of_a_growing_one(maximum, rate, seed, count):
    """The n-th wait lies between half and all of min(cap, first * rate^n), for every cap, rate and seed."""
    for number, wait in enumerate(waits(count, maximum=maximum, rate=rate, seed=seed)):
        whole = min(FIRST_WAIT * rate**number, maximum)
        assert whole / 2 * 0.999999 <= wait <= whole * 1.000001


def test_no_wait_is_too_often_to_grow():
    """An outage of years, or the largest rate, does not overflow (S32)."""
    assert max(waits(100_000, rate=10.0)) <= 60.0
    assert max(waits(5_000, rate=1e300)) <= 60.0


def test_jitter_at_the_cap():
    """At the cap waits still differ from each other, over the whole upper half (S21)."""
    at_cap = waits(1020)[20:]

    assert min(at_cap) < 32.0
    assert max(at_cap) > 58.0
    assert len(set(at_cap)) == len(at_cap)


def test_a_hundred_workers_do_not_come_back_as_one():
    """After ten minutes of outage, a hundred workers' attempts are spread: few in any one second (S21)."""
    attempts: Counter[int] = Counter()
    for seed in range(100):
        now, waiting = 0.0, backoff(seed=seed)
        while now < 660.0:
            now += waiting.next_wait()
            if now >= 600.0:
                attempts[int(now)] += 1

    assert sum(attempts.values()) >= 100
    assert max(attempts.values()) <= 12


def test_delivery_resumes_soon_after_a_long_outage():
    """By default nobody waits longer than a minute, however long the outage was (S22)."""
    waiting = Backoff(DEFAULTS.reconnect_wait_max, DEFAULTS.reconnect_wait_incr_rate, random.Random(1))
    passed = 0.0
    while passed < 7200.0:
        passed += waiting.next_wait()

    assert waiting.next_wait() <= 60.0


def test_after_a_delivery_waits_begin_anew():
    """Reset brings back the shortest wait."""
    waiting = backoff()
    for _ in range(20):
        waiting.next_wait()
    waiting.reset()

    assert [0.25 <= waiting.next_wait() <= 0.5, 0.375 <= waiting.next_wait() <= 0.75] == [True, True]


@pytest.mark.parametrize("rate", [1.0, 1.5, 10.0])
def test_a_cap_below_the_first_wait_holds(rate):
    """The cap holds for the first wait as well."""
    assert max(waits(10, maximum=0.1, rate=rate)) <= 0.1
