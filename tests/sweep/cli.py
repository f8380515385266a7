"""
Kill, or fail, worker and master at each of their system calls: ``python -m tests.sweep``.

A scenario is run once to count its calls, then once for each call with that call killed, and once for each way in which
it can fail. Each time all lines must arrive; none may arrive twice whose ack was read and could be recorded.
"""

from __future__ import annotations

import argparse
import time

from . import plan, scene
from .mutants import MUTANTS
from .point import Point, parse
from .results import Result
from .runner import SCENARIOS, Task, prepare, run_all
from .table import Table

COUNTED = 2
"""Runs that count: of two that differ a little, the longer one counts."""


def main() -> int:
    """Run; 1 if a line was lost, torn, or doubled without an explanation, or if anything else went wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.sweep", description=__doc__)
    parser.add_argument("--jobs", type=int, default=2, help="points at a time")
    parser.add_argument(
        "--sample", type=int, default=0, metavar="N", help="N points that are spread over all"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--scenario", choices=SCENARIOS, action="append", help="only this one")
    parser.add_argument("--call", action="append", help="only the points of this one")
    parser.add_argument("--only", action="append", default=[], metavar="POINT", help="worker/pwrite64:7:KILL")
    parser.add_argument("--patience", type=float, default=scene.PATIENCE, help="seconds to wait for anything")
    parser.add_argument("--mutant", choices=MUTANTS, help="break fluentlite in this way first")
    parser.add_argument("--list", action="store_true", help="say what would be done")
    options = parser.parse_args()
    scene.PATIENCE = options.patience
    prepare(MUTANTS.get(options.mutant, lambda: None))
    chosen = [parse(text) for text in options.only]
    if not chosen:
        chosen = count(options.scenario or list(SCENARIOS), options.jobs)
    chosen = [point for point in chosen if point.call in (options.call or [point.call])]
    if options.sample:
        chosen = plan.sample(chosen, options.sample, options.seed)
    if options.list:
        print("\n".join(map(str, chosen)))
        return 0
    table, problems = sweep(chosen, options.jobs)
    print(table)
    return 1 if problems else 0


def count(scenarios: list[str], jobs: int) -> list[Point]:
    """Return all points of *scenarios*."""
    longest: dict[str, Result] = {}
    for task, result in run_all([Task(name, None) for name in scenarios for _ in range(COUNTED)], jobs):
        if result.problems:
            raise SystemExit("\n".join([f"{task.scenario}, undisturbed, goes wrong:", *result.problems]))
        longest[task.scenario] = max(
            result, longest.get(task.scenario, result), key=lambda r: sum(r.counts.values())
        )
    for name, result in longest.items():
        print(f"{name}: {sum(result.counts.values())} calls of {len(result.counts)} kinds", flush=True)
    return [
        point
        for name, result in longest.items()
        for point in plan.points(name, result.counts, result.fallible)
    ]


def sweep(points: list[Point], jobs: int) -> tuple[Table, int]:
    """Run *points*, say how it goes, and return the table and how many points went wrong."""
    table, began, said_at = Table(), time.monotonic(), time.monotonic()
    for done, (task, result) in enumerate(
        run_all([Task(point.scenario, point) for point in points], jobs), 1
    ):
        assert task.point is not None
        table.add(task.point, result)
        if result.problems:
            _tell(result)
        now = time.monotonic()
        if now - said_at >= 10.0 or done == len(points):
            said_at, rate = now, done / (now - began)
            print(
                f"{now - began:6.0f} s: {done} of {len(points)} points, {table.total.problems} with problems, "
                f"{(len(points) - done) / rate:.0f} s to go",
                flush=True,
            )
    return table, table.total.problems


def _tell(result: Result) -> None:
    print(f"{result.point}: {result.end}", *result.problems, sep="\n    ")
    print(f"    again: python -m tests.sweep --only {result.point!r}", flush=True)
