"""One file that the configured path names or once named: an open descriptor and how far it has been read."""

from __future__ import annotations

import itertools
import logging
import os

from fluentlite.config.model import TailSettings
from fluentlite.core.forward import Position, Step
from fluentlite.core.lines import MARKER_SIZE, LineSplitter, LongLines
from fluentlite.core.position import Marker, Point
from fluentlite.core.rotation import FileFacts
from fluentlite.worker.files import facts_of, marker_at
from fluentlite.worker.nuls import NUL_RUN, end_of_nuls

log = logging.getLogger(__name__)

RECHECK_INTERVAL = 0.1
"""Seconds until a file that seems shorter is believed to be: network file systems show stale sizes for a moment."""


class TruncatedError(Exception):
    """The bytes before the read offset are not the ones that were read: the file was cut short and written anew."""


class Generation:
    """
    Reads one file forward.

    Args:
        number: Grows with every generation that a worker meets.
        fd: Open for reading; closed by ``close``.
        name: The path it was opened by, for messages.
        epoch: How often this file has been cut short.
        limits: Longest line in bytes, what becomes of longer ones, most lines of one read.

    Attributes:
        delivered: The position that has been delivered.
        packed: Offset up to which its lines are in chunks.
        is_started: Whether it has been decided where to read from.
        is_ended: Nothing can be read from it any more, but its partial line has not been returned.
        was_deleted: Its bytes had no name any more when it was closed, or were cut off: whoever has its inode by
            now has other bytes.
        carried: Lines that did not fit into the last chunk.
        quiet_since: When its end was reached (monotonic seconds), None while there is more to read.
        short_since: When it first seemed to have become shorter (monotonic seconds), None if it does not.
        head: Its first bytes, noted while none of them has been read.
        unseen_since_ns: Files beside it that were written since then may have what it had before its first bytes
            were seen; None once that has been looked into, or if reading began further on.
        seen: What the last look said of it.
        long_seen: Long lines, and their bytes that go nowhere, that have been reported.
    """

    def __init__(
        self, number: int, fd: int, name: str, epoch: int, limits: tuple[int, LongLines, int]
    ) -> None:
        self.number, self.fd, self.name, self.epoch = number, fd, name, epoch
        self.identity, self.first_size = self.facts().identity, self.seen.size
        self.packed = 0
        self.is_ended = self.was_deleted = False
        self.carried: Step | None = None
        self.head, self.long_seen = b"", (0, 0)
        self.quiet_since: float | None = None
        self.short_since: float | None = None
        self.unseen_since_ns: int | None = self.seen.mtime_ns
        self._limits, self._nul_scanned = limits, 0
        self.start(0)
        self.is_started = False

    def start(self, offset: int) -> None:
        """Read from *offset* on."""
        max_line_size, long_lines, max_lines = self._limits
        self.splitter = LineSplitter(
            offset,
            tail=self.bytes_before(offset),
            max_line_size=max_line_size,
            long_lines=long_lines,
            max_lines=max_lines,
        )
        self.delivered, self.long_seen = Position(self.number, offset, self.splitter.window), (0, 0)
        self.is_started = True
        if not self.head:
            self._note_head()
        if offset:
            self.unseen_since_ns = None

    @property
    def source(self) -> str:
        """Identity of these bytes, for chunk ids."""
        return f"{self.identity}:{self.epoch}"

    @property
    def position(self) -> Position:
        """Where the lines returned so far end."""
        return Position(self.number, self.splitter.end_offset, self.splitter.window)

    @property
    def is_closed(self) -> bool:
        """Whether nothing will be read from it any more."""
        return self.fd < 0

    @property
    def has_rest(self) -> bool:
        """Whether something is left that needs no reading: lines for the next chunk, the partial line."""
        return self.is_ended or self.carried is not None

    @property
    def is_delivered(self) -> bool:
        """Whether nothing will be read from it any more, and all that was read has been delivered."""
        return self.is_closed and not self.has_rest and self.delivered.offset >= self.packed

    @property
    def unread(self) -> int:
        """Bytes that have not been read, by its last known size."""
        return max(0, self.seen.size - self.splitter.read_offset)

    @property
    def lag(self) -> int:
        """Bytes in whole lines that are not delivered, by its last known size; what is unread counts as whole lines."""
        if self.is_closed:
            end = self.splitter.read_offset  # its partial line is one more
        else:
            end = self.seen.size if self.unread else self.splitter.end_offset
        return max(0, end - self.delivered.offset)

    def point(self) -> Point:
        """Return what a checkpoint says of it."""
        return Point(
            self.identity,
            self.epoch,
            self.delivered.offset,
            Marker.of(self.delivered.window if self.delivered.offset else self.head),
            self.seen.size,
            self.seen.mtime_ns,
        )

    def facts(self) -> FileFacts:
        """Look at the open file, and remember what was seen."""
        self.seen = facts_of(os.fstat(self.fd))
        return self.seen

    def quiet_for(self, now: float) -> float:
        """Return the seconds since its end was reached; negative while it was not."""
        return -1.0 if self.quiet_since is None else now - self.quiet_since

    def links(self) -> int:
        """Return how many names the open file has; 0 means that it was deleted."""
        try:
            return os.fstat(self.fd).st_nlink
        except OSError:  # ESTALE: deleted on a network file system
            return 0

    def bytes_before(self, offset: int) -> bytes:
        """Return the bytes just before *offset*, at most ``MARKER_SIZE``."""
        size = min(offset, MARKER_SIZE)
        return os.pread(self.fd, size, offset - size)

    def has_marker(self, offset: int, marker: Marker) -> bool:
        """Tell whether the bytes before *offset* are the ones that *marker* was made from."""
        return marker_at(self.fd, offset, marker.size) == marker

    def read(self, size: int, now: float) -> list[bytes]:
        """
        Read up to *size* bytes and return the lines that end in them.

        ``quiet_since`` tells whether the end was reached; a long line may need several calls.

        Raises:
            TruncatedError: What was read before is not there any more.
            OSError: The file cannot be read.
        """
        before = self.splitter.read_offset
        # The first bytes are looked at before they are read, so that what was there before them is read first.
        is_unseen = self.unseen_since_ns is not None and not self.head
        data = b"" if is_unseen else os.pread(self.fd, size, before)
        # After the read, not before: what was read belongs to the content that this check sees.
        lines: list[bytes] = []
        if self.is_same_content(now) and data:
            # NULs at the end are left for the next read, which begins with them and sees how many they are.
            lines = self._read_nuls(data) if data[0] == 0 else self.splitter.feed(data.rstrip(b"\0"))
        if self.splitter.read_offset != before:
            self.quiet_since = None
        elif self.quiet_since is None:
            self.quiet_since = now
        return lines

    def is_same_content(self, now: float) -> bool:
        """
        Tell whether the bytes before the read offset are those that were read.

        Returns:
            False while it seems shorter but that has not been confirmed; nothing may be read then.

        Raises:
            TruncatedError: They are not.
        """
        expected = self.splitter.tail or (b"" if self.splitter.read_offset else self.head)
        start = self.splitter.read_offset - len(expected) if self.splitter.tail else 0
        found = os.pread(self.fd, len(expected), start) if expected else b""
        if found == expected:
            self.short_since = None
            return True
        if not expected.startswith(found):
            raise TruncatedError
        if self.short_since is None:
            self.short_since = now
        if now - self.short_since >= RECHECK_INTERVAL:
            raise TruncatedError
        return False

    def look(self, now: float) -> None:
        """Note size and first bytes, and see whether the content is still the same."""
        # Taken before the content is checked: they never say of this content what belongs to the next one.
        facts = facts_of(os.fstat(self.fd))
        if self.is_same_content(now):
            self.seen = facts
            self._note_head()

    def flush(self) -> list[bytes]:
        """Return the partial line as the last one, if there is one."""
        self.is_ended = False
        return self.splitter.flush()

    def replace_file(self, fd: int, name: str) -> None:
        """Go on, at the same offset, in another file with the same bytes."""
        self.close()
        self.fd, self.name, self.is_ended, self.was_deleted = fd, name, False, False
        self.identity = self.facts().identity
        self.quiet_since = self.short_since = None

    def hand_over(self) -> int:
        """Give the open descriptor to a successor; only the partial line is left here."""
        fd, self.fd, self.is_ended, self.was_deleted = self.fd, -1, True, True
        return fd

    def end(self) -> None:
        """Close the file for good; the partial line is what is left of it."""
        self.close()
        self.is_ended = True

    def close(self) -> None:
        """Close the file, if it is open."""
        if self.fd >= 0:
            self.was_deleted = self.links() == 0
            os.close(self.fd)
            self.fd = -1

    def _note_head(self) -> None:
        if not self.splitter.read_offset and len(self.head) < MARKER_SIZE:
            head = os.pread(self.fd, MARKER_SIZE, 0)
            if not head.startswith(self.head):
                raise TruncatedError
            self.head = head

    def _read_nuls(self, data: bytes) -> list[bytes]:
        """
        Data begins with NUL bytes. A run of them at the start of the file is what a writer without
        O_APPEND leaves behind copytruncate, a long one anywhere is a hole; both are passed over. Others
        are bytes of a line. A run that reaches the end of the file may be space not written yet: wait.
        """
        text = len(data) - len(data.lstrip(b"\0"))
        if text == len(data):
            end, is_found = end_of_nuls(self.fd, self.splitter.read_offset + max(text, self._nul_scanned))
            text = end - self.splitter.read_offset
            if not is_found:
                self._nul_scanned = text
                return []
        self._nul_scanned = 0
        if self.splitter.read_offset and text < NUL_RUN:
            return self.splitter.feed(data)
        lines = self.flush()
        log.warning(
            "%s (inode %d): %d NUL bytes at offset %d are no text and are passed over",
            self.name, self.identity.inode, text, self.splitter.read_offset,
        )  # fmt: skip
        self.splitter.skip(text)
        return lines


class GenerationMaker:
    """Makes the generations of one worker, numbered as it meets them."""

    def __init__(self, settings: TailSettings, max_lines: int) -> None:
        self._limits = (settings.max_line_size, settings.long_lines, max_lines)
        self._numbers = itertools.count(1)

    def __call__(self, fd: int, name: str, epoch: int = 0) -> Generation:
        """
        Make one; it closes *fd*.

        Raises:
            OSError: It cannot be read; *fd* is closed.
        """
        try:
            return Generation(next(self._numbers), fd, name, epoch, self._limits)
        except OSError as exc:
            os.close(fd)
            raise OSError(exc.errno, exc.strerror, name) from exc
