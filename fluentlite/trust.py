"""
Which places can be trusted: who, besides us, could put something else there.

A path is as good as every directory and symbolic link on the way to it. Everything here is a judgement of one
moment; what is opened afterwards is looked at again, through its descriptor.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shlex
import stat
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

_MOST_LINKS = 40
"""As the kernel: more symbolic links on one way are a loop."""

GROUP_OR_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def steps_to(path: str) -> Iterator[tuple[str, os.stat_result]]:
    """
    Every directory and symbolic link between the root and what is at *path*, in the order of passing; that too, if it
    is one.

    Raises:
        OSError: What comes next is not there, or cannot be looked at.
    """
    yield "/", os.lstat("/")
    here, links = "/", 0
    ahead = path.split("/")[::-1]
    while ahead:
        part = ahead.pop()
        step = os.path.normpath(os.path.join(here, part))
        status = os.lstat(step)
        if stat.S_ISLNK(status.st_mode) and links < _MOST_LINKS:
            links += 1
            yield step, status
            target = os.readlink(step)
            here = "/" if target.startswith("/") else here
            ahead += target.split("/")[::-1]
        elif stat.S_ISDIR(status.st_mode):
            if step != here:
                yield step, status
            here = step


# -- our own directories ----------------------------------------------------------------------------------


def judge_run_dir(path: str) -> list[str]:
    """Return why *path* cannot be run_dir: there root believes what it finds, so nobody else may write."""
    return _Way("run_dir", path, None).problems(GROUP_OR_OTHERS)


def judge_state_dir(path: str, user: int | None) -> list[str]:
    """Return why *path* cannot be state_dir; *user* is whom the workers run as, or None."""
    return _Way("state_dir", path, user).problems(stat.S_IWOTH)


def judge_log_dir(path: str, user: int | None) -> list[str]:
    """Return why our own log cannot be in the directory *path*; a sticky one will do, and one of a group such as adm."""
    return _Way("the directory of log_file", path, user).problems(0)


def is_ours_alone(path: str) -> bool:
    """Tell whether what is in the directory *path* was put there by root, by us, or by a group that root lets write."""
    way = _Way("", path, None)
    return way.is_whole and not way.problems(stat.S_IWOTH)


def passes(path: str, user: int) -> bool:
    """Tell whether *user* owns a directory on the way to *path*, and so could lead us elsewhere."""
    return any(status.st_uid == user for _step, status in _Way("", path, user).steps)


def is_of(path: str, user: int) -> bool:
    """Tell whether the directory *path* belongs to *user*, and nobody else but root and us can have put something there."""
    way = _Way("", path, user)
    return way.is_whole and way.steps[-1][1].st_uid == user and not way.problems(GROUP_OR_OTHERS)


def open_to_everybody(path: str) -> str:
    """Return what everybody can write, and so change the file at *path*: it, or a directory on the way; or nothing."""
    with contextlib.suppress(OSError):
        for step, status in steps_to(path):
            if stat.S_ISDIR(status.st_mode) and _everybody_may_replace(status):
                return step
        status = os.stat(path)
        return path if stat.S_ISREG(status.st_mode) and status.st_mode & stat.S_IWOTH else ""
    return ""


class _Way:
    """
    The way to a directory of ours, as far as it is there.

    Attributes:
        is_whole: The directory exists: it is the last of the steps.
    """

    def __init__(self, name: str, path: str, user: int | None) -> None:
        self._name, self._path = name, path
        self._owners = {0, os.geteuid()} | ({user} if user is not None else set())
        self.steps: list[tuple[str, os.stat_result]] = []
        self.is_whole = False
        with contextlib.suppress(OSError):  # it is made, or whoever tries it says why it cannot be
            for step in steps_to(path):
                self.steps.append(step)
            self.is_whole = os.path.isdir(path)

    def problems(self, forbidden: int) -> list[str]:
        """Return what is wrong; *forbidden* are the modes of the directory itself that are, besides those of any step."""
        found = []
        for number, (step, status) in enumerate(self.steps):
            is_last = self.is_whole and number == len(self.steps) - 1
            found += [f"{self._name} {self._path}: {text}" for text in self._judge(step, status, is_last, forbidden)]  # fmt: skip
        return found

    def _judge(self, step: str, status: os.stat_result, is_last: bool, forbidden: int) -> Iterator[str]:
        what = "it" if is_last else f"{kind_of(status)} {step} on the way to it"
        quoted = shlex.quote(step)
        if status.st_uid not in self._owners:
            # What is above may be somebody's home: no advice to take it away from him.
            remedy = f"Run: chown {name_of(os.geteuid())} {quoted}, or name" if is_last else "Name"
            yield (
                f"{what} belongs to {name_of(status.st_uid)}, who could put there what is not ours. {remedy} another "
                "directory."
            )
        if stat.S_ISLNK(status.st_mode):
            return
        if status.st_gid == 0:
            forbidden &= ~stat.S_IWGRP  # root's own group; containers of OpenShift have everything in it
        if is_last and status.st_mode & forbidden:
            yield (
                f"it can be written by {others(status)}, who could put there what is not ours. Run: chmod "
                f"{'go-w' if forbidden & stat.S_IWGRP else 'o-w'} {quoted}, or name another directory."
            )
        elif _everybody_may_replace(status):
            yield (
                f"{what} can be written by everybody, who could put something else in its place. Run: chmod o-w "
                f"{quoted} (or chmod +t {quoted}), or name another directory."
            )


def _everybody_may_replace(status: os.stat_result) -> bool:
    """In a sticky directory only owners replace their entries."""
    return bool(status.st_mode & stat.S_IWOTH) and not status.st_mode & stat.S_ISVTX


# -- files ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Seen:
    """A file that is open, and what is at its path."""

    path: str
    fd: int

    def is_there(self) -> bool:
        """Whether the file at the path is the one that is open, as far as that can be seen."""
        try:
            return self.look()
        except OSError:
            return False

    def look(self) -> bool:
        """As ``is_there``; raises OSError if it cannot be seen now."""
        try:
            return os.path.samestat(os.stat(self.path, follow_symlinks=False), os.fstat(self.fd))
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return False

    def strangeness(self, owners: Collection[int] | None) -> str:
        """
        Return why we should not write to it, or an empty string.

        Args:
            owners: Whose it may be, besides root; None: whoever could put it there is trusted.
        """
        return strange(os.fstat(self.fd), owners)


def strange(
    status: os.stat_result,
    owners: Collection[int | None] | None,
    is_kind: Callable[[int], bool] = stat.S_ISREG,
) -> str:
    """As ``Seen.strangeness``, of what *status* is of."""
    if stat.S_ISLNK(status.st_mode):
        return "it is a symbolic link"
    if not is_kind(status.st_mode):
        return f"it is not a {'regular file' if is_kind is stat.S_ISREG else 'socket'}"
    if status.st_nlink > 1:
        return "it has another name as well, a hard link"
    if owners is not None and status.st_uid not in {0, *owners}:
        return f"it belongs to {name_of(status.st_uid)}"
    return ""


# -- words ------------------------------------------------------------------------------------------------


def kind_of(status: os.stat_result) -> str:
    return "the symbolic link" if stat.S_ISLNK(status.st_mode) else "the directory"


def others(status: os.stat_result) -> str:
    """Who may write besides the owner."""
    return "everybody" if status.st_mode & stat.S_IWOTH else "its group"


def name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
