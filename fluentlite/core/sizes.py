"""
The size from which on servers do not take chunks, if there is one: nobody tells it, so it is learnt.

A chunk that had to be cut may have been too large, or it was sent in an outage. What is taken afterwards decides: one
that is as large (a sibling of the parts, the next one) shows that size was not the matter. If only smaller ones are taken,
chunks are kept as small as these for a while; then a larger one is tried, after ever longer whiles.
"""

from __future__ import annotations

import math

PATIENCE = 100
"""Chunks taken before a larger one is tried for the first time."""

GROWTH = 10
"""Factor by which that grows with each one that is tried in vain: it costs a time-out, where servers say nothing."""

MOST_PATIENCE = 100_000

FLOOR = 16 * 1024
"""Bytes that every server takes: what is cut below that is cut for another reason, in an outage or for one of its lines."""


class Sizes:
    """What one log's servers take; sizes are bytes of entries."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self._refused = self._taken = 0  # the smallest that was, and the largest of those below; 0: none
        self._patience = self._left = PATIENCE

    @property
    def is_learning(self) -> bool:
        """Whether it matters what is taken."""
        return self._refused > 0

    @property
    def limit(self) -> float:
        """The largest size that is known to be taken, if larger ones are not; else infinite."""
        return max(self._taken, FLOOR // 2) if self._taken and self._left > 0 else math.inf

    @property
    def is_trying(self) -> bool:
        """Whether a larger chunk is to be tried; alone, for it may fail."""
        return bool(self._taken) and self._left <= 0

    def is_doubtful(self, size: int) -> bool:
        """Whether something of that size, or smaller, was not taken."""
        return 0 < self._refused <= size

    def is_too_large(self, size: int) -> bool:
        """Whether it is not worth a try: nothing so large was taken, and smaller ones were."""
        return self.limit < size and self.is_doubtful(size)

    def try_larger(self) -> None:
        """The servers' limits may have been raised: the next chunk shows it."""
        self._left = 0

    def refused(self, size: int) -> None:
        """A chunk of *size* was not taken, and is cut, or is one record."""
        if size < FLOOR:
            return
        if self.is_trying:
            self._patience = min(self._patience * GROWTH, MOST_PATIENCE)
        self._refused = min(self._refused or size, size)
        if self._taken >= self._refused:
            self._taken = 0
        self._left = self._patience

    def taken(self, size: int) -> None:
        """A chunk of *size* was taken."""
        if not self._refused:
            return
        if self.is_doubtful(size):
            self._forget()
            return
        # One try is one chunk, also if it has turned out smaller than what was not taken.
        was_tried = self.is_trying and size > self._taken
        self._left = self._patience if was_tried else self._left - 1
        self._taken = max(self._taken, size)
