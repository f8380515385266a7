"""Keeping an eye on living workers: signs of life, CPU, memory, speed."""

from __future__ import annotations

import collections
import logging
from collections.abc import Callable

from fluentlite.core.hang import Pulse, SuspendGuard
from fluentlite.core.restart import HEALTHY_LIFE
from fluentlite.master.fleet import Fleet
from fluentlite.master.member import Member
from fluentlite.master.monitor import Monitor
from fluentlite.report import Condition
from fluentlite.scoreboard import Score

log = logging.getLogger(__name__)

INTERVAL = 10.0
"""Seconds between two looks: a thousand idle workers should cost next to nothing."""

FRESH = 0.5
"""Seconds for which a look is good enough for ``status``."""

SPEED_OVER = 5.0
"""Seconds over which lines per second are counted, more if nobody asks, less in a young worker."""


class Watched:
    """What is remembered of one worker process."""

    def __init__(self, member: Member, guard: SuspendGuard) -> None:
        self.pid = member.pid
        self.pulse = Pulse(guard, member.started_at)
        self.silence = Condition(log, logging.WARNING)
        self.lines: collections.deque[tuple[float, int]] = collections.deque([(member.started_at, 0)])


class Watch:
    """
    Args:
        fleet: Whose workers are watched.
        memory_limit: Returns the bytes of resident memory above which a worker is replaced; 0: no limit.
    """

    def __init__(self, fleet: Fleet, memory_limit: Callable[[], int]) -> None:
        self._fleet, self._memory_limit = fleet, memory_limit
        self._monitor = Monitor()
        self._guard = SuspendGuard(longest_gap=2 * INTERVAL)
        self._watched: dict[str, Watched] = {}
        self._look_at = 0.0
        self._looked_at = -FRESH

    @property
    def deadline(self) -> float:
        """When ``tick`` has something to do, in monotonic seconds."""
        return self._look_at

    def tick(self, now: float) -> bool:
        """Look at all workers, if that is due, and replace those that are hung or too large; tell whether it was."""
        if now < self._look_at:
            return False
        self._look_at = now + INTERVAL
        self._guard.tick(now)
        self._look(now)
        for member in self._fleet.members.values():
            watched = self._watched.get(member.spec.log.path)
            if watched is not None:
                self._judge(member, watched, now)
        return True

    def refresh(self, now: float) -> None:
        """Look at all workers, unless that has just been done: somebody asks."""
        if now - self._looked_at >= FRESH:
            self._look(now)

    def _look(self, now: float) -> None:
        self._looked_at = now
        living = {path: member for path, member in self._fleet.members.items() if member.pid}
        for path, member in living.items():
            watched = self._watched.get(path)
            if watched is None or watched.pid != member.pid:
                self._watched[path] = Watched(member, self._guard)
            _remember(self._watched[path], member.slot.read(), now)
        for path in self._watched.keys() - living.keys():
            del self._watched[path]
        self._monitor.sample(now, [member.pid for member in living.values()])

    def _judge(self, member: Member, watched: Watched, now: float) -> None:
        score = member.slot.read()
        usage = self._monitor.usage(member.pid)
        judgement = watched.pulse.judge(
            now, score.heartbeat, usage.state, usage.cpu_seconds, is_starting=score.state == "starting"
        )
        path = member.spec.log.path
        if now - member.started_at >= HEALTHY_LIFE and score.state != "starting":
            member.lives_well(now)
        if judgement.is_hung:
            member.kill(judgement.remark)
            return
        if judgement.remark:
            watched.silence.raise_(f"{path}: worker {member.pid}: {judgement.remark}")
        else:
            watched.silence.clear(f"{path}: worker {member.pid} gives signs of life again")
        limit = self._memory_limit()
        if limit and usage.rss_bytes > limit and not member.is_expected:
            member.replace_failing(
                f"it used {usage.rss_bytes} bytes of memory, more than memory_limit, {limit}", now
            )

    # -- what is known ----------------------------------------------------------------------------------

    def usage(self, member: Member) -> tuple[float, int]:
        """Return CPU in percent of a core and resident bytes, as of the last look."""
        usage = self._monitor.usage(member.pid)
        return usage.cpu_percent, usage.rss_bytes

    def remark(self, member: Member) -> str:
        """Return why the worker gives no sign of life, or an empty string."""
        watched = self._watched.get(member.spec.log.path)
        return watched.silence.message if watched is not None else ""

    def lines_per_second(self, member: Member, score: Score, now: float) -> float:
        """Return what it delivered per second of late."""
        watched = self._watched.get(member.spec.log.path)
        if watched is None:
            return 0.0
        since, lines = watched.lines[0]
        return (score.lines - lines) / (now - since) if now > since else 0.0


def _remember(watched: Watched, score: Score, now: float) -> None:
    watched.lines.append((now, score.lines))
    while len(watched.lines) > 1 and watched.lines[1][0] <= now - SPEED_OVER:
        watched.lines.popleft()
