"""Opening the generations that were at the path when nobody looked."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Collection

from fluentlite.core.lines import MARKER_SIZE
from fluentlite.core.rotation import Identity, Sibling, missed_generations
from fluentlite.worker.directory import LogDirectory
from fluentlite.worker.files import facts_of, is_out_of_descriptors
from fluentlite.worker.finished import Finished
from fluentlite.worker.generation import Generation
from fluentlite.worker.troubles import Troubles

log = logging.getLogger(__name__)

CLOCKS_DIFFER_NS = 60 * 10**9
"""Nanoseconds by which the clock of a file server may be ahead of ours."""


class Missed:
    """Finds them beside the log; *troubles* hears it when the system has no descriptor left."""

    def __init__(
        self,
        directory: LogDirectory,
        new_generation: Callable[[int, str], Generation],
        finished: Finished,
        troubles: Troubles,
    ) -> None:
        self._directory, self._new = directory, new_generation
        self._finished, self._troubles = finished, troubles

    def open(
        self, known: Collection[Identity], since_ns: int, current: Generation, *, earlier_only: bool = False
    ) -> tuple[list[Generation], bool]:
        """
        Open all that ``missed_generations`` tells, oldest first.

        Args:
            known: The files that are followed; the one at the path is known, too.
            since_ns: Last write to the newest of them; what is older was there before it.
            current: What is at the path now; a copy of it, even an unfinished one, is no generation of its own.
            earlier_only: Leave out what was written later than *current*.

        Returns:
            The generations, and whether these are all: not if there was no descriptor for the others, or if
            *current* was cut short meanwhile, so that nobody can tell which file is its copy; there are none then.
        """
        found: list[Generation] = []
        try:
            is_sure = self._gather(found, known, since_ns, current, earlier_only)
        except OSError as exc:
            self._troubles.out_of_descriptors(exc)
            return found, False
        self._troubles.descriptors_left()
        if not is_sure:
            for generation in found:
                generation.close()
            return [], False
        for generation in found:
            log.info("%s: reading %s, which was there unseen", self._directory.path, generation.name)
        return found, True

    def _gather(
        self,
        found: list[Generation],
        known: Collection[Identity],
        since_ns: int,
        current: Generation,
        earlier_only: bool,
    ) -> bool:
        rotated = self._directory.rotated()
        are_all = self._directory.problem is None
        # Both asked after the directory was read: what was at the path before may be among the rotated ones by now.
        known = {*known, current.identity, *self._directory.identity_at_path()}
        since_ns = self._believable(since_ns)
        head, until_ns = _head(current.fd), facts_of(os.fstat(current.fd)).mtime_ns
        finished = self._finished.sizes()
        for sibling in missed_generations(rotated, known=known, finished=finished, since_ns=since_ns):
            if not earlier_only or sibling.facts.mtime_ns <= until_ns:
                found += self._open(sibling, current)
        self._finished.keep({sibling.facts.identity for sibling in rotated} | known, are_all=are_all)
        return head.startswith(current.head) and _head(current.fd).startswith(head)

    def _believable(self, since_ns: int) -> int:
        """
        A time that is yet to come was given by a clock that was wrong: what was written after it has been set looks
        older. The last time that can be true counts then; some of what was written since may be read twice.
        """
        latest_ns = time.time_ns() + CLOCKS_DIFFER_NS
        if since_ns <= latest_ns:
            return since_ns
        believable = [
            mtime_ns for _size, mtime_ns in self._finished.sizes().values() if mtime_ns <= latest_ns
        ]
        return max(believable, default=0)

    def _open(self, sibling: Sibling, current: Generation) -> list[Generation]:
        """Begin *sibling*, unless it is a copy of *current*, gone, or cannot be read."""
        generation: Generation | None = None
        try:
            fd = self._directory.open_sibling(sibling)
            if fd is None:
                return []
            generation = self._new(fd, sibling.name)
            if _is_beginning(fd, current.fd):
                generation.close()
                return []
            generation.start(self._finished.offset_in(generation))
        except OSError as exc:
            if generation is not None:
                generation.close()
            if is_out_of_descriptors(exc):
                raise
            return []
        generation.unseen_since_ns = None
        return [generation]


def _head(fd: int) -> bytes:
    return os.pread(fd, MARKER_SIZE, 0)


def _is_beginning(fd: int, current_fd: int) -> bool:
    """Tell whether all that *fd* has seems to be the first part of what *current_fd* has."""
    size = os.fstat(fd).st_size
    compared = min(size, MARKER_SIZE)
    return all(
        os.pread(fd, compared, offset) == os.pread(current_fd, compared, offset)
        for offset in (0, size - compared)
    )
