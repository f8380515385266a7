"""
The checkpoint file of one log: read at start, written after every delivery, locked for the worker's life.

Written by ``pwrite`` into blocks that exist already, so that SIGKILL costs nothing and a full disk rarely
anything; synced once a second while dirty, so that a power loss costs a second of doubles and never a line.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import math
import os
import stat
import time
from dataclasses import replace
from pathlib import Path

from fluentlite.core.position import SLOT_SIZE, NewerVersionError, SlotError, State, encode_slot, newest
from fluentlite.errors import LockedError, StateError
from fluentlite.report import Condition
from fluentlite.worker.background import Background
from fluentlite.worker.statedir import (
    checkpoint_file,
    draft_of,
    make_directory,
    remove_drafts,
    sync_directory,
    write_whole,
)

log = logging.getLogger(__name__)

SYNC_INTERVAL = 1.0
"""Seconds between two syncs."""

SYNC_PATIENCE = 2.0
"""Seconds to wait for a sync when the worker stops; a disk that hangs longer must not keep it from leaving."""


def checkpoint_path(state_dir: str, log_path: str) -> Path:
    """Return where the checkpoint of *log_path* is kept."""
    return Path(checkpoint_file(state_dir, log_path))


class Checkpoint:
    """
    The open, locked checkpoint of one log.

    Attributes:
        state: What it said when it was opened, or the empty state of a first start.
        is_broken: There was a checkpoint, but none of it could be used; it has been kept aside. This is
            not a first start: the log is read from its beginning, since doubles are better than a loss.
        written_ns: When it was last written before it was opened, in nanoseconds since 1970.

    Raises:
        StateError: It is locked by another process, cannot be written, or is of a later version.
    """

    def __init__(self, state_dir: str, log_path: str) -> None:
        self._file = checkpoint_file(state_dir, log_path)
        self.is_broken = False
        self.state = State(log_path)
        self._sequence = 0
        self._unwritten: State | None = None
        self._is_dirty = self._is_taken = False
        self._synced_at = time.monotonic()
        self._syncer: Background | None = None
        self._trouble = Condition(log)
        self._displaced = Condition(log)
        make_directory(state_dir)
        self._fd = self._open()
        status = os.fstat(self._fd)
        self.written_ns = status.st_mtime_ns
        if status.st_nlink > 1:  # whoever made it was killed before its other name was gone
            remove_drafts(self._file)
        try:
            self._load()
        except BaseException:
            os.close(self._fd)
            raise

    @property
    def path(self) -> Path:
        return Path(self._file)

    @property
    def trouble(self) -> str:
        """Why positions cannot be written now, or an empty string."""
        return self._trouble.message or self._displaced.message

    @property
    def deadline(self) -> float:
        """When ``sync_if_due`` has something to do, in ``time.monotonic()`` seconds."""
        if not self._is_dirty and not self._unwritten:
            return math.inf
        due = self._synced_at + SYNC_INTERVAL
        # A disk that hangs must not make the worker ask all the time whether it still does.
        return due if self._syncer is None or self._syncer.is_over else time.monotonic() + SYNC_INTERVAL

    def write(self, state: State) -> None:
        """
        Record *state*. A failure is reported once and does not stop the worker: the state stays in
        memory and is written at the next chance.
        """
        self._sequence += 1
        slot = encode_slot(self._sequence, state)
        offset = SLOT_SIZE * (self._sequence % 2)
        try:
            write_whole(self._fd, slot, offset)
        except OSError as exc:
            # The other slot keeps the last whole state; this one is written again, never that one.
            self._sequence -= 1
            self._unwritten = state
            self._failed(exc)
            return
        self.state, self._unwritten, self._is_dirty = state, None, True
        self._trouble.clear(f"{self._file}: the checkpoint can be written again")

    def sync_if_due(self, now: float) -> None:
        """
        Write what failed before, and sync in a thread of its own: a slow disk must not stop the worker.

        Raises:
            StateError: The file was removed, and another process has made and locked a new one.
        """
        if now < self.deadline:
            return
        self._synced_at = now
        if not self._is_current(self._fd):
            self._replace()
            if self._is_taken:
                raise StateError(self._displaced.message)
        if self._unwritten:
            self.write(self._unwritten)
        if self._is_dirty:
            self._is_dirty = False
            self._syncer = self._start_sync()

    def close(self) -> None:
        """Write and sync what there is, and give the lock back."""
        if not self._is_current(self._fd):
            self._replace()
        if self._unwritten:
            self.write(self._unwritten)
        if not self._has_synced(self._syncer) or not self._has_synced(self._start_sync()):
            log.error("%s: the disk has not taken the position within %g s; it is written, but not safe from a power loss",
                      self.path, SYNC_PATIENCE)  # fmt: skip
            return  # the thread uses the descriptor
        os.close(self._fd)

    def _start_sync(self) -> Background | None:
        """Sync in a thread of its own; None if that is done already, since there can be no more threads."""
        try:
            return Background(self._sync)
        except RuntimeError:  # no memory, or a limit of processes
            self._sync()
            return None

    def _has_synced(self, syncer: Background | None) -> bool:
        """Wait for a sync; False if the disk hangs."""
        return syncer is None or syncer.wait(SYNC_PATIENCE)

    def _sync(self) -> None:
        try:
            os.fdatasync(self._fd)
        except OSError as exc:
            self._is_dirty = True
            self._failed(exc)

    def _failed(self, exc: OSError) -> None:
        self._trouble.raise_(
            f"{self.path}: the checkpoint cannot be written ({exc.strerror}); delivery goes on, but a restart now "
            "would send again what is delivered meanwhile; free space or mend the directory"
        )

    def _open(self) -> int:
        while True:
            try:
                fd = os.open(self._file, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    os.close(fd)
                    raise OSError(errno.EINVAL, "it is not a regular file")
            except FileNotFoundError:
                self._create()
                continue
            except OSError as exc:
                raise StateError(
                    f"{self.path}: the checkpoint cannot be opened ({exc.strerror}); "
                    "make it a regular file that this user may read and write, or use another state_dir"
                ) from exc
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(fd)
                raise LockedError(
                    f"{self.path}: another process follows {self.state.path!r} with this state_dir; "
                    "stop it first, or two readers would send every line twice"
                ) from None
            if self._is_current(fd):
                return fd
            os.close(fd)

    def _is_current(self, fd: int) -> bool:
        """Tell whether the locked file is still the one at the path: it may have been set aside meanwhile."""
        try:
            return os.path.samestat(os.fstat(fd), os.stat(self._file, follow_symlinks=False))
        except OSError:  # not there, or the way to it is closed
            return False

    def _create(self, aside: Path | None = None) -> None:
        """Put a whole, empty checkpoint at the path, and what was there *aside*; it never exists half-written."""
        draft = draft_of(self._file)
        remove_drafts(self._file)
        try:
            fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                # Every block is written, so that later writes need no space.
                write_whole(fd, encode_slot(0, self.state).ljust(2 * SLOT_SIZE, b"\0"), 0)
                os.fsync(fd)
            finally:
                os.close(fd)
            if aside is not None:  # only now: without the broken one, this would be a first start
                os.link(self._file, aside)
                os.replace(draft, self._file)
            else:
                with contextlib.suppress(FileExistsError):  # another process was faster; its lock decides
                    os.link(draft, self._file)
                os.unlink(draft)
            sync_directory(os.path.dirname(self._file))
        except OSError as exc:
            with contextlib.suppress(OSError):
                os.unlink(draft)
            raise StateError(
                f"{self.path}: the checkpoint cannot be created ({exc.strerror}), so no position could be "
                "remembered; make state_dir writable for this user, or free space on its disk"
            ) from exc

    def _replace(self) -> None:
        """Somebody removed the file; a position that no start would find is worth nothing."""
        try:
            make_directory(os.path.dirname(self._file))
            fd = self._open()
        except StateError as exc:
            self._is_taken = isinstance(exc, LockedError)
            self._displaced.raise_(
                f"{exc} (it was removed while in use; a start now would not know the position)"
            )
            return
        log.warning("%s: the checkpoint was removed while in use; it is written anew", self.path)
        os.close(self._fd)
        self._fd, self._unwritten, self._sequence = fd, self.state, 0
        self._displaced.clear(f"{self.path}: the checkpoint is at its place again")

    def _load(self) -> None:
        data = os.pread(self._fd, 2 * SLOT_SIZE, 0)
        try:
            self._sequence, state, problems = newest([data[:SLOT_SIZE], data[SLOT_SIZE:]])
        except NewerVersionError as exc:
            raise StateError(
                f"{self.path}: this checkpoint was written by a later version of fluentlite ({exc}); "
                "use that version, or remove the file to begin anew"
            ) from exc
        except SlotError as exc:
            self._set_aside(str(exc))
            return
        if state.path != self.state.path:
            self._set_aside(f"it belongs to {state.path!r}")
            return
        self.state = state
        if problems and self._sequence > 1:
            log.warning(
                "%s: one of two slots was not usable (%s); the other one is used", self.path, problems[0]
            )

    def _set_aside(self, reason: str) -> None:
        self.is_broken = True
        kept = self.path.with_suffix(f".broken-{time.time_ns()}")
        # From its first byte on the new one says that this is no first start: we may be killed at any moment.
        self.state = replace(self.state, is_started=True)
        try:
            self._create(kept)
            broken, self._fd = self._fd, self._open()
            os.close(broken)
        except OSError as exc:
            raise StateError(
                f"{self.path}: the checkpoint is broken ({reason}) and cannot be set aside ({exc})"
            ) from exc
        log.error(
            "%s: the checkpoint cannot be used (%s); it is kept as %s, and %s is read from its beginning: "
            "its lines may arrive twice; of the rotated files, those written after the checkpoint are read as well",
            self.path, reason, kept.name, self.state.path,
        )  # fmt: skip
