"""What ``fluentlite status`` is told."""

from __future__ import annotations

import datetime
import os
import time
from collections import Counter
from typing import Any

from fluentlite import __version__
from fluentlite.core.letter import DIRECTORY, lying, name_prefix, prefix_of, refused
from fluentlite.master.fleet import Fleet
from fluentlite.master.member import Member
from fluentlite.master.watch import Watch
from fluentlite.scoreboard import Score


class Reporter:
    """
    Args:
        fleet: Whose members are reported.
        watch: What is known of their processes.
        config: Path of the configuration.
        state_dir: Where dead letters lie.
    """

    def __init__(self, fleet: Fleet, watch: Watch, config: str, state_dir: str) -> None:
        self._fleet, self._watch, self._config = fleet, watch, config
        self._letters = os.path.join(state_dir, DIRECTORY)
        self._started = time.monotonic()
        self._started_at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")

    def report(self, now: float, reload_problems: tuple[str, ...], *, is_stopping: bool) -> dict[str, Any]:
        """
        Args:
            now: Monotonic seconds.
            is_stopping: The master has been told to stop.
            reload_problems: Why the last reload was refused; empty if it was not.

        Returns:
            The object of ``status --json``.
        """
        self._watch.refresh(now)
        letters = letters_in(self._letters)
        return {
            "master": {
                "pid": os.getpid(),
                "version": __version__,
                "config": self._config,
                "started_at": self._started_at,
                "uptime": round(now - self._started, 3),
                "is_stopping": is_stopping,  # for who starts it again, not for people
                "reload_error": "\n".join(reload_problems) or None,
            },
            "workers": [self._worker(member, letters, now) for member in self._fleet.members.values()],
        }

    def letters_told(self) -> str:
        """Say how many dead letters lie here: the end of a sentence about what is delivered; empty if there are none."""
        count = sum(letters_in(self._letters).values())
        return f"; {refused(count)} in {self._letters}" if count else ""

    def _worker(self, member: Member, letters: Counter[str], now: float) -> dict[str, Any]:
        score = member.slot.read()
        cpu_percent, rss_bytes = self._watch.usage(member)
        totals = member.totals(score)
        return {
            "tag": member.spec.log.tag,
            "path": member.spec.log.path,
            "pid": member.pid or None,
            "state": _state(member, score),
            "server": score.server or None if member.pid else None,
            "lines": totals["lines"],
            "bytes": totals["bytes"],
            "chunks": totals["chunks"],
            "lines_per_second": round(self._watch.lines_per_second(member, score, now), 1),
            "lag_bytes": score.lag_bytes,
            "unacked_chunks": score.unacked_chunks if member.pid else 0,
            "oldest_unacked_seconds": _age(score.oldest_unacked if member.pid else 0.0, now),
            "position": score.position,
            "restarts": member.restarts,
            "reconnects": totals["reconnects"],
            "resent_chunks": totals["resent_chunks"],
            "cpu_percent": cpu_percent,
            "rss_bytes": rss_bytes,
            "uptime": round(now - member.started_at, 3) if member.pid else 0.0,
            "last_error": self._error(member, score, now) or self._lying(member, letters),
        }

    def _error(self, member: Member, score: Score, now: float) -> str | None:
        if not member.pid:
            wait = max(0.0, member.restart_at - now)
            return f"{member.reason}; started again in {wait:.0f} s" if member.reason else None
        note = member.note if now < member.note_until else ""
        return self._watch.remark(member) or score.last_error or note or None

    def _lying(self, member: Member, letters: Counter[str]) -> str | None:
        path = member.spec.log.path
        return lying(letters[name_prefix(path)], self._letters, path) or None


def letters_in(directory: str) -> Counter[str]:
    """Count the dead letters of each log, by the beginnings of their names."""
    try:
        names = os.listdir(directory)
    except OSError:  # there are none, or nobody may see them
        return Counter()
    return Counter(filter(None, map(prefix_of, names)))


def _state(member: Member, score: Score) -> str:
    if not member.pid:
        return "restarting" if member.started_at or member.has_died else "starting"
    return "stopping" if member.is_expected else score.state


def _age(since: float, now: float) -> float:
    return round(max(0.0, now - since), 3) if since else 0.0
