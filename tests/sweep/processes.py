"""The processes of a session: all that a scene has started, whoever their parents are."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path


def session_of(leader: int) -> list[int]:
    """Return the processes of a session, but for its *leader* and for zombies."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # gone meanwhile
            state, _parent, _group, session = (
                Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[:4]
            )
            if int(session) == leader != int(name) and state != "Z":
                found.append(int(name))
    return found


def end_session(leader: int) -> None:
    """SIGKILL for whoever is left of it."""
    for pid in session_of(leader):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
