"""All processes that a scene has started, whoever their parents were: its own process adopts those that lose theirs."""

from __future__ import annotations

import contextlib

import psutil


def descendants(pid: int) -> list[int]:
    """Return the processes below *pid* that are not dead."""
    found = []
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process.pid)
    return found


def end_descendants(pid: int) -> None:
    """SIGKILL for whoever is left below *pid*."""
    while left := descendants(pid):
        for one in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                psutil.Process(one).kill()
