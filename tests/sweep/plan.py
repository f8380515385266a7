"""All points of a scenario, from a run that counted its calls; and a sample that is spread over them."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Mapping

from .calls import ERRORS, LASTING, SELECTIVE
from .point import KILL, Point

RETRIED = 3
"""Calls of each name that are interrupted: it is the interpreter that makes them again, all alike."""

WHILE = 20
"""Calls that fail in a row, where a failure lasts a while; it may also last for the rest of the life."""


def points(scenario: str, counts: Mapping[str, int], fallible: Mapping[str, Collection[int]]) -> list[Point]:
    """
    Return every point: each call killed, and failed with each error that it can give, once and, for some, for long.

    Args:
        counts: Of the calls, by name.
        fallible: Which of the selective ones can fail.
    """
    return [
        Point(scenario, call, number, action, count)
        for call, total in sorted(counts.items())
        for number in range(1, total + 1)
        for action, count in _actions(
            scenario, call, number, can_fail=call not in SELECTIVE or number in fallible[call]
        )
    ]


def _actions(scenario: str, call: str, number: int, *, can_fail: bool) -> Iterator[tuple[str, int]]:
    yield KILL, 1
    for error in ERRORS[call]:
        if number <= RETRIED if error == "EINTR" else can_fail:
            yield error, 1
    for error in LASTING.get(call, ()) if scenario == "worker" else ():
        yield error, WHILE
        yield error, 0


def sample(all_points: list[Point], size: int, seed: int) -> list[Point]:
    """Return so many of them: kills and failures of each scenario in equal parts, spread evenly over the calls."""
    groups: dict[tuple[str, bool], list[Point]] = {}
    for point in all_points:
        groups.setdefault((point.scenario, point.is_kill), []).append(point)
    rng = random.Random(seed)
    chosen: list[Point] = []
    for index, group in enumerate(groups.values()):
        share = min(len(group), (size - len(chosen)) // (len(groups) - index))
        offset = rng.random()
        chosen += [group[int((n + offset) * len(group) / share)] for n in range(share)]
    return chosen
