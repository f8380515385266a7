"""All workers: started, reaped, started again, replaced, stopped."""

from __future__ import annotations

import gc
import logging
import math
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fluentlite.core.changes import Changes, compare
from fluentlite.master.member import Member, RunWorker
from fluentlite.master.plan import Spec
from fluentlite.scoreboard import Scoreboard

log = logging.getLogger(__name__)

FORKS_PER_TURN = 20
"""Workers started before signals and questions get their turn: a thousand of them must not make TERM wait."""


@dataclass(slots=True)
class Remains:
    """What stopped workers have left in their log files."""

    undelivered_bytes: int = 0
    undelivered_logs: int = 0
    unknown_logs: int = 0
    """Their workers ended before they had looked."""
    killed: int = 0

    def told(self) -> str:
        """Return the end of a sentence that begins with "stopped"."""
        if self.undelivered_bytes:
            where = f"{self.undelivered_logs} log{'' if self.undelivered_logs == 1 else 's'}"
            return (
                f"; {self.undelivered_bytes} bytes of {where} are not delivered: they are in the log files, and are sent "
                "after the next start"
            )
        if self.unknown_logs:
            return (
                f"; {self.unknown_logs} log{'' if self.unknown_logs == 1 else 's'} had not been looked at yet"
            )
        return "; everything is delivered"


class Fleet:
    """
    Args:
        run_worker: What a child does.
        kept: Gives descriptors that children keep besides their lifeline: our log's.

    Attributes:
        members: By the paths of their logs.
        remains: Of the workers that have left for good.
    """

    def __init__(self, run_worker: RunWorker, kept: Callable[[], list[int]]) -> None:
        self._run_worker, self._kept = run_worker, kept
        self._board = Scoreboard()
        self.members: dict[str, Member] = {}
        self.remains = Remains()
        self._is_stopping = False

    # -- what is to be ----------------------------------------------------------------------------------

    def apply(self, specs: Mapping[str, Spec], now: float) -> Changes[str]:
        """Bring the fleet to *specs*: new logs start, others leave, changed ones are replaced."""
        current = {path: member.spec for path, member in self.members.items() if not member.is_leaving}
        changes = compare(current, specs)
        for path in changes.stopped:
            self._dismiss(self.members[path], now)
        for path in (*changes.started, *changes.replaced):
            member = self.members.get(path)
            if member is None:
                self.members[path] = Member(specs[path], self._board.take(), self._run_worker, self._kept)
            else:
                member.spec, member.is_leaving = specs[path], False
                member.replace(now)
        for path in changes.kept:
            self.members[path].spec = specs[path]  # what their successors should know of the others
        return changes

    def _dismiss(self, member: Member, now: float) -> None:
        member.is_leaving = True
        member.stop(now)
        if not member.pid:
            self._leave(member)

    def _leave(self, member: Member) -> None:
        score = member.slot.read()
        lag = score.lag_bytes
        self.remains.unknown_logs += score.state == "starting"
        self.remains.undelivered_bytes += lag
        self.remains.undelivered_logs += lag > 0
        del self.members[member.spec.log.path]
        self._board.free(member.slot)

    def stop(self, now: float) -> None:
        """Let all workers finish; nothing is started any more. Said again, it changes nothing."""
        if not self._is_stopping:
            self._is_stopping = True
            self.remains = Remains()
            for member in list(self.members.values()):
                self._dismiss(member, now)

    # -- what happens -----------------------------------------------------------------------------------

    def reap(self, other: Callable[[int], None]) -> None:
        """Take note of every child that has ended; *other* gets the pids that are no worker's."""
        by_pid = {member.pid: member for member in self.members.values() if member.pid}
        now = time.monotonic()
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            member = by_pid.get(pid)
            if member is None:
                other(pid)
                continue
            member.ended(status, now)
            if member.is_leaving:
                self._leave(member)

    def tick(self, now: float) -> None:
        """Start what is due, some at a time, and kill what was told to stop and does not."""
        due = [member for member in self.members.values() if not member.pid and member.restart_at <= now]
        if due:
            gc.freeze()  # the pages of what is known now stay shared
        for member in due[:FORKS_PER_TURN]:
            member.start(now)
        for member in self.members.values():
            if member.pid and now >= member.kill_at:
                self.remains.killed += 1
                member.kill(
                    f"it was told to stop {now - member.kill_at + member.patience:.0f} s ago and has not"
                )

    def postpone(self, seconds: float) -> None:
        """Give workers that are stopping so much more time."""
        for member in self.members.values():
            member.kill_at += seconds

    def forward(self, signum: signal.Signals) -> None:
        """Send *signum* to every worker."""
        for member in self.members.values():
            member.signal(signum)

    @property
    def deadline(self) -> float:
        """When ``tick`` has something to do, in monotonic seconds."""
        return min(
            (member.kill_at if member.pid else member.restart_at for member in self.members.values()),
            default=math.inf,
        )

    @property
    def is_settled(self) -> bool:
        """Whether every worker has shown a sign of life or died once."""
        return all(member.is_settled for member in self.members.values())
