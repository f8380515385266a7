"""Opening the generations that were at the path when nobody looked."""

from __future__ import annotations

import os
from collections.abc import Collection

from fluentlite.core.lines import MARKER_SIZE
from fluentlite.core.rotation import Identity, missed_generations
from fluentlite.worker.directory import LogDirectory
from fluentlite.worker.files import facts_of
from fluentlite.worker.finished import Finished
from fluentlite.worker.generation import Generation
from fluentlite.worker.troubles import Troubles

File = tuple[int, str]
"""A descriptor and the path that it was opened by."""


class Missed:
    """Finds them beside the log; *troubles* hears it when the system has no descriptor left."""

    def __init__(self, directory: LogDirectory, finished: Finished, troubles: Troubles) -> None:
        self._directory, self._finished, self._troubles = directory, finished, troubles

    def open(
        self, known: Collection[Identity], since_ns: int, current: Generation, *, earlier_only: bool = False
    ) -> tuple[list[File], bool]:
        """
        Open all that ``missed_generations`` tells, oldest first.

        Args:
            known: The files that are followed; the one at the path is known, too.
            since_ns: Last write to the newest of them; what is older was there before it.
            current: What is at the path now; a copy of it, even an unfinished one, is no generation of its own.
            earlier_only: Leave out what was written later than *current*.

        Returns:
            The files, and whether these are all: not if there was no descriptor for the others, or if *current*
            was cut short meanwhile, so that nobody can tell which file is its copy; there are none then.
        """
        files: list[File] = []
        try:
            is_sure = self._gather(files, known, since_ns, current, earlier_only)
        except OSError as exc:
            self._troubles.out_of_descriptors(exc)
            return files, False
        self._troubles.descriptors_left()
        if not is_sure:
            for fd, _name in files:
                os.close(fd)
        return (files if is_sure else []), is_sure

    def _gather(
        self,
        files: list[File],
        known: Collection[Identity],
        since_ns: int,
        current: Generation,
        earlier_only: bool,
    ) -> bool:
        rotated = self._directory.rotated()
        # Both asked after the directory was read: what was at the path before may be among the rotated ones by now.
        known = {*known, current.identity, *self._directory.identity_at_path()}
        head, until_ns = _head(current.fd), facts_of(os.fstat(current.fd)).mtime_ns
        finished = self._finished.sizes()
        for sibling in missed_generations(rotated, known=known, finished=finished, since_ns=since_ns):
            if earlier_only and sibling.facts.mtime_ns > until_ns:
                continue
            fd = self._directory.open_sibling(sibling)
            if fd is not None and _is_beginning(fd, current.fd):
                os.close(fd)
            elif fd is not None:
                files.append((fd, sibling.name))
        self._finished.keep({sibling.facts.identity for sibling in rotated} | known)
        return head.startswith(current.head) and _head(current.fd).startswith(head)


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
