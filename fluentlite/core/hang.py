"""Whether a worker that gives no sign of life is hung, or only has no chance to give one."""

from __future__ import annotations

import math
from dataclasses import dataclass

HUNG_AFTER = 30.0
"""Seconds without a heartbeat; a worker turns at least every ten seconds."""

STARTING_HUNG_AFTER = 300.0
"""The same before it has looked at its log for the first time: finding a lost position may take long."""

STARVED_BELOW = 5.0
"""CPU seconds since the last heartbeat up to which a runnable worker waits for the CPU and does not spin."""

LONGEST_GAP = 5.0
"""Seconds between two turns of the master above which it was not running itself."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """*remark* is empty while all is well; else it tells what is seen and, if nobody is killed, why not."""

    is_hung: bool = False
    remark: str = ""


WELL = Judgement()


class SuspendGuard:
    """
    Knows when the master has not been running, so that it does not blame its workers for that.

    The monotonic clock stands still while a machine sleeps, but not while a virtual machine is paused, a
    process group is stopped or the host is starved: then all heartbeats are old, and the master can be the
    first to run again (unicorn and others killed live workers so).

    Args:
        longest_gap: Seconds between two ticks that are still ordinary.
    """

    def __init__(self, longest_gap: float = LONGEST_GAP) -> None:
        self._longest_gap = longest_gap
        self._last = math.inf
        self._blind_until = -math.inf

    def tick(self, now: float) -> None:
        """The master takes a turn at *now* (monotonic seconds)."""
        if now - self._last > self._longest_gap:
            self._blind_until = now + HUNG_AFTER
        self._last = now

    def is_blind(self, now: float) -> bool:
        """Tell whether old heartbeats mean nothing yet."""
        return now < self._blind_until


class Pulse:
    """
    The heartbeats of one worker process.

    Args:
        guard: Of the master.
        started_at: When it was forked, in monotonic seconds.
    """

    def __init__(self, guard: SuspendGuard, started_at: float) -> None:
        self._guard, self._started_at = guard, started_at
        self._heartbeat = math.nan
        self._cpu_at_heartbeat = 0.0

    def judge(
        self, now: float, heartbeat: float, state: str, cpu_seconds: float, *, is_starting: bool
    ) -> Judgement:
        """
        Look at the worker; the oftener, the better is known what it did since its last heartbeat.

        Args:
            heartbeat: When it last took a turn, in monotonic seconds; 0.0 before its first.
            state: The letter of its state as in ``/proc``: R, S, D, T, t, Z; empty if unknown.
            cpu_seconds: CPU time that it has used in all.
            is_starting: It has not looked at its log yet.
        """
        if heartbeat != self._heartbeat:
            self._heartbeat, self._cpu_at_heartbeat = heartbeat, cpu_seconds
        silent = now - max(heartbeat, self._started_at)
        if silent < (STARTING_HUNG_AFTER if is_starting else HUNG_AFTER) or self._guard.is_blind(now):
            return WELL
        return _judge_silent(silent, state, cpu_seconds - self._cpu_at_heartbeat)


def _judge_silent(silent: float, state: str, cpu_used: float) -> Judgement:
    seen = f"no sign of life for {silent:.0f} s"
    if state in ("", "Z", "X"):
        return WELL  # it is dead, or nobody could look: not a matter of heartbeats
    if state == "D":
        return Judgement(
            remark=f"{seen}: the kernel holds it in a disk or network file system (state D), which not even "
            f"a kill can end. Look at the disk or the mount that its log and its position are on."
        )
    if state == "R" and cpu_used < STARVED_BELOW:
        return Judgement(
            remark=f"{seen}: it wants to run but gets no CPU ({cpu_used:.1f} s since then). "
            f"Look for what keeps this machine busy, or give fluentlite a lower nice value."
        )
    doing = {
        "R": f"it used {cpu_used:.0f} s of CPU",
        "T": "it was stopped by a signal",
        "t": "a debugger holds it",
    }
    return Judgement(
        is_hung=True, remark=f"{seen}: {doing.get(state, f'it waits for something (state {state})')}"
    )
