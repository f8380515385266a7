"""A quiet log's lines go at once, a busy one's are gathered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluentlite.core.pace import BURST, INTERVAL, Pace


def spend_all(pace, now, limit=10**6):
    """Send small chunks at *now* until no more may go; return how many went."""
    count = 0
    while pace.allowed_at() <= now and count < limit:
        pace.spend(now)
        count += 1
    return count


def test_the_first_goes_at_once():
    """A log that was quiet waits for nothing, whatever the clock says (T52)."""
    assert Pace().allowed_at() <= 0.0


@pytest.mark.parametrize("start", [1.0, 1e3, 1e7])
def test_a_burst_goes_at_once(start):
    """After a quiet time ``BURST`` chunks go without waiting, then the next one has to wait (T52)."""
    pace = Pace()

    assert BURST - 1 <= spend_all(pace, start) <= BURST  # one less where the clock's fraction is rounded
    assert start < pace.allowed_at() <= start + INTERVAL * 1.001


def test_then_one_goes_each_interval():
    """A writer of single lines costs at most 200 chunks a second (T52)."""
    pace, now = Pace(), 100.0
    spend_all(pace, now)
    for _ in range(1000):
        now = pace.allowed_at()
        assert spend_all(pace, now) == 1

    assert now == pytest.approx(100.0 + 1000 * INTERVAL)


def test_quiet_time_gives_a_burst_again_but_never_more():
    """However long it was quiet, no more than a burst is saved up."""
    pace = Pace()
    spend_all(pace, 100.0)

    assert spend_all(pace, 100.0 + 3.5 * INTERVAL) == 3
    assert BURST - 1 <= spend_all(pace, 1e6) <= BURST


@given(st.lists(st.floats(0, 0.05), max_size=300))
def test_any_writer(gaps):
    """In no stretch of time do more chunks go than a burst and one per interval, and nobody waits longer than one."""
    pace, now, times = Pace(), 50.0, []
    for gap in gaps:
        now = max(now + gap, pace.allowed_at())
        pace.spend(now)
        times.append(now)
        assert pace.allowed_at() <= now + INTERVAL * 1.001

    for i, begin in enumerate(times):
        for count, end in enumerate(times[i:], start=1):
            assert count <= BURST + (end - begin) / INTERVAL + 1e-3
