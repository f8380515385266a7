"""Where a file has to be read on from: at the first sight of a log, and after a restart."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from collections.abc import Callable, Collection

from fluentlite.config.model import TailSettings
from fluentlite.core.position import Point
from fluentlite.core.rotation import Identity
from fluentlite.worker.awaited import Awaited
from fluentlite.worker.directory import LogDirectory
from fluentlite.worker.files import facts_of, marker_at, open_log
from fluentlite.worker.finished import Finished
from fluentlite.worker.generation import Generation
from fluentlite.worker.troubles import Troubles

log = logging.getLogger(__name__)

COMPARED = 65536
"""Bytes at the beginning that must be the same before a file counts as a replacement of another."""

MOST_AWAITED = 64
"""Positions that may wait for their files: a checkpoint must have room for those of the files that are read."""

NewGeneration = Callable[[int, str, int], Generation]
"""Makes a generation from a descriptor, a path and an epoch."""


class Resume:
    """
    Find again the files that a checkpoint speaks of.

    A point is given up only if its file is known to be gone: there is a file at the path, everything beside it
    could be seen, and it was not among that. Until then it is awaited.

    Attributes:
        epochs: Files that were cut short meanwhile, and the epoch they are in now.
        awaited: Those that could not be had so far, oldest first.
    """

    def __init__(
        self, directory: LogDirectory, new_generation: NewGeneration, finished: Finished, troubles: Troubles
    ) -> None:
        self.epochs: dict[Identity, int] = {}
        self.awaited: list[Awaited] = []
        self._directory, self._new = directory, new_generation
        self._finished, self._troubles = finished, troubles

    def begin(self, points: Collection[Point]) -> list[Generation]:
        """Return what stands for *points* until ``run`` has found their files."""
        nothing = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self._directory.path)
        return [Awaited(point, nothing) for point in points]

    def run(self, generations: list[Generation]) -> bool:
        """
        Begin each ``Awaited`` among *generations* that can be had now, in its place; leave out those that are gone.

        Returns:
            Whether any place was taken or left.
        """
        before = list(generations)
        self.awaited = [generation for generation in generations if isinstance(generation, Awaited)]
        if not self.awaited:
            return False
        at_path = self._see_path()
        for awaited in self.awaited:
            others = [g.identity for g in generations if g not in self.awaited and not g.was_deleted]
            index = generations.index(awaited)
            generations[index : index + 1] = self._try(awaited, at_path, others)
        self.awaited = [awaited for awaited in self.awaited if awaited in generations]
        while len(self.awaited) > MOST_AWAITED:
            oldest = self.awaited.pop(0)
            generations.remove(oldest)
            self._give_up(oldest.point(), f"is one of more than {MOST_AWAITED} that cannot be had now")
        self._troubles.awaiting(self.awaited, is_path_open=isinstance(at_path, Identity))
        return generations != before

    def awaits(self, identity: Identity) -> bool:
        """Tell whether the file may be one that is awaited."""
        return identity not in self.epochs and any(awaited.identity == identity for awaited in self.awaited)

    def _see_path(self) -> Identity | OSError:
        """Return what is at the path, or why nothing can be read there."""
        try:
            fd = open_log(self._directory.path)
        except OSError as exc:
            return exc
        try:
            os.pread(fd, 1, 0)
            return facts_of(os.fstat(fd)).identity
        except OSError as exc:
            return OSError(exc.errno, exc.strerror, self._directory.path)
        finally:
            os.close(fd)

    def _try(
        self, awaited: Awaited, at_path: Identity | OSError, others: Collection[Identity]
    ) -> list[Generation]:
        """Return what takes the place of *awaited*: its file, itself if that cannot be told now, or nothing."""
        point = awaited.point()
        try:
            found = self._find(point)
            reason = None if found else self._doubt(point, at_path)
        except OSError as exc:
            found, reason = None, exc
        if reason is not None:
            awaited.reason = reason
            return [awaited]
        if found is None:
            self._give_up(point, "is gone")
            return []
        if found.identity in others:
            found.close()  # an older point in the same file: reading from there covers this one
            return []
        return [found]

    def _find(self, point: Point) -> Generation | None:
        """
        Open the file of *point*, or the copy that copytruncate or an editor made of it, and begin there.

        Raises:
            OSError: It is there, but cannot be read now.
        """
        found = self._directory.open_identity(point.identity)
        if found is not None:
            generation = self._begin(*found, point)
            if generation is not None:
                return generation
            # The inode is the same, the content is not: cut short and written anew, or another file.
            self.epochs[point.identity] = point.epoch + 1
        if not point.marker.size:
            return None
        copy = self._directory.open_copy(
            point.offset,
            point.mtime_ns,
            lambda fd, _sibling: marker_at(fd, point.offset, point.marker.size) == point.marker,
        )
        if copy is None:
            return None
        log.info("%s: going on at offset %d of %s", self._directory.path, point.offset, copy[1])
        return self._begin(*copy, point)

    def _begin(self, fd: int, name: str, point: Point) -> Generation | None:
        """Begin at *point* in an open file; None if its content is another."""
        generation = self._new(fd, name, point.epoch)
        try:
            if generation.seen.size >= point.offset and generation.has_marker(point.offset, point.marker):
                generation.start(point.offset)
                # Of an empty file nothing is known: it may have been filled and emptied since.
                generation.unseen_since_ns = None if point.offset or point.marker.size else point.mtime_ns
                return generation
        except OSError as exc:
            generation.close()
            raise OSError(exc.errno, exc.strerror, name) from exc
        generation.close()
        return None

    def _doubt(self, point: Point, at_path: Identity | OSError) -> OSError | None:
        """Return why the file of *point*, which has not been found, may be there all the same; None if it is gone."""
        if isinstance(at_path, OSError):
            return at_path
        is_point = point.identity == at_path and at_path not in self.epochs
        if is_point or self._directory.identity_at_path() != {at_path}:  # mounted or switched while we looked
            return OSError(errno.EAGAIN, "it changes while it is looked at", self._directory.path)
        return self._directory.problem

    def _give_up(self, point: Point, why: str) -> None:
        """Forget *point*, but for the case that its file comes back."""
        unread = max(0, point.size - point.offset)
        compressed: list[str] = []
        if point.identity not in self.epochs:
            self._finished.remember(point)
            with contextlib.suppress(OSError):  # for want of a descriptor
                compressed = self._directory.compressed()
        if unread or compressed:
            where = f" (compressed, perhaps, into one of {', '.join(compressed)})" if compressed else ""
            log.error(
                "%s: inode %d %s%s: at least %d bytes behind offset %d are unreachable",
                self._directory.path, point.identity.inode, why, where, unread, point.offset,
            )  # fmt: skip


def open_at_path(
    path: str, new_generation: NewGeneration, finished: Finished, settings: TailSettings, *, is_first: bool
) -> Generation:
    """
    Open the file at the path and, where that is known already, begin in it.

    Args:
        is_first: The log was never followed: it begins where the configuration says.

    Raises:
        OSError: It cannot be opened, or gives errors.
    """
    generation = new_generation(open_log(path), path, 0)
    try:
        if is_first:
            size = 0 if settings.read_from_head else generation.seen.size
            generation.start(line_start(generation.fd, size, settings.max_line_size))
        elif offset := finished.offset_in(generation):
            generation.start(offset)  # a finished file is back at the path, perhaps with more in it
    except OSError:
        generation.close()
        raise
    return generation


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
        generation.splitter.read_offset,
        generation.seen.mtime_ns,
        lambda fd, sibling: sibling.facts.identity not in followed and _is_copy_of(generation, fd),
    )


def _is_copy_of(generation: Generation, fd: int) -> bool:
    offset, tail = generation.splitter.read_offset, generation.splitter.tail
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
    try:
        is_same_head = os.pread(before.fd, size, 0) == os.pread(after.fd, size, 0)
        return is_same_head and before.bytes_before(offset) == after.bytes_before(offset)
    except OSError:  # nobody can tell: it is read from its beginning then, some of it twice perhaps
        return False
