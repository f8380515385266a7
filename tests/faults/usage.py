"""What processes use of the machine, by the kernel's word."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")

GROWTH = 1.1
"""Memory that has not grown by more than this factor is flat."""


class CpuTime:
    """
    CPU time of a group of processes that come and go.

    What one used after the last look before its end is missing.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._known: dict[tuple[int, str], float] = {}

    def look(self, pids: Iterable[int]) -> None:
        """Add what the processes with *pids* have used since the last look, or since they began."""
        now: dict[tuple[int, str], float] = {}
        for pid in pids:
            if (found := _times(pid)) is not None:
                began, used = found
                now[pid, began] = used
                self.seconds += used - self._known.get((pid, began), 0.0)
        self._known = now


@dataclass(slots=True)
class Memory:
    """Memory of the daemon over time: resident, and proportional (what is shared by n processes counts for 1/n)."""

    count: int
    """Processes that have to be there for a sample: with fewer of them it could not be compared with the others."""

    began: float = field(default_factory=time.monotonic)
    samples: list[tuple[float, int, int, int]] = field(default_factory=list)
    """Seconds since the beginning, resident and proportional bytes of all, proportional ones of the first process."""

    def look(self, pids: list[int]) -> None:
        """Take a sample of the processes with *pids*, the master first, if all are there."""
        sizes = [size for pid in pids if (size := _sizes(pid)) is not None]
        if len(sizes) == self.count:
            resident, proportional = map(sum, zip(*sizes, strict=True))
            self.samples.append((time.monotonic() - self.began, resident, proportional, sizes[0][1]))

    def is_flat(self) -> bool:
        """Tell whether there was no more memory in use at the end than at the start."""
        start, end = self._ends()
        return not start or statistics.median(s[2] for s in end) <= GROWTH * statistics.median(
            s[2] for s in start
        )

    def say(self) -> Iterator[str]:
        """Describe it: in the quarter that follows the first minute, in the last one, and at most."""
        start, end = self._ends()
        if not start:
            yield "memory: never were all processes there"
            return
        for name, which in (("resident", 1), ("proportional", 2), ("proportional, the master alone", 3)):
            at_start, at_end = (statistics.median(s[which] for s in part) / 2**20 for part in (start, end))
            most = max(s[which] for s in self.samples) / 2**20
            yield f"memory ({name}): {at_start:.1f} MB at the start, {at_end:.1f} MB at the end, {most:.1f} MB at most"

    def say_now(self) -> str:
        """Describe the last sample."""
        if not self.samples:
            return "memory unknown"
        _, resident, proportional, _ = self.samples[-1]
        return f"memory {resident / 2**20:.0f} MB resident, {proportional / 2**20:.0f} MB proportional"

    def _ends(self) -> tuple[list[tuple[float, int, int, int]], list[tuple[float, int, int, int]]]:
        """
        Return the samples of the first and of the last quarter; the first minute is left out, all is not in use yet.

        Shorter parts would compare a minute of catching up, when chunks are on their way, with one of leisure.
        """
        late = [sample for sample in self.samples if sample[0] >= 60.0] or self.samples
        if not late:
            return [], []
        first, last = late[0][0], late[-1][0]
        quarter = (last - first) / 4
        return (
            [sample for sample in late if sample[0] <= first + quarter],
            [sample for sample in late if sample[0] >= last - quarter],
        )


def _times(pid: int) -> tuple[str, float] | None:
    """Return when the process began, in whatever unit, and its CPU seconds; None if it is gone."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return words[19], (int(words[11]) + int(words[12])) / _TICKS


def _sizes(pid: int) -> tuple[int, int] | None:
    """Return resident and proportional bytes; None if the process is gone, or a zombie."""
    found: dict[str, int] = {}
    try:
        for row in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            name, _, value = row.partition(":")
            if name in ("Rss", "Pss"):
                found[name] = int(value.split()[0]) * 1024
    except OSError:
        return None
    return (found["Rss"], found["Pss"]) if len(found) == 2 else None
