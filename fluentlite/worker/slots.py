"""
The slots of an open checkpoint, written so that a power loss at any moment leaves a whole one on the disk.

Of what was written since the last sync, the disk may have any part: the state that is known to be on it, and the one
that a running sync takes there, are not written over. The others are used in turn, oldest first, so that a write that
fails or is torn by SIGKILL leaves the state before it.
"""

from __future__ import annotations

import contextlib
import os

from fluentlite.core.position import (
    SLOT_SIZE,
    SLOTS,
    SlotError,
    State,
    decode_slot,
    encode_slot,
    newest,
    split_slots,
)
from fluentlite.worker.statedir import write_whole

_NOTHING = -1
"""The number of a slot that holds no state."""


def read_slots(fd: int) -> list[bytes]:
    """Return what the slots of a checkpoint file hold."""
    return split_slots(os.pread(fd, SLOTS * SLOT_SIZE, 0))


class Slots:
    """
    Args:
        fd: The checkpoint file, open for reading and writing.

    Attributes:
        has_failed: The last sync did. The kernel may have dropped what it could not write, and the next sync would not
            know: the state has to be written again.
    """

    def __init__(self, fd: int) -> None:
        self.has_failed = False
        self._fd = fd
        self._numbers = [_NOTHING] * SLOTS
        self._last, self._safe, self._syncing = 0, _NOTHING, _NOTHING

    @property
    def is_dirty(self) -> bool:
        """Whether something was written that no sync covers, not even a running one."""
        return self._last > max(self._safe, self._syncing)

    @property
    def is_safe(self) -> bool:
        """Whether the last state that was written is known to be on the disk."""
        return self._safe == self._last

    @property
    def was_written(self) -> bool:
        """Whether anything was written since the file was made."""
        return self._last > 0

    def load(self) -> tuple[State, list[str]]:
        """
        Return the newest state, and what is wrong with slots that had one.

        Raises:
            NewerVersionError: One of them was written by a later version.
            SlotError: None of them is usable.
        """
        slots = read_slots(self._fd)
        self._last, state, _problems = newest(slots)
        problems = []
        for index, slot in enumerate(slots):
            try:
                self._numbers[index] = decode_slot(slot)[0]
            except SlotError as exc:
                if slot.strip(b"\0") or self._last >= index:  # they are used in this order; it may be new yet
                    problems.append(str(exc))
        return state, problems

    def write(self, state: State) -> None:
        """
        Raises:
            OSError: It could not be written; the state before it can be read as ever.
        """
        kept = (self._safe, self._syncing, self._last)
        free = [
            index for index, number in enumerate(self._numbers) if number == _NOTHING or number not in kept
        ]
        index = min(free, key=self._numbers.__getitem__)
        self._numbers[index] = _NOTHING  # for if only a part of it is written
        write_whole(self._fd, encode_slot(self._last + 1, state), SLOT_SIZE * index)
        self._last += 1
        self._numbers[index] = self._last

    def begin_sync(self) -> None:
        """``sync`` will be called in a moment, in any thread: it covers what has been written by now."""
        self._syncing = self._last

    def sync(self) -> None:
        """
        Raises:
            OSError: It failed.
        """
        try:
            os.fdatasync(self._fd)
        except OSError:
            self.has_failed = True
            raise
        self._safe, self.has_failed = self._syncing, False


def reread_slots(fd: int) -> Slots:
    """Return the slots of a file that was made meanwhile, perhaps by somebody else: what is written next is its newest."""
    slots = Slots(fd)
    with contextlib.suppress(SlotError):
        slots.load()
    return slots
