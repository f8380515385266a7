"""How soon the next small chunk may go."""

from __future__ import annotations

BURST = 20
"""Chunks that may go at once after a quiet time."""

INTERVAL = 0.005
"""Seconds that each further one has to wait: at most 200 small chunks a second."""


class Pace:
    """
    Let a quiet log's lines go at once, and gather those of a busy one.

    A writer of 20,000 single lines a second would otherwise cost as many chunks, here and at the server.
    This is a token bucket, expressed as the time at which the bucket would be full again.
    """

    def __init__(self) -> None:
        self._full_at = 0.0

    def allowed_at(self) -> float:
        """Return the time (monotonic seconds) from which the next small chunk may go."""
        return self._full_at - (BURST - 1) * INTERVAL

    def spend(self, now: float) -> None:
        """A small chunk went."""
        self._full_at = max(self._full_at, now) + INTERVAL
