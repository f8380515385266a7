"""When a working connection is replaced."""

import math
import random

import pytest

from fluentlite.core.renewal import KEEPALIVE_JITTER, MAX_FAILBACK_GROWTH, Renewal


def renewal(keepalive=1800.0, failback=60.0, seed=1):
    return Renewal(keepalive, failback, random.Random(seed))


def test_a_connection_is_renewed_at_its_age_give_or_take_the_jitter():
    """Connections made at the same moment do not end at the same moment (S21, S23)."""
    ends = []
    for seed in range(200):
        timer = renewal(seed=seed)
        timer.established(100.0, is_primary=True)
        ends.append(timer.deadline - 1900.0)

    assert all(-KEEPALIVE_JITTER <= end <= KEEPALIVE_JITTER for end in ends)
    assert max(ends) - min(ends) > KEEPALIVE_JITTER


def test_age_zero_means_for_ever():
    """Without a keepalive limit, a connection to a primary is never renewed."""
    timer = renewal(keepalive=0.0)
    timer.established(100.0, is_primary=True)

    assert timer.deadline == math.inf


def test_a_short_age_is_not_drowned_by_its_jitter():
    """The jitter is never more than half of the age."""
    for seed in range(50):
        timer = renewal(keepalive=2.0, seed=seed)
        timer.established(0.0, is_primary=True)

        assert 1.0 <= timer.deadline <= 3.0


def test_on_a_secondary_a_primary_is_tried_after_the_failback_interval():
    """A secondary is used for no longer than it has to be (S20)."""
    timer = renewal(keepalive=0.0)
    timer.established(100.0, is_primary=False)
    assert timer.deadline == 160.0

    timer.put_off(160.0)
    assert timer.deadline == 220.0


def test_a_primary_that_acknowledges_nothing_is_tried_less_and_less_often():
    """A primary that only accepts connections does not take the lines back and forth (S20), but is never given up."""
    timer = renewal(keepalive=0.0)
    waits = []
    for _ in range(8):
        timer.ended(is_useless_primary=True)
        timer.established(0.0, is_primary=False)
        waits.append(timer.deadline)

    assert waits == [60.0 * min(2**n, MAX_FAILBACK_GROWTH) for n in range(1, 9)]


@pytest.mark.parametrize("is_useless", [False, True])
def test_an_ack_of_a_primary_makes_the_wait_short_again(is_useless):
    """Only what a primary does now counts, not what it did before."""
    timer = renewal(keepalive=0.0)
    timer.ended(is_useless_primary=is_useless)
    timer.primary_works()
    timer.ended(is_useless_primary=False)
    assert timer.deadline == math.inf

    timer.established(0.0, is_primary=False)
    assert timer.deadline == 60.0
