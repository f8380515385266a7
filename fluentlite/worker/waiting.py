"""Waiting while there is nothing to follow yet: for a predecessor, for a disk."""

from __future__ import annotations

import select
import signal
import time
from collections.abc import Callable
from typing import TypeVar

from fluentlite.errors import LockedError
from fluentlite.logfile import reopen_log
from fluentlite.signals import SignalInbox

LOCK_PATIENCE = 15.0
"""Seconds to wait for a predecessor that is still finishing: longer than ``stop_timeout`` by default."""

LOCK_USUAL = 2.0
"""Seconds after which waiting for it is worth saying."""

LOCK_INTERVAL = 0.05

T = TypeVar("T")


class ToldToStopError(Exception):
    """There was a reason to stop while waiting."""


class Patience:
    """
    Waits, and meanwhile shows that the worker lives and obeys.

    Args:
        lifeline: Its end of file means to stop.
        tell: Called again and again with what is waited for, an empty string as long as that is ordinary.
    """

    def __init__(self, inbox: SignalInbox, lifeline: int | None, tell: Callable[[str], None]) -> None:
        self._inbox, self._lifeline, self._tell = inbox, lifeline, tell
        self._ends = select.poll()
        for fd in [inbox.fileno()] if lifeline is None else [inbox.fileno(), lifeline]:
            self._ends.register(fd, select.POLLIN)
        tell("")

    def wait(self, seconds: float, reason: str) -> None:
        """
        Wait for *reason*, for so long or until a signal comes.

        Raises:
            ToldToStopError: By a signal, or because the master is gone.
        """
        self._tell(reason)
        ready = [fd for fd, _events in self._ends.poll(seconds * 1000)]
        # All are taken: with nothing to follow, the others have nothing to do but for our log's.
        signals = self._inbox.take()
        if signal.SIGUSR1 in signals:
            reopen_log()
        if self._lifeline in ready or signal.SIGTERM in signals or signal.SIGINT in signals:
            raise ToldToStopError

    def until_free(self, attempt: Callable[[], T]) -> T:
        """
        Return what *attempt* returns once it does not raise LockedError any more.

        Raises:
            LockedError: It still does after ``LOCK_PATIENCE`` seconds.
            ToldToStopError: There was a reason to stop.
        """
        began, reason = time.monotonic(), ""
        while True:
            try:
                return attempt()
            except LockedError as exc:
                waited = time.monotonic() - began
                if waited >= LOCK_PATIENCE:
                    raise
                reason = str(exc) if waited >= LOCK_USUAL else ""
            self.wait(LOCK_INTERVAL, reason)
