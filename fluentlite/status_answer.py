"""Asking the master how it is, and telling from silence whether there is one."""

from __future__ import annotations

import os
import time
from typing import Any

from fluentlite.config.model import MasterSettings
from fluentlite.control_client import NotRunningError, ask
from fluentlite.errors import FluentliteError
from fluentlite.master.directories import pid_path
from fluentlite.master.pidfile import holder

RUNNING, DEAD, NOT_WELL, NOT_RUNNING, UNKNOWN = range(5)
"""Exit statuses. All but NOT_WELL are those that the Linux Standard Base has for the status of a service."""

PATIENCE = 5.0
"""Seconds to wait for an answer."""


class NoStatusError(FluentliteError):
    """
    There is no answer.

    Attributes:
        exit_status: What that means: DEAD, NOT_RUNNING or UNKNOWN.
    """

    def __init__(self, message: str, exit_status: int) -> None:
        super().__init__(message)
        self.exit_status = exit_status


def ask_status(master: MasterSettings, patience: float = PATIENCE) -> dict[str, Any]:
    """
    Return the master's answer as it came.

    One that holds its pid file but does not listen is just starting or stopping: it gets *patience* seconds.

    Raises:
        NoStatusError: There is no master, or it does not answer, or not to us.
    """
    give_up_at = time.monotonic() + patience
    while True:
        try:
            return ask(master.run_dir, "status", max(0.1, give_up_at - time.monotonic()))
        except NotRunningError as exc:
            absence = _absence(master, str(exc))
            if absence.exit_status != UNKNOWN or time.monotonic() >= give_up_at:
                raise absence from exc
        except FluentliteError as exc:
            raise NoStatusError(str(exc), UNKNOWN) from exc
        time.sleep(0.05)


def _absence(master: MasterSettings, message: str) -> NoStatusError:
    """What it means that nobody listens."""
    path = pid_path(master.run_dir)
    try:
        pid = holder(path)
    except FluentliteError as exc:
        return NoStatusError(f"nobody listens in {master.run_dir}, and {exc}", UNKNOWN)
    if pid is not None:
        who = f"process {pid}" if pid else "a process"
        return NoStatusError(
            f"{who} holds {path}, but does not listen for questions: it is just starting or stopping, or somebody has "
            'removed its control socket. Ask again; if it stays so, say "fluentlite restart".',
            UNKNOWN,
        )
    if not os.path.lexists(path):
        return NoStatusError(message, NOT_RUNNING)
    return NoStatusError(
        f"fluentlite is not running, but its pid file {path} is still there: the master was killed or has crashed. "
        "No line is lost, they wait in the log files; but nobody sends them. "
        f'Say "fluentlite start"{_look_into(master.log_file)}.',
        DEAD,
    )


def _look_into(log_file: str) -> str:
    return "" if log_file == "-" else f"; the end of {log_file} may tell what happened"
