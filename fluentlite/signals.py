"""Signals as values: a handler appends and returns, the loop acts; and forks that lose none."""

from __future__ import annotations

import collections
import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable

WORKER_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)

MASTER_SIGNALS = (*WORKER_SIGNALS, signal.SIGCHLD)


class SignalInbox:
    """
    Collects signals; ``fileno`` is readable when there are some.

    CPython itself writes the wakeup byte, so a signal between a look and a wait is never missed.
    """

    def __init__(self, signums: Iterable[int]) -> None:
        self._pending: collections.deque[int] = collections.deque()
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for signum in signums:
            signal.signal(signum, lambda num, _frame: self._pending.append(num))

    def fileno(self) -> int:
        return self._reader

    def take(self) -> list[signal.Signals]:
        """Return the signals that came since the last call, in order."""
        # Bytes first, queue second: the other order can lose a wakeup.
        with contextlib.suppress(BlockingIOError):
            while os.read(self._reader, 4096):
                pass
        return [signal.Signals(self._pending.popleft()) for _ in range(len(self._pending))]

    def has_stop(self) -> bool:
        """Tell whether a signal to stop waits to be taken."""
        return any(signum in (signal.SIGTERM, signal.SIGINT) for signum in self._pending)


def fork_child(run: Callable[[], int], keep: Iterable[int]) -> int:
    """
    Run *run* in a child process.

    All signals of the master are blocked in the child, so that one which comes before it has handlers
    waits for them: *run* makes its inbox and then calls :func:`accept_signals`. Of the descriptors only 0
    to 2 and *keep* stay open: a sibling's pipe or lock that stayed would outlive its owner.

    Returns:
        The child's pid; the child itself never returns.

    Raises:
        OSError: There can be no more processes now.
    """
    saved_mask = signal.pthread_sigmask(signal.SIG_BLOCK, MASTER_SIGNALS)
    try:
        pid = os.fork()
        if pid == 0:
            _be_child(run, keep)
        return pid
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, saved_mask)


def accept_signals() -> None:
    """Let all signals come: what was blocked until there were handlers, and what whoever started us had blocked."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _be_child(run: Callable[[], int], keep: Iterable[int]) -> None:
    """Never returns, and never unwinds: the callers' stack holds the master's objects, whose descriptors are closed."""
    status = os.EX_SOFTWARE
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        close_descriptors(keep)
        status = run()
    except BaseException:  # noqa: BLE001 - nothing may unwind into the master's stack
        traceback.print_exc()
    finally:
        for stream in filter(None, (sys.stdout, sys.stderr)):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(status)  # not the master's exit handlers


def close_descriptors(keep: Iterable[int]) -> None:
    """Close every descriptor above 2 that is not in *keep*."""
    low = 3
    for fd in sorted({fd for fd in keep if fd >= low}):
        os.closerange(low, fd)
        low = fd + 1
    os.closerange(low, _most_descriptors())


def _most_descriptors() -> int:
    """One more than the highest descriptor that is open."""
    return 1 + max(map(int, os.listdir("/proc/self/fd")))
