"""
When a log is to be looked at, and how closely.

Polling alone is correct, so a look is never left out for long. But a thousand idle workers must cost next to
nothing: where nobody but this kernel writes, a glance is enough, what stat says of path and directory; and
where hints can be relied on as well, a log that nothing happens to is looked at less and less often.
"""

from __future__ import annotations

import math
import os

from fluentlite.core.patience import Patience
from fluentlite.worker.awaited import Awaited
from fluentlite.worker.generation import RECHECK_INTERVAL
from fluentlite.worker.tail import Tail

SURE_AFTER = 2.0
"""Seconds between two looks that saw the same, after which a glance can tell: times can be as coarse as this."""

CLOSE_INTERVAL = 60.0
"""Seconds after which a log is looked at closely even so."""

Sight = tuple[tuple[int, ...], tuple[int, ...]]
"""What stat says of path and directory: device, inode, size and times; empty where there is nothing."""


class Polling:
    """
    Args:
        tail: What is looked at.
        interval: ``poll_interval``.

    Attributes:
        due: When the next look or glance is due, in monotonic seconds.
    """

    def __init__(self, path: str, tail: Tail, interval: float) -> None:
        self.due = math.inf
        self._path, self._tail = path, tail
        self._patience = Patience(interval)
        self._sight: Sight = (), ()
        self._same_since = self._looked_at = self._close_at = -math.inf

    def start(self, now: float) -> None:
        """The first look is due."""
        self.due = now

    def hinted(self, now: float) -> None:
        """Something has happened: patience is over."""
        self.due = min(self.due, now + self._patience.end())

    def glance(self, now: float, *, is_local: bool, is_hinted_at: bool) -> bool:
        """
        See whether anything has changed since the last look; if not, none is needed.

        Args:
            is_local: Nobody but this kernel writes: what stat says is true.
            is_hinted_at: Whatever happened would have been hinted at.
        """
        is_sure = self._looked_at - self._same_since >= SURE_AFTER and now < self._close_at
        if not is_local or not is_sure or not self._is_settled() or self._seen() != self._sight:
            return False
        self.due = now + self._patience.next_wait(is_quiet=is_hinted_at)
        return True

    def looking(self, now: float) -> None:
        """Before a look: what changes meanwhile is for the next one."""
        sight = self._seen()
        if sight != self._sight:
            self._sight, self._same_since = sight, now
            self._patience.end()
        self._looked_at, self._close_at = now, now + CLOSE_INTERVAL

    def looked(self, now: float, *, is_hinted_at: bool) -> None:
        """After it."""
        if self._tail.is_suspect:
            self.due = now + RECHECK_INTERVAL
            return
        is_quiet = is_hinted_at and self._same_since < now and self._is_settled()
        self.due = now + self._patience.next_wait(is_quiet=is_quiet)

    def _is_settled(self) -> bool:
        """Tell whether the tail waits for nothing but hints."""
        generations = self._tail.generations
        if all(isinstance(generation, Awaited) and generation.is_missing for generation in generations):
            return not self._tail.troubles.needs_looks
        newest = generations[-1]
        if self._tail.troubles.needs_looks or len(generations) > 1 or newest.is_closed:
            return False
        is_read = newest.quiet_since is not None and newest.short_since is None
        has_past = bool(newest.head) and newest.unseen_since_ns is not None
        return is_read and not has_past and not self._tail.troubles.is_waiting

    def _seen(self) -> Sight:
        return _stat(self._path), _stat(os.path.dirname(self._path))


def _stat(path: str) -> tuple[int, ...]:
    try:
        seen = os.stat(path)
    except OSError:
        return ()
    return seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns
