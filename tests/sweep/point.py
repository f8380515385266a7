"""One point of the sweep: which call of which scenario, and what becomes of it."""

from __future__ import annotations

import re
from dataclasses import dataclass

KILL = "KILL"

ALWAYS = (KILL, "EINTR")
"""What can happen at any call of a kind."""

_TEXT = re.compile(r"(?:(\w+)/)?(\w+):(\d+):([A-Z]+)(?:\*(\d*))?")


@dataclass(frozen=True, slots=True)
class Point:
    """
    Attributes:
        scenario: Its name.
        call: Name of the call.
        number: Its how manieth in the process under test, from 1 on.
        action: KILL, or the name of an error.
        count: How many calls of this name fail from there on; 0: all.
    """

    scenario: str
    call: str
    number: int
    action: str
    count: int = 1

    @property
    def is_kill(self) -> bool:
        return self.action == KILL

    @property
    def is_lasting(self) -> bool:
        """Whether more than one call fails."""
        return self.count != 1

    def hits(self, call: str, number: int) -> bool:
        """Tell whether the *number*-th call of this name is meant."""
        if call != self.call or number < self.number:
            return False
        return not self.count or number < self.number + self.count

    def __str__(self) -> str:
        lasting = "" if self.count == 1 else f"*{self.count or ''}"
        return f"{self.scenario}/{self.call}:{self.number}:{self.action}{lasting}"


def parse(text: str) -> Point:
    """
    Read a point as it is printed; without a scenario it is the worker's.

    Raises:
        ValueError: It is none.
    """
    match = _TEXT.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{text!r} is no point; one looks like worker/pwrite64:7:KILL or worker/fsync:2:EIO*20"
        )
    scenario, call, number, action, count = match.groups()
    times = 1 if count is None else int(count or 0)
    return Point(scenario or "worker", call, int(number), action, times)
