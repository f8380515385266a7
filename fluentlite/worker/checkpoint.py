"""
The checkpoint file of one log: read at start, written after every delivery, locked for the worker's life.

Written by ``pwrite`` into blocks that exist already, so that SIGKILL costs nothing and a full disk rarely
anything; synced once a second while dirty, so that a power loss costs a second of doubles and never a line. Which
slot is written is told by ``slots``.
"""

from __future__ import annotations

import errno
import logging
import math
import os
import stat
import time
from dataclasses import replace
from pathlib import Path

from fluentlite.core.position import SLOT_SIZE, SLOTS, NewerVersionError, SlotError, State, encode_slot
from fluentlite.errors import LockedError, StateError
from fluentlite.report import Condition
from fluentlite.worker.background import Background
from fluentlite.worker.slots import Slots, reread_slots
from fluentlite.worker.statedir import (
    checkpoint_file,
    is_at,
    lock,
    make_directory,
    put_whole,
    remove_other_names,
    sync_directory,
)

log = logging.getLogger(__name__)

SYNC_INTERVAL = 1.0
"""Seconds between two syncs."""

SYNC_PATIENCE = 2.0
"""Seconds to wait for a sync when the worker starts or stops; a disk that hangs longer must not hold it up."""


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
        self.is_broken, self.state = False, State(log_path)
        self._unwritten: State | None = None
        self._is_taken = self._is_name_safe = False
        self._synced_at = time.monotonic()
        self._syncer: Background | None = None
        self._sync_error: OSError | None = None
        self._trouble, self._displaced = Condition(log), Condition(log)
        make_directory(state_dir)
        self._fd = self._open()
        self._slots, self.written_ns = Slots(self._fd), os.fstat(self._fd).st_mtime_ns
        remove_other_names(self._fd, self._file)
        try:
            self._load()
        except BaseException:
            os.close(self._fd)
            raise
        # Which slot is on the disk is not known after a kill: all of them, before one is written over.
        self._has_synced()

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
        if not self._slots.is_dirty and not self._slots.has_failed and not self._unwritten:
            return math.inf
        due = self._synced_at + SYNC_INTERVAL
        # A disk that hangs must not make the worker ask all the time whether it still does.
        return due if self._syncer is None or self._syncer.is_over else time.monotonic() + SYNC_INTERVAL

    def write(self, state: State) -> None:
        """
        Record *state*. A failure is reported once and does not stop the worker: the state stays in
        memory and is written at the next chance.
        """
        try:
            self._slots.write(state)
        except OSError as exc:
            self._unwritten = state
            self._failed(exc)
            return
        is_first = state.is_started and not self.state.is_started
        self.state, self._unwritten = state, None
        if not self._slots.has_failed:
            self._mended()
        if is_first:
            # Before the first line is read: without it, a power loss would make the next start a first one.
            self.secure()

    def secure(self) -> OSError | None:
        """Make what was written safe from a power loss; returns why that has failed, if so."""
        if not self._is_safe and not self._has_synced():
            self._sync_error = OSError(
                errno.ETIMEDOUT, f"the disk has not taken it within {SYNC_PATIENCE:g} s"
            )
        return None if self._is_safe else self._sync_error

    def sync_if_due(self, now: float) -> None:
        """
        Write what failed before, and sync in a thread of its own: a slow disk must not stop the worker.

        Raises:
            StateError: The file was removed, and another process has made and locked a new one.
        """
        if now < self.deadline:
            return
        self._synced_at = now
        if not is_at(self._fd, self._file):
            self._replace()
            if self._is_taken:
                raise StateError(self._displaced.message)
        if self._unwritten or self._slots.has_failed:
            self.write(self._unwritten or self.state)
        if self._slots.is_dirty:
            self._start_sync()

    def close(self) -> None:
        """Write and sync what there is, and give the lock back."""
        if not is_at(self._fd, self._file):
            self._replace()
        if self._unwritten or self._slots.has_failed:
            self.write(self._unwritten or self.state)
        if not self._has_synced():
            log.error("%s: the disk has not taken the position within %g s; it is written, but not safe from a power loss",
                      self.path, SYNC_PATIENCE)  # fmt: skip
            return  # the thread uses the descriptor
        os.close(self._fd)

    @property
    def _is_safe(self) -> bool:
        return self._slots.is_safe and self._is_name_safe

    def _start_sync(self) -> None:
        """Sync in a thread of its own, or at once if there can be no more threads."""
        self._slots.begin_sync()
        try:
            self._syncer = Background(self._sync)
        except RuntimeError:  # no memory, or a limit of processes
            self._syncer = None
            self._sync()

    def _has_synced(self) -> bool:
        """Sync what there is, and wait for that; False if the disk hangs."""
        if self._syncer is not None and not self._syncer.wait(SYNC_PATIENCE):
            return False
        self._start_sync()
        return self._syncer is None or self._syncer.wait(SYNC_PATIENCE)

    def _sync(self) -> None:
        was_failed = self._slots.has_failed
        try:
            self._slots.sync()
        except OSError as exc:
            self._sync_error = exc
            self._failed(exc)
            return
        if was_failed and not self._unwritten:
            self._mended()
        if not self._is_name_safe:
            self._sync_name()

    def _sync_name(self) -> None:
        try:
            sync_directory(os.path.dirname(self._file))
        except OSError as exc:  # no descriptor, say: it is tried again with the next sync
            self._sync_error = exc
        else:
            self._is_name_safe = True

    def _mended(self) -> None:
        self._trouble.clear(f"{self._file}: the checkpoint can be written again")

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
                lock(fd, f"{self.path}: another process follows {self.state.path!r} with this state_dir")
            except LockedError:
                os.close(fd)
                raise
            if is_at(fd, self._file):
                return fd
            os.close(fd)

    def _create(self, aside: Path | None = None) -> None:
        """Put a whole, empty checkpoint at the path, and what was there *aside*; every block is there for later writes."""
        try:
            put_whole(self._file, encode_slot(0, self.state).ljust(SLOTS * SLOT_SIZE, b"\0"), aside)
        except OSError as exc:
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
        self._fd, self._slots, self._unwritten, self._is_name_safe = fd, reread_slots(fd), self.state, False
        self._displaced.clear(f"{self.path}: the checkpoint is at its place again")

    def _load(self) -> None:
        try:
            state, problems = self._slots.load()
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
        self.state, self._is_name_safe = state, self._slots.was_written
        if problems:
            log.warning("%s: a slot was not usable (%s); another one is used", self.path, problems[0])

    def _set_aside(self, reason: str) -> None:
        self.is_broken = True
        kept = self.path.with_suffix(f".broken-{time.time_ns()}")
        # From its first byte on the new one says that this is no first start: we may be killed at any moment.
        self.state = replace(self.state, is_started=True)
        try:
            self._create(kept)
            broken, self._fd = self._fd, self._open()
            os.close(broken)
            self._slots = reread_slots(self._fd)
        except OSError as exc:
            raise StateError(
                f"{self.path}: the checkpoint is broken ({reason}) and cannot be set aside ({exc})"
            ) from exc
        log.error(
            "%s: the checkpoint cannot be used (%s); it is kept as %s, and %s is read from its beginning: "
            "its lines may arrive twice; of the rotated files, those written after the checkpoint are read as well",
            self.path, reason, kept.name, self.state.path,
        )  # fmt: skip
