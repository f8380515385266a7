"""Numbers at a glance."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluentlite.core import human


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (-1, "0"),
        (0, "0"),
        (1, "1B"),
        (999, "999B"),
        (1000, "1.0K"),
        (1024, "1.0K"),
        (1536, "1.5K"),
        (10 * 1024, "10K"),
        (12 * 2**20, "12M"),
        (1000 * 2**20, "1.0G"),
        (3.26 * 2**30, "3.3G"),
        (2**63, "8.0E"),
    ],
)
def test_sizes(count, text):
    """Bytes are in units of 1024, with two digits where one would say too little."""
    assert human.size(count) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (7, "7"), (99_999, "99999"), (100_000, "100k"), (1_234_567, "1.2M"), (12_345_678, "12M")],
)
def test_counts(number, text):
    """A count is exact as long as it fits five columns."""
    assert human.count(number) == text


@pytest.mark.parametrize(
    ("per_second", "text"),
    [(0, "0"), (0.001, "0.1"), (0.34, "0.3"), (9.94, "9.9"), (9.96, "10"), (812_345.6, "812k")],
)
def test_rates(per_second, text):
    """What is little is not nothing."""
    assert human.rate(per_second) == text


@pytest.mark.parametrize(
    ("seconds", "words", "column"),
    [
        (-1, "0s", "0s"),
        (0.9, "0s", "0s"),
        (59, "59s", "59s"),
        (60, "1m", "60s"),
        (100, "1m 40s", "1m"),
        (3600, "1h", "60m"),
        (3660, "1h 1m", "61m"),
        (8000, "2h 13m", "2h"),
        (86400, "1d", "24h"),
        (273_800, "3d 4h", "3d"),
        (86400 * 400, "400d", "400d"),
    ],
)
def test_durations(seconds, words, column):
    """A duration has two units in a sentence and one in a column; what is not yet over is not counted."""
    assert (human.duration(seconds), human.age(seconds)) == (words, column)


@pytest.mark.parametrize(("value", "text"), [(-0.1, "0%"), (0.4, "0%"), (1.6, "2%"), (99.7, "100%")])
def test_percentages(value, text):
    """A percentage is rounded."""
    assert human.percent(value) == text


@given(st.floats(0, 1e18))
def test_columns_stay_narrow(number):
    """Whatever the number, its text has at most five columns (a size four)."""
    assert len(human.size(number)) <= 4
    assert len(human.count(number)) <= 5
    assert len(human.rate(number)) <= 5


@pytest.mark.parametrize(("number", "text"), [(0, "0 logs"), (1, "1 log"), (2, "2 logs")])
def test_plurals(number, text):
    """One is one, everything else is many."""
    assert human.plural(number, "log") == text
