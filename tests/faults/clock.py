"""The wall clock that the daemon sees, and how it jumps."""

from __future__ import annotations

import contextlib
import datetime
import mmap
import os
import time
from pathlib import Path

_WALLCLOCK = Path(__file__).with_name("wallclock")

SLACK = 60.0
"""Seconds by which the clock must have been set for an entry of the daemon to show it."""


class Clock:
    """
    Args:
        path: A file that says by how much the clock is wrong; see ``wallclock/sitecustomize``.

    Attributes:
        environment: What a program needs so that it is its clock.
        jumps: How often it was set; *seen* counts those after which the program wrote down a time that shows it.
    """

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(8))
        path_before = [os.environ["PYTHONPATH"]] if os.environ.get("PYTHONPATH") else []
        self.environment = {
            "PYTHONPATH": os.pathsep.join([str(_WALLCLOCK), *path_before]),
            "FAULTS_CLOCK": str(path),
        }
        with open(path, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), 8)
        self._wrong_by = 0.0
        self.jumps = self.seen = 0
        self._is_seen = True

    def set(self, wrong_by: float) -> None:
        """Set it, so that it is wrong by so many seconds, to the future or to the past."""
        if abs(wrong_by - self._wrong_by) > SLACK:
            self.jumps += 1
            self._is_seen = False
        self._wrong_by = wrong_by
        self._map[:] = round(wrong_by * 1e9).to_bytes(8, "little", signed=True)

    def hear(self, entry: str) -> None:
        """Note whether *entry*, which the program has just written, has the time that it must have."""
        if self._is_seen:
            return
        with contextlib.suppress(ValueError):  # a line of a traceback, or of another form
            said = datetime.datetime.strptime(entry.split(" ")[0], "%Y-%m-%dT%H:%M:%S%z")
            if abs(said.timestamp() - time.time() - self._wrong_by) < SLACK / 2:
                self._is_seen = True
                self.seen += 1
