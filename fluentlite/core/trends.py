"""What changes from one look to the next: since when a worker is in its state, how fast its lag shrinks, when it is done."""

from __future__ import annotations

import collections
from dataclasses import dataclass, field

from fluentlite.core import human
from fluentlite.core.snapshot import Snapshot, WorkerStatus
from fluentlite.core.wellness import UNKNOWN, Trend

WINDOW = 10.0
"""Seconds over which the change of a lag is measured: chunks come and go, and a single second says little."""

SHORTEST = 2.0
"""Seconds below which nothing is said of a change."""

_BAR = 24


@dataclass(slots=True)
class _Course:
    """One log's."""

    state: str
    since: float
    most_lag: int = 0
    lags: collections.deque[tuple[float, int]] = field(default_factory=collections.deque)


class Trends:
    """Remembers what it is shown. Times are seconds of a monotonic clock."""

    def __init__(self) -> None:
        self._courses: dict[str, _Course] = {}
        self._now = 0.0

    def note(self, snapshot: Snapshot, now: float) -> None:
        """Take a look; what is no longer there is forgotten."""
        self._now = now
        self._courses = {worker.path: self._noted(worker, now) for worker in snapshot.workers}

    def of(self, worker: WorkerStatus) -> Trend:
        """What the looks so far have shown of *worker*."""
        course = self._courses.get(worker.path)
        if course is None:
            return UNKNOWN
        return Trend(self._now - course.since, _change(course), course.most_lag)

    def _noted(self, worker: WorkerStatus, now: float) -> _Course:
        course = self._courses.get(worker.path)
        if course is None or course.state != worker.state:
            course = _Course(worker.state, now)
        course.most_lag = max(course.most_lag, worker.lag_bytes)
        course.lags.append((now, worker.lag_bytes))
        while now - course.lags[0][0] > WINDOW:
            course.lags.popleft()
        return course


def progress(worker: WorkerStatus, trend: Trend) -> str:
    """``[#####-------]  42%  1.2G to go, about 3m 20s`` for a worker that is catching up."""
    done = 1 - worker.lag_bytes / trend.most_lag if trend.most_lag else 0.0
    filled = int(done * _BAR)
    bar = f"[{'#' * filled}{'-' * (_BAR - filled)}] {human.percent(int(done * 100)):>4}"
    return f"{bar}  {human.size(worker.lag_bytes)} to go, {_time_to_go(worker.lag_bytes, trend.lag_change)}"


def _time_to_go(lag: int, change: float | None) -> str:
    if change is None:
        return "the time is being measured"
    if change >= 1:
        return f"and {human.size(change)} more every second"
    if change > -1:
        return "and it does not get less"
    return f"about {human.duration(lag / -change)}"


def _change(course: _Course) -> float | None:
    (begin, first), (end, last) = course.lags[0], course.lags[-1]
    return (last - first) / (end - begin) if end - begin >= SHORTEST else None
