"""What is printed: how it goes, what is wrong, and a table at the end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from .point import Point
from .results import Result

HEAD = (
    "",
    "points",
    "not reached",
    "killed",
    "failed",
    "ended by it",
    "lost",
    "doubled",
    "unexplained",
    "problems",
)


@dataclass(slots=True)
class Row:
    """What came of the points of one call."""

    points: int = 0
    not_reached: int = 0
    kills: int = 0
    failures: int = 0
    ends: int = 0
    lost: int = 0
    explained: int = 0
    unexplained: int = 0
    problems: int = 0

    def add(self, point: Point, result: Result) -> None:
        self.points += 1
        self.not_reached += not result.was_reached
        self.kills += result.was_reached and point.is_kill
        self.failures += result.was_reached and not point.is_kill
        self.ends += result.was_reached and not point.is_kill and result.end != "ended with 0"
        self.lost += result.lost
        self.explained += result.explained
        self.unexplained += result.unexplained
        self.problems += bool(result.problems)

    def numbers(self) -> tuple[int, ...]:
        return (
            self.points, self.not_reached, self.kills, self.failures, self.ends, self.lost, self.explained,
            self.unexplained, self.problems,
        )  # fmt: skip


@dataclass(slots=True)
class Table:
    """One row for each call of each scenario, and one for all."""

    rows: dict[str, Row] = field(default_factory=dict)
    total: Row = field(default_factory=Row)

    def add(self, point: Point, result: Result) -> None:
        self.rows.setdefault(f"{point.scenario}/{point.call}", Row()).add(point, result)
        self.total.add(point, result)

    def __str__(self) -> str:
        lines = [HEAD, *((name, *row.numbers()) for name, row in sorted(self.rows.items()))]
        return _aligned([*lines, ("all", *self.total.numbers())])


def _aligned(lines: Iterable[tuple[object, ...]]) -> str:
    rows = [[str(word) for word in line] for line in lines]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    return "\n".join(
        "  ".join(
            [
                row[0].ljust(widths[0]),
                *(word.rjust(width) for word, width in zip(row[1:], widths[1:], strict=True)),
            ]
        )
        for row in rows
    )
