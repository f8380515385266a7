"""A worker as the master runs it: forked, with a slot on the scoreboard and a lifeline."""

from __future__ import annotations

import os
import signal
import time

from clients import eventually
from sending import committed

from fluentlite.config.model import LogSettings, TailSettings
from fluentlite.scoreboard import Scoreboard
from fluentlite.signals import WORKER_SIGNALS, SignalInbox, accept_signals, fork_child
from fluentlite.worker.main import run_worker


class Scored:
    """
    A worker that follows ``app.log`` in *directory*, from its head.

    Args:
        forward: Where to and how.
        tail: Keys of TailSettings.
    """

    def __init__(self, directory, forward, *, stop_timeout=5.0, **tail):
        self.path, self.state_dir = directory / "app.log", directory / "state"
        self.settings = LogSettings(
            tag="app",
            path=str(self.path),
            forward=forward,
            tail=TailSettings(**{"read_from_head": True} | tail),
        )
        self.stop_timeout = stop_timeout
        self.slot = Scoreboard(1).take()
        self.pid = 0
        self.status = None

    def start(self):
        lifeline, self._lifeline = os.pipe()
        self.started_at = time.monotonic()
        self.pid = fork_child(lambda: self._run(lifeline), [lifeline])
        os.close(lifeline)
        return self

    def _run(self, lifeline):
        inbox = SignalInbox(WORKER_SIGNALS)
        accept_signals()
        return run_worker(
            self.settings, str(self.state_dir), self.stop_timeout, inbox, slot=self.slot, lifeline=lifeline
        )

    @property
    def score(self):
        return self.slot.read()

    @property
    def position(self):
        """The committed offset in the newest file that it follows."""
        return committed(self.state_dir, self.path)

    def append(self, *lines):
        """Whole lines, or text as it is; returns the size of the log."""
        with open(self.path, "ab") as file:
            file.write(b"".join(lines))
            return file.tell()

    def wait_for(self, condition, timeout=10.0):
        """Wait until *condition* holds for the score; return that score, with which nothing may be wrong otherwise."""
        eventually(lambda: condition(self.score), timeout)
        return self.score

    def signal(self, signum):
        os.kill(self.pid, signum)

    def leave_alone(self):
        """As when the master dies: its end of the lifeline is closed."""
        os.close(self._lifeline)
        self._lifeline = -1

    def wait(self, timeout=10.0):
        """Wait for its end; return its exit status and the seconds that it took."""
        begin = time.monotonic()
        eventually(lambda: os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG), timeout)
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return os.waitstatus_to_exitcode(status), time.monotonic() - begin

    def close(self):
        if self.pid:
            self.signal(signal.SIGKILL)
            self.wait()
        if self._lifeline >= 0:
            self.leave_alone()

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc_info):
        self.close()
