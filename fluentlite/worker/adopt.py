"""
A log that has another path now goes on at its position: that belongs to the file, not to the configuration.

A link is replaced by its target in the configuration, a directory is mounted or linked elsewhere: the new worker
looks among the checkpoints that no configured log has for one that speaks of the same file.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import stat
from collections.abc import Collection
from dataclasses import replace

from fluentlite.core.position import (
    CHECKPOINT_SUFFIX,
    Point,
    SlotError,
    State,
    checkpoint_name,
    newest,
)
from fluentlite.core.rotation import Identity
from fluentlite.errors import LockedError, StateError
from fluentlite.logfile import NOTICE
from fluentlite.worker.checkpoint import Checkpoint
from fluentlite.worker.directory import LogDirectory
from fluentlite.worker.files import NotAFileError, facts_of, marker_at, open_log
from fluentlite.worker.positions import record
from fluentlite.worker.slots import read_slots
from fluentlite.worker.statedir import lock, sync_directory
from fluentlite.worker.waiting import Patience

log = logging.getLogger(__name__)

_SAYS_NOTHING = (FileNotFoundError, NotADirectoryError, PermissionError, NotAFileError)
"""Gone, or another user's: it is not what we look for. Any other error may hide it."""


def adopt_position(checkpoint: Checkpoint, configured: Collection[str] | None, patience: Patience) -> None:
    """
    Take over what another checkpoint says of the log that the empty *checkpoint* is for, and remove that one.

    Args:
        configured: Names of the checkpoints of all configured logs: whoever holds another one is about to leave,
            and is waited for. None if that is not known: one that is held is left alone then.

    Raises:
        LockedError: Its holder does not leave.
        StateError: The position cannot be written, or it cannot be seen now whether there is one: to begin without it
            could lose what was not delivered.
        ToldToStopError: There was a reason to stop while waiting.
    """
    try:
        _adopt(checkpoint, configured, patience)
    except OSError as exc:
        raise StateError(
            f"{exc.filename or checkpoint.path.parent}: it cannot be seen whether it is of {checkpoint.state.path!r} "
            f"({exc.strerror}); mend its disk, or raise the limit of open files (LimitNOFILE)"
        ) from exc


def _adopt(checkpoint: Checkpoint, configured: Collection[str] | None, patience: Patience) -> None:
    path = checkpoint.state.path
    files = _Files(path)
    for name in _unconfigured(checkpoint, configured or ()):
        with _Other(name) as other:
            # Asked again once it is ours: it may have been written meanwhile, or taken by another worker.
            if (
                other.is_of(files)
                and _is_held(other, path, configured, patience)
                and other.is_of(_Files(path))
            ):
                record(checkpoint, replace(other.state, path=path))
                other.remove()
                log.log(NOTICE, "%s: the file was followed as %s; going on at its position", path, other.state.path)  # fmt: skip
                return


def _unconfigured(checkpoint: Checkpoint, configured: Collection[str]) -> list[str]:
    """Return the other checkpoints that no configured log has, the last written first, by their names alone."""
    found: list[tuple[int, str]] = []
    with contextlib.suppress(*_SAYS_NOTHING), os.scandir(checkpoint.path.parent) as entries:
        for entry in entries:
            if entry.name.endswith(CHECKPOINT_SUFFIX) and entry.name not in configured:
                with contextlib.suppress(FileNotFoundError):  # taken by another worker
                    found.append((entry.stat(follow_symlinks=False).st_mtime_ns, entry.path))
    return [path for _written_ns, path in sorted(found, reverse=True) if path != str(checkpoint.path)]


def _is_held(other: _Other, path: str, configured: Collection[str] | None, patience: Patience) -> bool:
    """Lock *other*, which is of the log at *path*, and tell whether that is done."""
    if configured is not None:
        patience.until_free(lambda: other.lock(path))
        return True
    try:
        other.lock(path)
    except LockedError:
        return False
    return True


class _Other:
    """
    Another checkpoint, open for this purpose.

    Attributes:
        state: What it said when ``is_of`` looked last; empty if that is not understood.
    """

    def __init__(self, file: str) -> None:
        self.state = State("")
        self._file = file

    def __enter__(self) -> _Other:
        self._fd = -1
        with contextlib.suppress(*_SAYS_NOTHING):
            if stat.S_ISREG(os.lstat(self._file).st_mode):
                self._fd = os.open(self._file, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        return self

    def __exit__(self, *_exc_info: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    def is_of(self, files: _Files) -> bool:
        """Tell whether it is in use or left behind as it should be, and one of its points is in *files*."""
        if self._fd < 0:
            return False
        try:
            if not os.path.samestat(os.fstat(self._fd), os.stat(self._file, follow_symlinks=False)):
                return False
            self.state = newest(read_slots(self._fd))[1]
            is_copy = os.path.basename(self._file) != checkpoint_name(self.state.path)
            return not is_copy and any(files.have(point, self.state.path) for point in self.state.points)
        except (*_SAYS_NOTHING, SlotError):
            return False

    def lock(self, path: str) -> None:
        """
        Raises:
            LockedError: Another process holds it.
        """
        lock(
            self._fd,
            f"{self._file}: another process follows {self.state.path!r}, which is the same file as {path!r}",
        )

    def remove(self) -> None:
        """What it said is safe elsewhere. If it cannot be removed, it is only one that nobody needs."""
        with contextlib.suppress(OSError):
            os.unlink(self._file)
            sync_directory(os.path.dirname(self._file))


class _Files:
    """The file that is at *path* now, and those that were rotated from there."""

    def __init__(self, path: str) -> None:
        self._path, self._directory = path, LogDirectory(path)
        self._at_path = _identity_at(path)

    @functools.cached_property
    def _rotated(self) -> dict[Identity, str]:
        rotated = {sibling.facts.identity: sibling.name for sibling in self._directory.rotated()}
        if (problem := self._directory.problem) is not None and not isinstance(problem, _SAYS_NOTHING):
            raise problem
        return rotated

    def have(self, point: Point, old_path: str) -> bool:
        """Tell whether *point*, of the log that was at *old_path*, is in one of them, which has before it what it had then."""
        at_old_path = _identity_at(old_path)
        if point.identity in self._at_path:
            # Of an empty file nothing but its path can tell whether it is another one with the same inode.
            return (point.marker.size > 0 or point.identity in at_old_path) and _agrees(point, self._path)
        if point.identity in at_old_path or not point.marker.size:
            return False  # app-1.log, which is followed as it is, was not rotated from app.log
        return point.identity in self._rotated and _agrees(point, self._rotated[point.identity])


def _identity_at(path: str) -> set[Identity]:
    """Return the identity of the regular file at *path*, if there is one."""
    try:
        seen = os.stat(path)
    except _SAYS_NOTHING:
        return set()
    return {facts_of(seen).identity} if stat.S_ISREG(seen.st_mode) else set()


def _agrees(point: Point, path: str) -> bool:
    fd = open_log(path)
    try:
        is_same = facts_of(os.fstat(fd)).identity == point.identity
        return is_same and marker_at(fd, point.offset, point.marker.size) == point.marker
    finally:
        os.close(fd)
