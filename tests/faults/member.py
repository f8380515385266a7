"""One worker of the daemon, and what can happen to it."""

from __future__ import annotations

import contextlib
import signal
import time

import psutil

from .ownlog import Witness
from .process import open_files
from .receptions import Disturbance


class Member:
    """
    Args:
        witness: Told what happens to the worker.
    """

    def __init__(self, witness: Witness) -> None:
        self._witness = witness
        self._process: psutil.Process | None = None
        self._frozen_since = 0.0

    @property
    def pid(self) -> int:
        """Of the worker that was started last; 0 if there was none."""
        return self._process.pid if self._process is not None else 0

    @property
    def is_running(self) -> bool:
        return self._process is not None and is_alive(self._process)

    @property
    def is_frozen(self) -> bool:
        return bool(self._frozen_since) and self.is_running

    def begin(self, pid: int) -> psutil.Process | None:
        """The daemon has started a worker; returns it if it is still there."""
        self.thaw()  # the one before, or it would keep the log from this one for ever
        self._process, self._frozen_since = None, 0.0
        with contextlib.suppress(psutil.NoSuchProcess):
            self._process = psutil.Process(pid)
        return self._process

    def open_files(self) -> set[tuple[int, int]]:
        """Return device and inode of every file that it has open."""
        return open_files(self._process.pid) if self._process is not None and self.is_running else set()

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None and self.is_running:
            since = self._frozen_since or time.monotonic()
            end(self._process)
            self._frozen_since = 0.0
            self._witness.evidence.note_restart(Disturbance("worker killed", since, time.monotonic()))

    def terminate(self) -> None:
        """TERM: it finishes, and its master starts another one."""
        self.thaw()
        self._send(signal.SIGTERM)

    def hang_up(self) -> None:
        """HUP: connect anew."""
        self._send(signal.SIGHUP)

    def freeze(self) -> None:
        """SIGSTOP: the machine is too busy, or asleep."""
        if self.is_running and not self._frozen_since:
            self._frozen_since = time.monotonic()
            self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        if self._frozen_since:
            self._send(signal.SIGCONT)
            self._frozen_since = 0.0

    def _send(self, signum: int) -> None:
        if self._process is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                self._process.send_signal(signum)


def is_alive(process: psutil.Process) -> bool:
    """Tell whether *process*, and no later one with its pid, is there and not a zombie."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def end(process: psutil.Process) -> None:
    """SIGKILL *process*, which need not be a child of ours, and wait until it is gone."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process.kill()
    deadline = time.monotonic() + 10.0
    while is_alive(process):
        assert time.monotonic() < deadline, f"process {process.pid} survived SIGKILL for ten seconds"
        time.sleep(0.001)
