"""``fluentlite status --watch``: looks again every second, until it is interrupted."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable
from dataclasses import replace

from fluentlite.config.model import MasterSettings
from fluentlite.core import human
from fluentlite.core.snapshot import MasterStatus, Snapshot, read_snapshot
from fluentlite.core.status_table import Line, View, render, unwell
from fluentlite.core.trends import Trends
from fluentlite.errors import FluentliteError
from fluentlite.signals import SignalInbox
from fluentlite.status_answer import NOT_WELL, RUNNING, UNKNOWN, NoStatusError, ask_status
from fluentlite.terminal import Terminal

INTERVAL = 1.0
"""Seconds between two looks."""

_PATIENCE = 2.0
"""Seconds to wait for one answer: the screen stands still meanwhile."""


class Watch:
    """
    Args:
        master: Where to ask.
        strict: A worker that is not well counts in the exit status.
        terminal: Where to show it; one that is no screen gets one table after the other.
        view_of: How to show an answer on it.
    """

    def __init__(
        self, master: MasterSettings, terminal: Terminal, view_of: Callable[[object], View], *, strict: bool
    ) -> None:
        self._master, self._terminal, self._view_of, self._strict = master, terminal, view_of, strict
        self._trends = Trends()
        self._answer: Snapshot | NoStatusError | None = None
        self._known: MasterStatus | None = None
        self._answered_at = time.monotonic()
        self._restarted = ""

    def run(self) -> int:
        """
        Watch until INT, TERM or HUP.

        Returns:
            The exit status, as of the last look.
        """
        inbox = SignalInbox((signal.SIGWINCH, signal.SIGTSTP))
        # These end it wherever it is, also in the middle of a question.
        for signum in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(signum) is not signal.SIG_IGN:  # nohup
                signal.signal(signum, signal.default_int_handler)
        with contextlib.suppress(KeyboardInterrupt):
            if self._terminal.is_screen:
                self._run_on_screen(inbox)
            else:
                self._run_printing(inbox)
        with contextlib.suppress(KeyboardInterrupt, OSError):  # pressed twice; the terminal is gone
            if self._terminal.is_screen and self._answer is not None:
                self._terminal.print(self._lines())  # what was seen last stays, to be read and copied
        return self._exit_status()

    def _run_on_screen(self, inbox: SignalInbox) -> None:
        while True:
            with self._terminal.screen():
                self._draw_until_suspended(inbox)
            # The shell wants its terminal back; when it brings us to the foreground, we go on here.
            os.kill(os.getpid(), signal.SIGSTOP)

    def _draw_until_suspended(self, inbox: SignalInbox) -> None:
        while True:
            next_look = time.monotonic() + INTERVAL
            self._look()
            self._terminal.draw(self._lines())
            while (wait := next_look - time.monotonic()) > 0:
                select.select([inbox], [], [], wait)
                signals = inbox.take()
                if signal.SIGTSTP in signals:
                    return
                if signals:  # another size
                    self._terminal.draw(self._lines())

    def _run_printing(self, inbox: SignalInbox) -> None:
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        while True:
            next_look = time.monotonic() + INTERVAL
            self._look()
            self._terminal.print([*self._lines(), Line("")])
            while (wait := next_look - time.monotonic()) > 0:
                select.select([inbox], [], [], wait)
                inbox.take()

    # -- what is seen -----------------------------------------------------------------------------------

    def _look(self) -> None:
        try:
            answer = read_snapshot(ask_status(self._master, _PATIENCE))
        except NoStatusError as exc:
            self._answer = exc
        except FluentliteError as exc:
            self._answer = NoStatusError(str(exc), UNKNOWN)
        else:
            self._answer = answer
            self._answered_at = time.monotonic()
            self._trends.note(answer, self._answered_at)
            self._note_restart(answer.master)

    def _note_restart(self, master: MasterStatus) -> None:
        known, self._known = self._known, master
        if known is not None and (known.pid, known.started_at) != (master.pid, master.started_at):
            self._restarted = f"The master was restarted at {_clock()}: process {known.pid} is gone, {master.pid} took over."

    def _lines(self) -> list[Line]:
        view = replace(self._view_of(self._answer), trend_of=self._trends.of, shows_progress=True)
        lines = view.wrapped(f"{_clock()}, every second; Ctrl-C ends this", "head")
        lines += view.wrapped(self._restarted, "busy")
        if isinstance(self._answer, Snapshot):
            return lines + render(self._answer, view)
        return lines + view.wrapped(str(self._answer), "alarm") + self._waiting(view)

    def _waiting(self, view: View) -> list[Line]:
        if self._known is None:
            return view.wrapped("Waiting for it to start.")
        gone = human.duration(time.monotonic() - self._answered_at)
        return view.wrapped(
            f"Waiting for it to come back; the last answer of process {self._known.pid} was {gone} ago."
        )

    def _exit_status(self) -> int:
        if isinstance(self._answer, Snapshot):
            return NOT_WELL if self._strict and unwell(self._answer) else RUNNING
        return self._answer.exit_status if self._answer is not None else UNKNOWN


def _clock() -> str:
    return time.strftime("%H:%M:%S")
