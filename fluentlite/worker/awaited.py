"""A file that the checkpoint speaks of and that cannot be had now."""

from __future__ import annotations

from fluentlite.core.forward import Position
from fluentlite.core.lines import LineSplitter
from fluentlite.core.position import Point
from fluentlite.core.rotation import FileFacts
from fluentlite.worker.files import is_missing
from fluentlite.worker.generation import Generation


class Awaited(Generation):
    """
    Keeps the place of a generation, and its point in the checkpoint, until its file can be opened or is known
    to be gone. To whoever reads it is a closed one in which nothing is left.

    Attributes:
        reason: Why it cannot be had.
    """

    def __init__(self, point: Point, reason: OSError) -> None:
        self.number, self.fd, self.name, self.epoch = 0, -1, "", point.epoch  # no chunk ends in number 0
        self.identity = point.identity
        self.seen = FileFacts(point.identity, point.size, point.mtime_ns)
        self.splitter = LineSplitter(point.offset)
        self.delivered, self.packed = Position(0, point.offset, b""), point.offset
        self.carried, self.head = None, b""
        self.is_started, self.is_ended, self.was_deleted = True, False, False
        self.quiet_since = self.short_since = self.unseen_since_ns = None
        self.reason, self._point = reason, point

    @property
    def is_delivered(self) -> bool:
        """Nobody knows."""
        return False

    @property
    def lag(self) -> int:
        """Bytes behind the position when it was last seen."""
        return max(0, self.seen.size - self.delivered.offset)

    @property
    def is_missing(self) -> bool:
        """Whether it waits for a file at the path, and for nothing else."""
        return is_missing(self.reason)

    def point(self) -> Point:
        """Return what the checkpoint says of it."""
        return self._point
