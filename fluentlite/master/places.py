"""What one master holds for itself alone: its pid file, and the directory of the positions."""

from __future__ import annotations

import contextlib
import logging
import os

from fluentlite.config.model import MasterSettings
from fluentlite.errors import ConfigError, FluentliteError
from fluentlite.master.account import Account
from fluentlite.master.directories import make_run_dir, pid_path, state_lock_path
from fluentlite.master.pidfile import HeldError, PidFile, PidFileError
from fluentlite.report import Condition

log = logging.getLogger(__name__)


class Places:
    """
    Taken now and held for the master's life, also by the processes that keep ``descriptors``.

    Attributes:
        account: Whom state_dir belongs to; None: whoever calls.

    Raises:
        HeldError: A master runs with this run_dir.
        FluentliteError: One runs with this state_dir, or a file cannot be made.
    """

    def __init__(self, master: MasterSettings, account: Account | None) -> None:
        self._master, self.account = master, account
        self._trouble = Condition(log)
        self._pid_file = PidFile(pid_path(master.run_dir))
        try:
            self._state_lock = PidFile(state_lock_path(master.state_dir), account)
        except HeldError as exc:
            self._pid_file.remove()
            who = f"process {exc.pid}" if exc.pid else "another fluentlite"
            raise FluentliteError(
                f"state_dir {master.state_dir} is in use by {who}, which was started with another run_dir: two of them would "
                f"follow the same logs. Stop that one{f' (kill {exc.pid})' if exc.pid else ''}, or name another state_dir."
            ) from None
        except FluentliteError:
            self._pid_file.remove()
            raise

    @property
    def descriptors(self) -> list[int]:
        return [self._pid_file.fileno(), self._state_lock.fileno()]

    def write(self, pid: int) -> None:
        """Say who we are. Raises PidFileError: the disk of run_dir is full."""
        self._pid_file.write(pid)
        # That of state_dir may be: positions go into blocks that are there, and the lock holds without a pid in it.
        with contextlib.suppress(PidFileError):
            self._state_lock.write(pid)

    def mend(self) -> bool:
        """
        Put back what somebody has removed, with its directory.

        Returns:
            Whether all is as it should be.

        Raises:
            HeldError: Another master has taken our place meanwhile.
        """
        master = self._master
        try:
            if not self._pid_file.is_there():
                make_run_dir(master.run_dir)
                self._pid_file = self._replaced(self._pid_file, pid_path(master.run_dir), None)
            if not self._state_lock.is_there():
                path = state_lock_path(master.state_dir)
                self._state_lock = self._replaced(self._state_lock, path, self.account)
        except (ConfigError, PidFileError, OSError) as exc:
            self._trouble.raise_(
                f"run_dir or state_dir has been emptied, and our files cannot be put back ({exc})"
            )
            return False
        self._trouble.clear("run_dir and state_dir are as they should be again")
        return True

    def _replaced(self, file: PidFile, path: str, account: Account | None) -> PidFile:
        replacement = PidFile(path, account)
        file.close()
        with contextlib.suppress(PidFileError):
            replacement.write(os.getpid())
        log.warning("%s: somebody removed it; it has been put back", path)
        return replacement

    def remove(self) -> None:
        """Give everything up; the last act of a master."""
        self._state_lock.remove()
        self._pid_file.remove()
