"""
Reading the configuration in a process of its own.

A file system that hangs, a shell configuration that sleeps, a directory service that does not answer:
none of them may stop the master, which has workers to look after.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
import time
from collections.abc import Callable

from setproctitle import setproctitle

from fluentlite.errors import ConfigError
from fluentlite.loop import Loop
from fluentlite.master.plan import Plan
from fluentlite.signals import MASTER_SIGNALS, accept_signals, fork_child

PATIENCE = 60.0
"""Seconds after which a reading is given up."""

Outcome = Plan | tuple[str, ...]
"""What came of it: a plan, or everything that is wrong."""


class Reading:
    """
    One reading that is under way.

    Args:
        make_plan: Called in the child.
        loop: Watches for the result.
        done: Called with the outcome, once.

    Raises:
        OSError: There can be no more processes or descriptors now.
    """

    def __init__(self, make_plan: Callable[[], Plan], loop: Loop, done: Callable[[Outcome], None]) -> None:
        self._loop, self._done = loop, done
        self._data = bytearray()
        self.deadline = time.monotonic() + PATIENCE
        self._fd, writer = os.pipe()
        try:
            self._pid = fork_child(lambda: _read(make_plan, writer), [writer])
        except OSError:
            os.close(self._fd)
            raise
        finally:
            os.close(writer)
        try:
            os.set_blocking(self._fd, False)
            loop.watch(self._fd, self._on_data)
        except OSError:  # no memory
            self._end()
            raise

    def tick(self, now: float) -> None:
        """Give up if it takes too long."""
        if now >= self.deadline:
            self._finish(
                (f"the configuration could not be read within {PATIENCE:g} s; it is left as it was",)
            )

    def reaped(self, pid: int) -> None:
        """The master has reaped *pid*: it must not be signalled any more if it was ours."""
        if pid == self._pid:
            self._pid = 0

    def abandon(self) -> None:
        """Nobody wants the result any more; ``done`` is not called."""
        self._end()

    def _on_data(self, _events: int) -> None:
        try:
            data = os.read(self._fd, 1 << 20)
        except BlockingIOError:
            return
        self._data += data
        if not data:
            self._finish(self._outcome())

    def _outcome(self) -> Outcome:
        try:
            outcome: Outcome = pickle.loads(self._data)
        except (pickle.UnpicklingError, EOFError):
            return (
                "reading the configuration failed for a reason of its own; fluentlite check may say more",
            )
        return outcome

    def _finish(self, outcome: Outcome) -> None:
        self._end()
        self._done(outcome)

    def _end(self) -> None:
        """The master reaps the process, as every child."""
        self._loop.unwatch(self._fd)
        os.close(self._fd)
        if self._pid:
            with contextlib.suppress(ProcessLookupError):  # it has not yet become a group of its own
                os.killpg(self._pid, signal.SIGTERM)  # it ends what it has started


def _read(make_plan: Callable[[], Plan], writer: int) -> int:
    setproctitle("fluentlite: reading the configuration")
    os.setpgid(0, 0)  # with what a shell configuration starts
    for signum in MASTER_SIGNALS:
        signal.signal(signum, signal.SIG_DFL)
    for signum in (signal.SIGHUP, signal.SIGUSR1):  # somebody means the master, and all processes get it
        signal.signal(signum, lambda _signum, _frame: None)  # not ignored: what we start would inherit that
    try:
        signal.signal(signal.SIGTERM, lambda _signum, _frame: sys.exit(1))
        accept_signals()
        outcome = _outcome_of(make_plan)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    except SystemExit:
        return 1  # nobody wants to know it any more
    with contextlib.suppress(BrokenPipeError), open(writer, "wb") as pipe:  # the master may be gone meanwhile
        pickle.dump(outcome, pipe)
    return 0


def _outcome_of(make_plan: Callable[[], Plan]) -> Outcome:
    try:
        return make_plan()
    except ConfigError as exc:
        return exc.problems
    except OSError as exc:
        return (f"the configuration cannot be read ({exc})",)
