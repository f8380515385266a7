"""
The scenario of a start in the background: who typed it, and the daemon that it makes.

Whatever happens to one of the two, the other says so or lives; the next start finds a daemon, or makes one.
"""

from __future__ import annotations

import signal
from pathlib import Path

from fluentlite.cli import main

from .interceptor import Subject
from .master_scene import ASK_INTERVAL, MasterScene
from .point import Point
from .scene import StuckError

STARTER, DAEMON = 0, 2
"""Which of the processes is meant, in the order in which they begin; between these two is one that only forks."""

MOST_STARTS = 20
"""One that meets a daemon which is just beginning, or ending, ends with a word, and is typed again."""


class StarterScene(MasterScene):
    """Calls of who typed ``start`` count, until it ends."""

    whom = STARTER

    def __init__(self, directory: Path, point: Point | None) -> None:
        super().__init__(directory, point)
        self._starts = 0

    def play(self) -> None:
        self._write(20)
        self.begin()
        self._run()
        self.halt()

    def finish(self) -> None:
        self.begin()
        self._run()
        self._write(20)
        self.wait_until_idle("what came later")
        self.halt()
        self.look_for_leftovers()

    def begin(self) -> None:
        """Type ``start``, and wait until it returns."""
        self._starts += 1
        if self._starts > MOST_STARTS:
            raise StuckError("it was started")
        self._is_stopping = True  # nobody follows who typed it
        self.live(lambda: main(["start", "-c", str(self.config.path)]), index=self.whom)
        starter = self.subject
        assert starter is not None
        self.wait_for(starter.has_ended, "start returned")
        if starter.interceptor is not None:
            starter.interceptor.stop_counting()
        self._judge(starter)

    def _judge(self, starter: Subject) -> None:
        was_hit = self.watched is not None and self.watched.was_hit
        if self.whom == STARTER and self.was_killed(starter):
            is_fine = starter.status == -signal.SIGKILL
        else:
            is_fine = starter.status == 0 or (was_hit and self.gave_up(starter))
        self.expect(is_fine, f"start ended with {starter.status}")
        if starter is self.watched:
            self._end = f"start ended with {starter.status}"
        self.subject = None

    def _run(self) -> None:
        """Have a daemon that answers; where none was made, or none lives, that takes another start."""

        def has_daemon() -> bool:
            if not self.ask("status"):
                self.begin()
            return bool(self.ask("status"))

        self.wait_for(has_daemon, "there was a daemon", ASK_INTERVAL)
        self.wait_until_idle("what was there")

    def halt(self) -> None:
        """Tell the daemon to stop, and wait until all its processes are gone."""
        self.ask("stop")
        self.wait_for(lambda: not self._processes(), "all ended")


class DaemonScene(StarterScene):
    """Calls of the daemon count, until whoever typed ``start`` is told that it is ready."""

    whom = DAEMON
