"""When dead workers come back."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from fluentlite.core.restart import HEALTHY_LIFE, LONGEST_WAIT, RestartPolicy

early = st.floats(0.0, HEALTHY_LIFE, exclude_max=True)


def policy(seed=1):
    return RestartPolicy(random.Random(seed))


def waits(count, life=0.0, seed=1):
    dying = policy(seed)
    return [dying.died(life) for _ in range(count)]


@given(life=st.floats(HEALTHY_LIFE, 1e9), earlier=st.lists(early, max_size=30))
def test_a_healthy_worker_comes_back_at_once(life, earlier):
    """After ten seconds of life a worker is started again at once, whatever happened to it before."""
    dying = policy()
    for short in earlier:
        dying.died(short)

    assert dying.died(life) == 0.0


@given(life=early, seed=st.integers())
def test_early_deaths_wait_longer_and_longer(life, seed):
    """The first wait is about half a second, then they grow to 30 s, and end there (P13)."""
    found = waits(40, life, seed)

    assert 0.25 <= found[0] <= 0.5
    assert found[5] > 2 * found[0]
    assert all(LONGEST_WAIT / 2 <= wait <= LONGEST_WAIT for wait in found[10:])


def test_a_worker_is_never_given_up():
    """A worker that has died a hundred thousand times is still started at least every 30 s (P13)."""
    assert 0.0 < min(waits(100_000)) <= max(waits(100_000)) <= LONGEST_WAIT


def test_a_healthy_life_is_followed_by_short_waits():
    """Who was well and then dies early waits as if it had never died before."""
    dying = policy()
    for life in [0.0] * 20 + [HEALTHY_LIFE]:
        dying.died(life)

    assert dying.died(0.0) <= 0.5


def test_workers_that_die_together_do_not_come_back_together():
    """Fifty workers that crash for one reason spread their starts over the wait (P13)."""
    starts: Counter[int] = Counter()
    for seed in range(50):
        starts[int(sum(waits(12, seed=seed)))] += 1

    assert max(starts.values()) <= 10


def test_policies_are_independent():
    """The waits of one worker do not grow by the deaths of another (P13)."""
    waits(20)

    assert waits(1)[0] <= 0.5
