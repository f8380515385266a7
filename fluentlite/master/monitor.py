"""What worker processes use: CPU, memory, and the state that the kernel sees them in."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import psutil

_LETTERS = {
    psutil.STATUS_RUNNING: "R",
    psutil.STATUS_SLEEPING: "S",
    psutil.STATUS_IDLE: "S",
    psutil.STATUS_DISK_SLEEP: "D",
    psutil.STATUS_STOPPED: "T",
    psutil.STATUS_TRACING_STOP: "t",
    psutil.STATUS_ZOMBIE: "Z",
    psutil.STATUS_DEAD: "X",
}

SHORTEST_SPAN = 0.1
"""Seconds between two samples below which CPU in percent would be noise: the kernel counts in hundredths."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Of one process at the last sample."""

    cpu_percent: float = 0.0
    """Of one core, since the sample before."""
    rss_bytes: int = 0
    state: str = ""
    """The letter of ``/proc``: R, S, D, T, t, Z; empty if the process could not be looked at."""
    cpu_seconds: float = 0.0
    """CPU time used in all."""


UNKNOWN = Usage()


class Monitor:
    """Looks at processes by pid *and* creation time: a pid that has been given to another process is a new one."""

    def __init__(self) -> None:
        self._watched: dict[int, _Watched] = {}

    def sample(self, now: float, pids: Collection[int]) -> None:
        """
        Look at *pids*, and forget all others.

        Args:
            now: Monotonic seconds.
            pids: Of processes that have not been reaped as far as the caller knows.
        """
        watched = {pid: self._watched.get(pid) or _Watched(pid) for pid in pids}
        for one in watched.values():
            one.sample(now)
        self._watched = watched

    def usage(self, pid: int) -> Usage:
        """Return what was seen of *pid* at the last sample; zeros and no state if that was nothing."""
        watched = self._watched.get(pid)
        return watched.usage if watched is not None else UNKNOWN


class _Watched:
    """One pid, and the process that it is now."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.usage = UNKNOWN
        self._process: psutil.Process | None = None
        self._measured_at = self._cpu_then = 0.0

    def sample(self, now: float) -> None:
        try:
            if self._process is None or not self._process.is_running():
                self._process = self._begin(now)
            self._look(self._process, now)
        except (psutil.Error, OSError):
            # It vanished between two looks, or there is no descriptor to look with.
            self.usage, self._process = UNKNOWN, None

    def _begin(self, now: float) -> psutil.Process:
        process = psutil.Process(self._pid)
        self.usage = UNKNOWN
        self._measured_at, self._cpu_then = now, _cpu_seconds(process)
        return process

    def _look(self, process: psutil.Process, now: float) -> None:
        with process.oneshot():  # two files of /proc are read, each once
            cpu_seconds = _cpu_seconds(process)
            rss_bytes = process.memory_info().rss
            state = _LETTERS.get(process.status(), "")
        span, cpu_percent = now - self._measured_at, self.usage.cpu_percent
        if span >= SHORTEST_SPAN:
            cpu_percent = round(100.0 * max(0.0, cpu_seconds - self._cpu_then) / span, 1)
            self._measured_at, self._cpu_then = now, cpu_seconds
        self.usage = Usage(cpu_percent, rss_bytes, state, cpu_seconds)


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system
