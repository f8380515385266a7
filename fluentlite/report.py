"""One line per change of state, not per retry."""

from __future__ import annotations

import logging
import time

REPEAT_INTERVAL = 600.0
"""Seconds after which a lasting condition is said again."""

FLAP_INTERVAL = 60.0
"""Seconds for which a condition that comes and goes with the same reason is not said again."""

_REMEMBERED = 32


class Condition:
    """
    Something that is wrong until it is right again.

    Said when it begins, when a new reason comes up, every ``REPEAT_INTERVAL`` seconds while it lasts, and
    when it ends; everything between is counted, and goes to the debug level.
    """

    def __init__(self, log: logging.Logger, level: int = logging.ERROR) -> None:
        self._log, self._level = log, level
        self._said: dict[str, float] = {}  # message -> when, monotonic seconds
        self._unsaid = 0
        self._was_said = False
        self.message = ""
        """What is wrong now, or an empty string."""

    def raise_(self, message: str) -> None:
        """It is so; *message* names object, reason and remedy."""
        now = time.monotonic()
        interval = REPEAT_INTERVAL if self.message else FLAP_INTERVAL
        self.message = message
        if now - self._said.get(message, -REPEAT_INTERVAL) < interval:
            self._unsaid += 1
            self._log.debug("%s (again)", message)
            return
        again = f" (and {self._unsaid} times more since the last report)" if self._unsaid else ""
        self._log.log(self._level, "%s%s", message, again)
        if len(self._said) >= _REMEMBERED:
            self._said.clear()
        self._said[message] = now
        self._unsaid, self._was_said = 0, True

    def clear(self, message: str) -> None:
        """It is over; said only if it was said to be so."""
        if self.message:
            self._log.log(
                min(self._level, logging.WARNING) if self._was_said else logging.DEBUG, "%s", message
            )
            self.message, self._was_said = "", False
