"""How long a log that nothing happens to is left alone."""

from __future__ import annotations

LONGEST = 8.0
"""Most seconds between two looks at a log whose changes are hinted at; more than that only if poll_interval is."""


class Patience:
    """
    Args:
        interval: Seconds between two looks as long as something happens, or hints cannot be relied on.
    """

    def __init__(self, interval: float) -> None:
        self._interval, self._wait = interval, interval

    def next_wait(self, *, is_quiet: bool) -> float:
        """
        Return the seconds until the next look.

        Args:
            is_quiet: Nothing has happened since the last one, and had it, there would have been a hint.
        """
        if not is_quiet:
            self._wait = self._interval
            return self._wait
        wait, self._wait = self._wait, max(self._interval, min(LONGEST, 2 * self._wait))
        return wait

    def end(self) -> float:
        """Something has happened; returns the seconds until the next look."""
        return self.next_wait(is_quiet=False)
