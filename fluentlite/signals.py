"""Signals as values: a handler appends and returns, the loop acts."""

from __future__ import annotations

import collections
import contextlib
import signal
import socket
from collections.abc import Iterable

WORKER_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)


class SignalInbox:
    """
    Collects signals; ``fileno`` is readable when there are some.

    CPython itself writes the wakeup byte, so a signal between a look and a wait is never missed.
    """

    def __init__(self, signums: Iterable[int]) -> None:
        self._pending: collections.deque[int] = collections.deque()
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for signum in signums:
            signal.signal(signum, lambda num, _frame: self._pending.append(num))

    def fileno(self) -> int:
        return self._reader.fileno()

    def take(self) -> list[signal.Signals]:
        """Return the signals that came since the last call, in order."""
        # Bytes first, queue second: the other order can lose a wakeup.
        with contextlib.suppress(BlockingIOError):
            while self._reader.recv(4096):
                pass
        return [signal.Signals(self._pending.popleft()) for _ in range(len(self._pending))]

    def has_stop(self) -> bool:
        """Tell whether a signal to stop waits to be taken."""
        return any(signum in (signal.SIGTERM, signal.SIGINT) for signum in self._pending)
