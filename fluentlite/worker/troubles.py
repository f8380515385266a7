"""What keeps a log from being read, said once and in words that help."""

from __future__ import annotations

import errno
import logging
import math
import os
from collections.abc import Iterable

from fluentlite.core.position import Point
from fluentlite.report import Condition
from fluentlite.worker.awaited import Awaited
from fluentlite.worker.files import is_missing, is_out_of_descriptors
from fluentlite.worker.generation import Generation

log = logging.getLogger(__name__)

COPY_PATIENCE = 10.0
"""Seconds that the new content of a file that was cut short waits for its copy, which is there but cannot be opened now."""

LONG_LINES_INTERVAL = 60.0
"""Seconds between two reports of lines that are too long."""


class Troubles:
    """
    The conditions of one path.

    Attributes:
        is_waiting: There is no file at the path, or none that can be opened.
    """

    def __init__(self, path: str) -> None:
        self.is_waiting = False
        self._path = path
        self._missing = Condition(log, logging.INFO)
        self._access = Condition(log, logging.WARNING)
        self._reading = Condition(log)
        self._descriptors = Condition(log)
        self._awaiting = Condition(log, logging.WARNING)
        self._long_lines = self._lost_bytes = 0
        self._long_said_at = -math.inf
        self._copy_until = math.inf

    @property
    def message(self) -> str:
        """The most important one, or an empty string."""
        conditions = (self._access, self._reading, self._descriptors, self._awaiting, self._missing)
        return next((condition.message for condition in conditions if condition.message), "")

    @property
    def needs_looks(self) -> bool:
        """Whether something is wrong of which only another look can tell that it is mended; a file that is missing is not."""
        return any(trouble.message for trouble in (self._access, self._reading, self._descriptors))

    def not_opened(self, exc: OSError, *, is_awaited: bool = False) -> bool:
        """
        The path could not be opened; returns whether that is because there is nothing.

        Args:
            is_awaited: There is a position for what may be there.
        """
        self.is_waiting = True
        if is_missing(exc):
            self._access.clear(f"{self._path}: what was there is gone")
            self._missing.raise_(f"{self._path}: no such file; waiting for it")
            return True
        if is_out_of_descriptors(exc):
            self.out_of_descriptors(exc)
        else:
            kept = "; its position is kept" if is_awaited else ""
            self._access.raise_(
                f"{self._path}: it cannot be opened ({exc.strerror}){_remedy(exc)}{kept}; trying again"
            )
        return False

    def opened(self) -> None:
        """The path leads to a file that can be read."""
        self.is_waiting = False
        self._access.clear(f"{self._path}: it can be opened again")
        self._missing.clear(f"{self._path}: it is there")

    def awaiting(self, awaited: Iterable[Awaited], *, is_path_open: bool) -> None:
        """
        Files of the checkpoint cannot be had now.

        Args:
            awaited: All of them, oldest first. What keeps the file at the path from being opened is said by
                ``not_opened``; that nothing is there, here.
            is_path_open: The file at the path can be opened.
        """
        reasons = [(generation.point(), generation.reason) for generation in awaited]
        if not any(is_out_of_descriptors(reason) for _point, reason in reasons):
            self.descriptors_left()
        for point, reason in reasons:
            if is_out_of_descriptors(reason):
                self.out_of_descriptors(reason)
            elif is_path_open or reason.filename != self._path or is_missing(reason):
                self._awaiting.raise_(self._awaited(point, reason))
                return
        over = "it is there" if reasons else "no position waits for a file any more"
        self._awaiting.clear(f"{self._path}: {over}")

    def _awaited(self, point: Point, reason: OSError) -> str:
        inode, offset, unread = point.identity.inode, point.offset, max(0, point.size - point.offset)
        if reason.filename == self._path and is_missing(reason):
            return (
                f"{self._path}: no such file, but a position in it (offset {offset} of inode {inode}, with {unread} bytes "
                "behind it), which is kept; mount or put back what holds it"
            )
        return (
            f"{reason.filename}: it cannot be read ({reason.strerror}), so inode {inode} of {self._path} is not read "
            f"on from offset {offset}{_remedy(reason)}; its position is kept; trying again"
        )

    def unreadable(self, generation: Generation, exc: OSError) -> None:
        """An open file gives an error instead of its bytes."""
        self._reading.raise_(
            f"{generation.name} (inode {generation.identity.inode}): it cannot be read at offset "
            f"{generation.splitter.read_offset} ({exc.strerror}){_remedy(exc)}; its position is kept; trying again"
        )

    def readable(self) -> None:
        """All of them give their bytes again."""
        self._reading.clear(f"{self._path}: it can be read again")

    def cut_short(self, generation: Generation) -> None:
        """A file has lost its content, and there is no copy of it."""
        name, inode, unread = generation.name, generation.identity.inode, generation.unread
        if unread:
            log.error(
                "%s (inode %d): cut short; %d bytes had not been read and are in no copy", name, inode, unread
            )
        else:
            log.info("%s (inode %d): cut short; all of it had been read", name, inode)

    def hides_copy(self, problem: OSError | None, now: float) -> bool:
        """
        Tell whether *problem*, met while the copy of a file that was cut short was looked for, may soon be over.

        Without its copy all of it would be read twice. What nobody may open is not waited for.
        """
        if problem is None or is_missing(problem) or isinstance(problem, PermissionError):
            self._copy_until = math.inf
            return False
        self._copy_until = min(self._copy_until, now + COPY_PATIENCE)
        if now < self._copy_until:
            self.out_of_descriptors(problem)
        return now < self._copy_until

    def note_long_lines(self, generation: Generation, now: float) -> None:
        """Say how many lines were too long since this was last said, at most once in ``LONG_LINES_INTERVAL``."""
        seen = (generation.splitter.long_count, generation.splitter.lost_bytes)
        self._long_lines += seen[0] - generation.long_seen[0]
        self._lost_bytes += seen[1] - generation.long_seen[1]
        generation.long_seen = seen
        if self._long_lines and now - self._long_said_at >= LONG_LINES_INTERVAL:
            log.log(
                logging.WARNING if self._lost_bytes else logging.INFO,
                "%s (inode %d): %d lines were longer than max_line_size; %d bytes of them are not sent (long_lines)",
                generation.name, generation.identity.inode, self._long_lines, self._lost_bytes,
            )  # fmt: skip
            self._long_lines = self._lost_bytes = 0
            self._long_said_at = now

    def out_of_descriptors(self, exc: OSError) -> None:
        """A rotated generation cannot be opened now."""
        remedy = _remedy(exc) or "; raise the limit of open files (ulimit -n, LimitNOFILE) if this lasts"
        self._descriptors.raise_(
            f"{self._path}: a generation cannot be opened now ({exc.strerror}); it is looked for again later{remedy}"
        )

    def descriptors_left(self) -> None:
        """All generations could be opened."""
        self._descriptors.clear(f"{self._path}: rotated generations can be opened again")


def _remedy(exc: OSError) -> str:
    if isinstance(exc, PermissionError):
        return f"; let user {os.geteuid()} read it"
    return "; see to its file system" if exc.errno in (errno.EIO, errno.ESTALE) else ""
