"""Open a script that will run with our rights, provided that nobody else could have put it there."""

from __future__ import annotations

import os
import shlex
import stat

from fluentlite.config.problems import Problems
from fluentlite.errors import ConfigError
from fluentlite.trust import GROUP_OR_OTHERS, kind_of, name_of, others, steps_to


def open_trusted(path: str) -> int:
    """
    Open the file at *path*, which is absolute, for reading.

    The file and every directory and symbolic link on the way to it must belong to root or to the caller. Nobody
    else may write to the file, nor to a directory, except a sticky one, where only owners replace their entries.

    Returns:
        A descriptor that is not inherited. The file itself was checked through it, so whatever happens to the
        name later, this is a file that can be trusted.

    Raises:
        ConfigError: It cannot be read, or not be trusted; with all reasons and what to do.
    """
    problems = Problems()
    try:
        for step, status in steps_to(path):
            _judge(path, step, status, problems)
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as exc:
        raise ConfigError(
            f"{path}: {_caller()} cannot read it ({exc.strerror}). Correct the name or its permissions."
        ) from exc
    try:
        _judge_file(path, os.fstat(fd), problems)
        problems.raise_all()
    except ConfigError:
        os.close(fd)
        raise
    return fd


def _judge(path: str, step: str, status: os.stat_result, problems: Problems) -> None:
    what = kind_of(status)
    name = shlex.quote(step)
    if not _is_ours(status):
        how = "chown -h" if stat.S_ISLNK(status.st_mode) else "chown"
        problems.add(
            path,
            f"{what} {step} on the way to this script belongs to {name_of(status.st_uid)}, who could put another "
            f"script in its place. Run: {how} {_owner()} {name}, or keep the script elsewhere.",
        )
    elif stat.S_ISDIR(status.st_mode) and _others_may_replace(status):
        problems.add(
            path,
            f"{what} {step} on the way to this script can be written by {others(status)}, who could put another "
            f"script in its place. Run: chmod go-w {name}, or keep the script elsewhere.",
        )


def _judge_file(path: str, status: os.stat_result, problems: Problems) -> None:
    name = shlex.quote(path)
    if not stat.S_ISREG(status.st_mode):
        problems.add(path, "it is not a regular file. Name the file of the configuration.")
        return
    if not _is_ours(status):
        problems.add(
            path,
            f"as a shell script it would run with the rights of {_caller()}, but it belongs to "
            f"{name_of(status.st_uid)}. Read it, and if it is as it should be, run: chown {_owner()} {name}",
        )
    if status.st_mode & GROUP_OR_OTHERS:
        problems.add(
            path,
            f"as a shell script it would run with the rights of {_caller()}, but it can be written by "
            f"{others(status)}. Read it, and if it is as it should be, run: chmod go-w {name}",
        )


def _is_ours(status: os.stat_result) -> bool:
    return status.st_uid in (0, os.geteuid())


def _others_may_replace(status: os.stat_result) -> bool:
    return bool(status.st_mode & GROUP_OR_OTHERS) and not status.st_mode & stat.S_ISVTX


def _caller() -> str:
    return name_of(os.geteuid())


def _owner() -> str:
    """Whom it should belong to."""
    return shlex.quote(_caller())
