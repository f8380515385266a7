"""One log's place in the fleet: its worker, if one lives, and what is to become of it."""

from __future__ import annotations

import contextlib
import errno
import logging
import math
import os
import random
import resource
import signal
from collections.abc import Callable

from fluentlite.core.restart import RestartPolicy
from fluentlite.master.plan import Spec
from fluentlite.report import Condition
from fluentlite.scoreboard import Score, Slot
from fluentlite.signals import fork_child

log = logging.getLogger(__name__)

KILL_MARGIN = 3.0
"""Seconds beyond ``stop_timeout`` after which a worker that was told to stop is killed."""

RESERVED = 24
"""Descriptors that no lifeline takes: for our log, for questions, for reading the configuration."""

NOTE_LASTS = 60.0
"""Seconds for which a replacement is told: a worker that is replaced again and again is not well."""

TOTALS = ("lines", "bytes", "chunks", "reconnects", "resent_chunks")
"""What counts from 0 in each worker, and is added up here."""

RunWorker = Callable[[Spec, Slot, int], int]
"""Called in the child with the spec, its slot and the read end of its lifeline; returns the exit status."""


class Member:
    """
    Args:
        run_worker: What the child does.
        kept: Gives descriptors that children keep besides their lifeline: our log's.

    Attributes:
        spec: What the next worker will work by; the living one may still work by the one before.
        pid: Of the living worker, or 0.
        started_at: When it was forked, monotonic seconds.
        restart_at: When the next one is due if none lives; infinity: never.
        kill_at: When the living one, told to stop, is killed.
        is_leaving: The log is configured no more.
        is_expected: The living one was told to stop: its end is no failure.
        restarts: Workers started after one that was to live.
        reason: Why there is no worker, or why the last one ended.
        note: What was wrong with its last worker, to be told until ``note_until``.
        has_died: A worker of it has ended unasked.
    """

    def __init__(self, spec: Spec, slot: Slot, run_worker: RunWorker, kept: Callable[[], list[int]]) -> None:
        self.spec, self.slot = spec, slot
        self._run_worker, self._kept = run_worker, kept
        self.pid = 0
        self.started_at = 0.0
        self.restart_at = -math.inf
        self.kill_at = math.inf
        self.is_leaving = self.is_expected = self.has_died = False
        self.restarts = 0
        self.reason = ""
        self.note, self.note_until = "", 0.0
        self._killed_for = ""
        self._trouble = Condition(log)
        self._policy = RestartPolicy(random.Random())
        self._lifeline = -1
        self._before = dict.fromkeys(TOTALS, 0)

    # -- life -------------------------------------------------------------------------------------------

    def start(self, now: float) -> bool:
        """Fork a worker; False if that cannot be now: it is tried again."""
        self.slot.clear()
        try:
            reader, writer = _pipe()
        except OSError as exc:
            return self._not_started(exc, now)
        try:
            spec, slot = self.spec, self.slot
            self.pid = fork_child(lambda: self._run_worker(spec, slot, reader), [reader, *self._kept()])
        except OSError as exc:
            os.close(writer)
            return self._not_started(exc, now)
        finally:
            os.close(reader)
        self._lifeline = writer
        self.started_at, self.restart_at, self.kill_at = now, math.inf, math.inf
        self.is_expected = False
        log.info("%s: worker %d started", self.spec.log.path, self.pid)
        return True

    def _not_started(self, exc: OSError, now: float) -> bool:
        self.has_died = True
        self.reason = (
            f"{self.spec.log.path}: no worker can be started ({exc.strerror}); raise the limits of processes and open "
            "files (ulimit -u, -n; LimitNPROC, LimitNOFILE)"
        )
        self.restart_at = now + self._policy.died(0.0)
        self._trouble.raise_(self.reason)
        return False

    def ended(self, status: int, now: float) -> None:
        """Its process has been reaped with the wait *status*."""
        pid, self.pid = self.pid, 0
        os.close(self._lifeline)
        score = self.slot.read()
        for name in TOTALS:
            self._before[name] += getattr(score, name)
        how = _how_it_ended(os.waitstatus_to_exitcode(status)) + self._killed_for
        self._killed_for = ""
        if self.is_expected:
            self.restart_at = math.inf if self.is_leaving else now
            self.reason = ""
            log.info("%s: worker %d %s", self.spec.log.path, pid, how)
            return
        # A good exit that nobody asked for is a failure too: the log would be followed by nobody.
        self.has_died = True
        self.restarts += 1
        # One that never got so far as to look at its log has not lived.
        wait = self._policy.died(0.0 if score.state == "starting" else now - self.started_at)
        self.restart_at = now + wait
        self.reason = f"the last worker {how}" + (f": {score.last_error}" if score.last_error else "")
        log.info("%s: worker %d %s; the next one starts in %.1f s", self.spec.log.path, pid, how, wait)
        self._trouble.raise_(f"{self.spec.log.path}: {self.reason}; it is started again")

    def signal(self, signum: int) -> None:
        """Send *signum* to the living worker: never to a pid that has been reaped."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signum)

    def stop(self, now: float) -> None:
        """Let the living worker finish; nothing starts after it unless ``restart_at`` says so."""
        self.restart_at = math.inf
        if self.pid and not self.is_expected:
            self.is_expected = True
            self.kill_at = now + self.patience
            self.signal(signal.SIGTERM)
            self.signal(signal.SIGCONT)  # one that is suspended could not obey

    def replace(self, now: float) -> None:
        """Let the living worker finish, and start another one after it; if none lives, at once."""
        if self.pid:
            self.stop(now)
        else:
            self.restart_at = now

    def replace_failing(self, why: str, now: float) -> None:
        """Let a worker finish that is not as it should be, and start another one after it."""
        self.restarts += 1
        self._trouble.raise_(f"{self.spec.log.path}: the worker is replaced: {why}")
        self.note, self.note_until = why, now + NOTE_LASTS
        self.stop(now)

    def lives_well(self, now: float) -> None:
        """It has lived for a while: if it dies now, that is news."""
        if now >= self.note_until:
            self._trouble.clear(f"{self.spec.log.path}: a worker follows it again")

    def kill(self, why: str) -> None:
        """End a worker that cannot end itself."""
        log.error("%s: worker %d killed: %s", self.spec.log.path, self.pid, why)
        self.kill_at = math.inf
        self._killed_for = f": {why}"
        self.signal(signal.SIGKILL)

    # -- what is known ----------------------------------------------------------------------------------

    @property
    def patience(self) -> float:
        """Seconds that a worker has for stopping."""
        return self.spec.stop_timeout + KILL_MARGIN

    @property
    def is_settled(self) -> bool:
        """Whether it has shown a sign of life, or died, since it was first started."""
        return self.has_died or (self.pid != 0 and self.slot.read().heartbeat > 0)

    def totals(self, score: Score) -> dict[str, int]:
        """All workers' counts, those of the living one as in *score*."""
        living = self.pid != 0
        return {name: self._before[name] + (getattr(score, name) if living else 0) for name in TOTALS}


def _pipe() -> tuple[int, int]:
    """Return a pipe's ends; some descriptors are left: a master that can be asked nothing cannot be helped."""
    reader, writer = os.pipe()
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if writer >= soft - RESERVED:  # the lowest free numbers are given first
        os.close(reader)
        os.close(writer)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    return reader, writer


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"ended with status {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
