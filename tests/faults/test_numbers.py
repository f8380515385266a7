"""The map of numbers against the simplest one that there is."""

from __future__ import annotations

import random
from collections import defaultdict

import pytest

from .numbers import NumberMap
from .receptions import Connection, Evidence, Reception


@pytest.mark.parametrize("seed", range(20))
def test_any_arrivals(seed):
    """However ranges overlap, are skipped and forgotten: each number is known to have come as often as it did."""
    rng, numbers = random.Random(seed), NumberMap(Evidence(max_in_flight=4))
    connection, came, forgotten, late = Connection(("journal-a-0", 1), 0.0), defaultdict(int), 0, 0
    for index in range(120):
        first = rng.randrange(300)
        end = min(300, first + rng.choice((1, 2, 10, 60)))
        new = numbers.add(first, end, Reception(connection, str(index), index, 1.0, 1.0))
        found = [number for low, high in new for number in range(low, high)]
        assert found == [number for number in range(max(first, forgotten), end) if not came[number]]
        late += max(0, min(end, forgotten) - first)
        for number in range(max(first, forgotten), end):
            came[number] += 1
        if rng.random() < 0.05:
            numbers.forget(rng.randrange(300))
            forgotten = max(forgotten, numbers._forgotten)

    missing = [number for low, high in numbers.missing(0, 300) for number in range(low, high)]
    assert missing == [number for number in range(forgotten, 300) if not came[number]]
    explained, unexplained, _ = numbers.doubled()
    assert explained + unexplained == late + sum(count > 1 for count in came.values())
    assert explained == 0  # all were acknowledged, and nothing had happened


def test_a_number_that_never_comes():
    """A number that is skipped is not missed, and no repetition."""
    numbers = NumberMap(Evidence(max_in_flight=4))
    numbers.skip(5)
    assert numbers.missing(4, 7) == [(4, 5), (6, 7)]
    numbers.forget(7)
    assert numbers.doubled() == (0, 0, [])
