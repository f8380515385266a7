"""What keeps a log from being read, said once and in words that help."""

from __future__ import annotations

import logging
import math
import os

from fluentlite.report import Condition
from fluentlite.worker.files import NotAFileError, is_out_of_descriptors
from fluentlite.worker.generation import Generation

log = logging.getLogger(__name__)

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
        self._long_lines = self._lost_bytes = 0
        self._long_said_at = -math.inf

    @property
    def message(self) -> str:
        """The most important one, or an empty string."""
        conditions = (self._access, self._reading, self._descriptors, self._missing)
        return next((condition.message for condition in conditions if condition.message), "")

    @property
    def needs_looks(self) -> bool:
        """Whether something is wrong of which only another look can tell that it is mended; a file that is missing is not."""
        return any(trouble.message for trouble in (self._access, self._reading, self._descriptors))

    def not_opened(self, exc: OSError) -> bool:
        """The path could not be opened; returns whether that is because there is nothing."""
        self.is_waiting = True
        if isinstance(exc, FileNotFoundError | NotADirectoryError):
            self._access.clear(f"{self._path}: what was there is gone")
            self._missing.raise_(f"{self._path}: no such file; waiting for it")
            return True
        if is_out_of_descriptors(exc):
            self.out_of_descriptors(exc)
        else:
            remedy = "" if isinstance(exc, NotAFileError) else f"; let user {os.geteuid()} read it"
            self._access.raise_(f"{self._path}: it cannot be opened ({exc.strerror}){remedy}; trying again")
        return False

    def opened(self) -> None:
        """The path leads to a file that can be read."""
        self.is_waiting = False
        self._access.clear(f"{self._path}: it can be opened again")
        self._missing.clear(f"{self._path}: it is there")

    def unreadable(self, generation: Generation, exc: OSError) -> None:
        """An open file gives an error instead of its bytes."""
        self._reading.raise_(
            f"{generation.name} (inode {generation.identity.inode}): it cannot be read at offset "
            f"{generation.splitter.read_offset} ({exc.strerror}); trying again"
        )

    def readable(self) -> None:
        """A read went well."""
        if self._reading.message:  # called for every read
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
        self._descriptors.raise_(
            f"{self._path}: a generation cannot be opened now ({exc.strerror}); it is looked for again later; "
            "raise the limit of open files (ulimit -n, LimitNOFILE) if this lasts"
        )

    def descriptors_left(self) -> None:
        """All generations could be opened."""
        self._descriptors.clear(f"{self._path}: rotated generations can be opened again")
