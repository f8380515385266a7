"""How long to wait before the next attempt."""

from __future__ import annotations

import random

FIRST_WAIT = 0.5
"""Seconds, as the old agent's."""


class Backoff:
    """
    Growing waits with real jitter, also at the cap.

    Args:
        maximum: Longest wait in seconds.
        rate: What each wait is multiplied by for the next one.
        rng: Made after the fork, so that a hundred workers do not come back as one.
    """

    def __init__(self, maximum: float, rate: float, rng: random.Random) -> None:
        self._maximum, self._rate, self._rng = maximum, rate, rng
        self._wait = FIRST_WAIT

    def next_wait(self) -> float:
        """Return the seconds to wait now, between half and all of the current wait, which then grows."""
        wait = min(self._wait, self._maximum)
        self._wait = min(self._wait * self._rate, self._maximum)
        return wait * self._rng.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Something was delivered: begin with the shortest wait again."""
        self._wait = FIRST_WAIT
