"""When a working connection is replaced: it has grown old, or it goes to a secondary."""

from __future__ import annotations

import math
import random

KEEPALIVE_JITTER = 30.0
"""Seconds by which the age of a connection varies, so that agents do not come back together."""

MAX_FAILBACK_GROWTH = 16
"""Most times *failback_interval* between two tries of a primary that can be connected to but does not work."""


class Renewal:
    """
    Args:
        keepalive_timeout: Age in seconds at which a connection is renewed; 0 = never.
        failback_interval: Seconds on a secondary after which a primary is tried.

    Attributes:
        deadline: When a new connection should be prepared, in monotonic seconds.
    """

    def __init__(self, keepalive_timeout: float, failback_interval: float, rng: random.Random) -> None:
        self.deadline = math.inf
        self._keepalive_timeout, self._failback_interval, self._rng = (
            keepalive_timeout,
            failback_interval,
            rng,
        )
        self._failback_wait = failback_interval

    def established(self, now: float, *, is_primary: bool) -> None:
        """A connection is in use from *now* on."""
        age = self._keepalive_timeout or math.inf
        jitter = min(KEEPALIVE_JITTER, age / 2)
        self.deadline = now + age + self._rng.uniform(-jitter, jitter)
        if not is_primary:
            self.deadline = min(self.deadline, now + self._failback_wait)

    def put_off(self, now: float) -> None:
        """No other connection can be had now."""
        self.deadline = now + self._failback_wait

    def ended(self, *, is_useless_primary: bool) -> None:
        """
        The connection is gone.

        Args:
            is_useless_primary: It was accepted by a primary which then acknowledged nothing. Such a primary
                must not take the lines away from a secondary again and again: each such try doubles the wait.
        """
        self.deadline = math.inf
        if is_useless_primary:
            longest = self._failback_interval * MAX_FAILBACK_GROWTH
            self._failback_wait = min(self._failback_wait * 2, longest)

    def primary_works(self) -> None:
        """A primary has acknowledged something."""
        self._failback_wait = self._failback_interval
