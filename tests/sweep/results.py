"""What came of one point."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(slots=True)
class Result:
    """
    Attributes:
        point: As text; empty for a run that only counts.
        was_reached: Whether the call was made at all.
        end: What became of the process under test: killed, went on, ended.
        counts: Its calls by name.
        fallible: Numbers of those of its selective calls that can fail.
        lost, explained, unexplained: Lines; doubled ones with and without an explanation.
        problems: Everything that is a fault.
    """

    point: str
    was_reached: bool = False
    end: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    fallible: dict[str, list[int]] = field(default_factory=dict)
    lost: int = 0
    explained: int = 0
    unexplained: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
