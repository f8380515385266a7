"""When a dead worker is started again."""

from __future__ import annotations

import random

from fluentlite.core.retry import Backoff

HEALTHY_LIFE = 10.0
"""Seconds; who lived as long was well, and something happened to it."""

LONGEST_WAIT = 30.0
"""Seconds between two starts of a worker that dies every time."""

_GROWTH = 1.75


class RestartPolicy:
    """
    Of one worker: at once after a healthy life, later and later after early deaths, never given up.

    Args:
        rng: Workers that die together, for one reason, must not come back together again and again.
    """

    def __init__(self, rng: random.Random) -> None:
        self._backoff = Backoff(LONGEST_WAIT, _GROWTH, rng)

    def died(self, life: float) -> float:
        """
        Return the seconds to wait before the next start.

        Args:
            life: Seconds between the start and the death, whatever the exit status was.
        """
        if life >= HEALTHY_LIFE:
            self._backoff.reset()
            return 0.0
        return self._backoff.next_wait()
