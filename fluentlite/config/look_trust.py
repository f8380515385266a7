"""What ``fluentlite check`` and every start find that others could put in our way."""

from __future__ import annotations

import contextlib
import os
import pwd
import shlex
import stat
from collections.abc import Callable, Collection, Iterable, Iterator

from fluentlite.config.model import MasterSettings
from fluentlite.trust import (
    is_ours_alone,
    judge_log_dir,
    judge_run_dir,
    judge_state_dir,
    open_to_everybody,
    strange,
)


def untrusted(master: MasterSettings) -> list[str]:
    """Return why a start refuses the directories of *master*."""
    user = _uid(master.user) if master.user else None
    problems = [*judge_run_dir(master.run_dir), *judge_state_dir(master.state_dir, user)]
    us = {os.geteuid(), user}
    problems += _planted(os.path.join(master.run_dir, "fluentlite.pid"), {os.geteuid()})
    problems += _planted(os.path.join(master.run_dir, "fluentlite.sock"), None, stat.S_ISSOCK)
    problems += _planted(os.path.join(master.state_dir, "fluentlite.lock"), us)
    if master.log_file != "-" and not _is_device(master.log_file):
        directory = os.path.dirname(master.log_file)
        problems += judge_log_dir(directory, user)
        if not os.path.isdir(master.log_file):  # that is another finding
            problems += _planted(master.log_file, None if is_ours_alone(directory) else us)
    return problems


def _planted(
    path: str, owners: Collection[int | None] | None, is_kind: Callable[[int], bool] = stat.S_ISREG
) -> Iterator[str]:
    """Say what is in the place of a file of ours, as whoever opens it would find out."""
    with contextlib.suppress(OSError):  # it is not there, or we may not look at it
        if text := strange(os.lstat(path), owners, is_kind):
            yield f"{path}: what is there is none of ours: {text}. Look who put it there, and remove it."


def open_files(paths: Iterable[str]) -> Iterator[str]:
    """Say which of *paths*, files of a configuration, everybody can change."""
    for path in paths:
        what = open_to_everybody(path)
        if what:
            where = "" if what == path else f" {what}, the directory of"
            yield f"everybody can write to{where} {path}, and so decide what fluentlite does. Run: chmod o-w {shlex.quote(what)}"


def _uid(user: str) -> int | None:
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        return None


def _is_device(path: str) -> bool:
    try:
        return stat.S_ISCHR(os.stat(path).st_mode)
    except OSError:
        return False
