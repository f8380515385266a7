"""Where a file has to be read on from: at the first sight of a log, and after a restart."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection

from fluentlite.core.position import Point
from fluentlite.core.rotation import Identity, Sibling
from fluentlite.worker.directory import LogDirectory
from fluentlite.worker.files import marker_at
from fluentlite.worker.generation import Generation

log = logging.getLogger(__name__)

COMPARED = 65536
"""Bytes at the beginning that must be the same before a file counts as a replacement of another."""

NewGeneration = Callable[[int, str, int], Generation]
"""Makes a generation from a descriptor, a path and an epoch."""


class Resume:
    """
    Find again the files that a checkpoint speaks of.

    Attributes:
        epochs: Files that were cut short meanwhile, and the epoch they are in now.
    """

    def __init__(self, directory: LogDirectory, new_generation: NewGeneration) -> None:
        self.epochs: dict[Identity, int] = {}
        self._directory, self._new = directory, new_generation

    def run(self, points: tuple[Point, ...]) -> list[Generation]:
        """Return the generations of *points* that could be found, begun where they were left."""
        generations: list[Generation] = []
        for point in points:
            generation = self._same_file(point) or self._copy(point)
            if generation is None:
                self._report(point)
            elif any(generation.identity == other.identity for other in generations):
                generation.close()  # an older point in the same file: reading from there covers this one
            else:
                generation.start(point.offset)
                # Of an empty file nothing is known: it may have been filled and emptied since.
                generation.unseen_since_ns = None if point.offset or point.marker.size else point.mtime_ns
                generations.append(generation)
        return generations

    def _same_file(self, point: Point) -> Generation | None:
        found = self._directory.open_identity(point.identity)
        if found is None:
            return None
        generation = self._new(*found, point.epoch)
        if generation.seen.size >= point.offset and generation.has_marker(point.offset, point.marker):
            return generation
        # The inode is the same, the content is not: cut short and written anew, or another file.
        self.epochs[point.identity] = point.epoch + 1
        generation.close()
        return None

    def _copy(self, point: Point) -> Generation | None:
        """A file with the same bytes: the copy of copytruncate, or what an editor put in its place."""
        if not point.marker.size:
            return None

        def is_copy(fd: int, sibling: Sibling) -> bool:
            facts = sibling.facts
            is_later = facts.size >= point.offset and facts.mtime_ns >= point.mtime_ns
            return is_later and marker_at(fd, point.offset, point.marker.size) == point.marker

        found = self._directory.open_copy(is_copy)
        if found is None:
            return None
        log.info("%s: going on at offset %d of %s", self._directory.path, point.offset, found[1])
        return self._new(*found, point.epoch)

    def _report(self, point: Point) -> None:
        unread = max(0, point.size - point.offset)
        compressed = self._directory.compressed() if point.identity not in self.epochs else []
        if unread or compressed:
            where = f" (compressed, perhaps, into one of {', '.join(compressed)})" if compressed else ""
            log.error(
                "%s: inode %d is gone%s: at least %d bytes behind offset %d are unreachable",
                self._directory.path, point.identity.inode, where, unread, point.offset,
            )  # fmt: skip


def line_start(fd: int, size: int, max_line_size: int) -> int:
    """
    Return where the line begins that is being written at the end of a file of *size* bytes.

    A log that is followed from its end begins there, so that its first record is a whole line.
    """
    lowest = max(0, size - max_line_size)
    end = size
    while end > lowest:
        start = max(lowest, end - COMPARED)
        newline = os.pread(fd, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0 if lowest == 0 else size


def open_copy_of(
    directory: LogDirectory, generation: Generation, followed: Collection[Identity]
) -> tuple[int, str] | None:
    """Open a file that has what *generation* had before it was cut short, and is not *followed* itself."""
    return directory.open_copy(
        lambda fd, sibling: sibling.facts.identity not in followed and _is_copy_of(generation, fd, sibling)
    )


def _is_copy_of(generation: Generation, fd: int, sibling: Sibling) -> bool:
    offset, tail = generation.splitter.read_offset, generation.splitter.tail
    if sibling.facts.size < offset or sibling.facts.mtime_ns < generation.seen.mtime_ns:
        return False
    if tail:
        return os.pread(fd, len(tail), offset - len(tail)) == tail
    head = b"" if offset else generation.head
    return bool(head) and os.pread(fd, len(head), 0) == head


def is_replaced_by(before: Generation, after: Generation) -> bool:
    """
    Tell whether *after* was put in the place of *before* with the same content (an editor, rsync, ``cp`` and ``mv``).

    Only if *before* was deleted, was read to its end, and *after* came with all of its content: a new log
    that merely begins with the same lines grows from nothing.
    """
    offset = before.splitter.end_offset
    if before.is_closed or not offset or before.links() or after.first_size < offset:
        return False
    size = min(offset, COMPARED)
    is_same_head = os.pread(before.fd, size, 0) == os.pread(after.fd, size, 0)
    return is_same_head and before.bytes_before(offset) == after.bytes_before(offset)
