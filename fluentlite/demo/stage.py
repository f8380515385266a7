"""What a demo consists of, and the loop that keeps all of it going."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from fluentlite.core.decode import ReceivedChunk
from fluentlite.core.snapshot import WorkerStatus
from fluentlite.core.status_table import View, render
from fluentlite.core.trends import Trends
from fluentlite.demo.daemon import Daemon
from fluentlite.demo.keeper import Keeper
from fluentlite.demo.server import DemoServer
from fluentlite.demo.show import Show
from fluentlite.demo.stopped import StoppedError
from fluentlite.errors import FluentliteError
from fluentlite.signals import SignalInbox

DRAW_INTERVAL, PRINT_INTERVAL = 1.0, 3.0
"""Seconds between two tables, where they are drawn in place and where each is printed below the last one."""

_TURN = 0.01
_LONGEST_STEP = 0.5
"""Seconds that one turn counts at most: while we are suspended, the plot does not go on."""

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def open_inbox() -> SignalInbox:
    """Collect the signals that a demo heeds; what is ignored (``nohup``) stays ignored."""
    heeded = [signum for signum in _STOPPING if signal.getsignal(signum) is not signal.SIG_IGN]
    return SignalInbox([*heeded, signal.SIGCONT, signal.SIGWINCH])


class Stage:
    """
    The server, the daemon, and what is shown of them.

    Args:
        on_chunk: Called with all that arrives.

    Attributes:
        elapsed: Seconds since the beginning.
        on_turn: Called at every turn: writes what is to be written by now.
        caption: Gives a line to be shown below the table.
    """

    def __init__(self, keeper: Keeper, inbox: SignalInbox, on_chunk: Callable[[ReceivedChunk], None]) -> None:
        self._inbox = inbox
        self.directory = keeper.directory
        self.server = DemoServer(on_chunk, lambda what: self.tell(f"the server: {what}"), inbox.fileno())
        self.daemon = Daemon(keeper.directory, str(self.server.address), keeper.lifeline, self.turn)
        self.show = Show(os.environ)
        self.elapsed = 0.0
        self.on_turn: Callable[[], None] = lambda: None
        self.caption: Callable[[], str] = lambda: ""
        self._turned_at = time.monotonic()
        self._trends = Trends()
        self._show_at = float("inf")

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_exc_info: object) -> None:
        self.server.close()

    # -- time -------------------------------------------------------------------------------------------

    def turn(self) -> None:
        """
        Let everything go on for a moment.

        Raises:
            StoppedError: A signal says so.
        """
        self.server.poll(_TURN)
        self._heed(self._inbox.take())
        now = time.monotonic()
        self.elapsed += min(now - self._turned_at, _LONGEST_STEP)
        self._turned_at = now
        self.on_turn()
        if self.elapsed >= self._show_at:
            self.show_status()

    def go_on_until(self, elapsed: float) -> None:
        """Let everything go on until *elapsed* seconds after the beginning."""
        while self.elapsed < elapsed:
            self.turn()

    def go_on_while(self, condition: Callable[[], bool], patience: float) -> None:
        """Let everything go on while *condition* is true, for *patience* seconds at most."""
        give_up_at = self.elapsed + patience
        while condition() and self.elapsed < give_up_at:
            self.turn()

    def _heed(self, signals: list[signal.Signals]) -> None:
        for signum in signals:
            if signum in _STOPPING:
                raise StoppedError(f"stopped by {signum.name}")
        if signals:
            self.show.settle()

    # -- what happens and is shown ----------------------------------------------------------------------

    def tell(self, what: str) -> None:
        """Say *what* happens now; more lines of it are set below its beginning."""
        self.show.tell(f"{self.elapsed:5.1f} s  " + what.replace("\n", "\n         "))

    def run(self, command: str) -> None:
        """Run a command of fluentlite, and show it with what it said."""
        said = self.daemon.run(command)
        self.tell(f"$ fluentlite {command}\n{said}")

    def show_status(self) -> None:
        """Show the table now, and from now on regularly."""
        self._show_at = self.elapsed + (DRAW_INTERVAL if self.show.is_screen else PRINT_INTERVAL)
        view = View(
            width=self.show.size.columns,
            ascii_only=self.show.ascii_only,
            trend_of=self._trends.of,
            shows_progress=True,
        )
        try:
            snapshot = self.daemon.status()
            self._trends.note(snapshot, time.monotonic())
            table = render(snapshot, view)
        except FluentliteError as exc:
            table = view.wrapped(str(exc), "alarm")
        self.show.show(table, self.caption())

    def end_status(self) -> None:
        """Show the table for the last time."""
        self.show_status()
        self.show.settle()
        self._show_at = float("inf")

    def worker(self, tag: str) -> WorkerStatus:
        """
        How the log with *tag* is.

        Raises:
            FluentliteError: There is no answer.
        """
        return next(worker for worker in self.daemon.status().workers if worker.tag == tag)
