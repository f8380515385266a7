"""Ending a master and all its workers, gently as long as that leads anywhere."""

from __future__ import annotations

import functools
import os
import signal
import time
from collections.abc import Callable

import psutil

from fluentlite.control_client import (
    ImpostorError,
    NoAnswerError,
    NotRunningError,
    ask,
    pid_of_answering,
    problems_of,
)
from fluentlite.core.display import defuse
from fluentlite.errors import FluentliteError
from fluentlite.master.directories import pid_path
from fluentlite.master.pidfile import PidFile, holder
from fluentlite.saying import say

_PID_PATIENCE = 3.0
"""Seconds that a master which is starting has for writing its pid."""

_KILL_PATIENCE = 5.0
"""Seconds after which even what was killed should be gone."""


def stop(run_dir: str, timeout: float) -> int:
    """
    Stop the master and wait until everything is gone.

    Args:
        timeout: Seconds after which what is left is killed.

    Returns:
        0: it does not run any more.

    Raises:
        FluentliteError: It may not be stopped by us.
    """
    path = pid_path(run_dir)
    pid = _holder_with_pid(path)
    is_alive = functools.partial(_is_held, path, pid)
    if pid is None:
        pid = _without_pid_file(run_dir)
        if pid is None:
            _remove_stale(path)
            say(f"fluentlite: not running (nobody holds {path})")
            return 0
        is_alive = functools.partial(_is_alive, pid)
    give_up_at = time.monotonic() + timeout
    answer = _ask_to_stop(run_dir, pid, timeout)
    while is_alive():
        if time.monotonic() >= give_up_at:
            return _kill(path, pid, timeout, is_alive)
        time.sleep(0.02)
    say(defuse(f"fluentlite: stopped{answer.get('remains', '')}"))
    return 0


def _holder_with_pid(path: str) -> int | None:
    """As ``holder``; one that is just starting writes its pid in a moment."""
    give_up_at = time.monotonic() + _PID_PATIENCE
    while (pid := holder(path)) == 0 and time.monotonic() < give_up_at:
        time.sleep(0.02)
    return pid


def _is_held(path: str, pid: int | None) -> bool:
    """Tell whether *pid* still has the lock: another one's is none of our business."""
    return holder(path) == pid


def _without_pid_file(run_dir: str) -> int | None:
    """Somebody may have removed the file of a master that lives; return its pid if it answers."""
    try:
        return pid_of_answering(run_dir, 5.0)
    except ImpostorError:
        raise
    except FluentliteError:
        return None


def _ask_to_stop(run_dir: str, pid: int, timeout: float) -> dict[str, object]:
    try:
        answer = ask(run_dir, "stop", timeout)
    except (NotRunningError, NoAnswerError, ImpostorError):
        # Without a socket, hung, or somebody else's socket: the signal says the same, and asks for no answer.
        if pid:
            _send(pid, signal.SIGTERM)
        return {}
    if not answer.get("ok"):
        raise FluentliteError("; ".join(problems_of(answer)))
    return answer


def _send(pid: int, signum: signal.Signals) -> None:
    try:
        os.kill(pid, signum)
    except ProcessLookupError:
        return
    except PermissionError:
        raise FluentliteError(
            f"user {os.geteuid()} may not stop process {pid}. Run this command as its owner or as root."
        ) from None


def _kill(path: str, pid: int, timeout: float, is_alive: Callable[[], bool]) -> int:
    if not pid:
        raise FluentliteError(
            f"{path} is locked by a process that is no fluentlite we know of, so nobody was killed. Find it: fuser {path}"
        )
    pids = _family_of(pid) if is_alive() else []
    for one in pids:  # the master first: it must not start others
        _send(one, signal.SIGKILL)
    give_up_at = time.monotonic() + _KILL_PATIENCE
    while (alive := [one for one in pids if _is_alive(one)]) or is_alive():
        if time.monotonic() >= give_up_at:
            left = ", ".join(map(str, alive)) or "unknown"
            raise FluentliteError(
                f"killed after {timeout:g} s, and still there: processes {left}. They may hang in the kernel, in a disk "
                "or a network file system."
            )
        time.sleep(0.02)
    _remove_stale(path)
    say(
        f"fluentlite: not stopped within {timeout:g} s, so {len(pids)} processes were killed; what was not "
        "acknowledged is sent again after the next start"
    )
    return 0


def _family_of(pid: int) -> list[int]:
    """Return *pid* and those of its children."""
    try:
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def _is_alive(pid: int) -> bool:
    """A zombie that nobody reaps, as in some containers, is not alive."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _remove_stale(path: str) -> None:
    """A master that was killed leaves its pid file; whoever may, takes it away."""
    if os.path.exists(path):
        try:
            PidFile(path).remove()
        except FluentliteError:
            return  # not ours to remove, or just taken by somebody who starts
