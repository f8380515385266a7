"""Opening the generations that were at the path when nobody looked."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator

from fluentlite.core.rotation import Identity, missed_generations
from fluentlite.worker.directory import LogDirectory
from fluentlite.worker.finished import Finished
from fluentlite.worker.troubles import Troubles


class Missed:
    """Finds them beside the log; *troubles* hears it when the system has no descriptor left."""

    def __init__(self, directory: LogDirectory, finished: Finished, troubles: Troubles) -> None:
        self._directory, self._finished, self._troubles = directory, finished, troubles

    def open(
        self, known: Collection[Identity], since_ns: int, unlike: bytes = b""
    ) -> tuple[list[tuple[int, str]], bool]:
        """
        Open all that ``missed_generations`` tells, oldest first.

        Args:
            known: The files that are followed.
            since_ns: Last write to the newest of them; what is older was there before it.
            unlike: Files that begin with these bytes, or whose bytes so far are their beginning, are left out:
                they are or become copies of the followed file that begins so.

        Returns:
            A descriptor and a path of each, and whether there were descriptors for all.
        """
        files: list[tuple[int, str]] = []
        try:
            for file in self._open(known, since_ns, unlike):
                files.append(file)  # noqa: PERF402 - those before an error are kept
        except OSError as exc:
            self._troubles.out_of_descriptors(exc)
            return files, False
        self._troubles.descriptors_left()
        return files, True

    def _open(self, known: Collection[Identity], since_ns: int, unlike: bytes) -> Iterator[tuple[int, str]]:
        rotated = self._directory.rotated()
        finished = self._finished.sizes()
        for sibling in missed_generations(rotated, known=known, finished=finished, since_ns=since_ns):
            fd = self._directory.open_sibling(sibling)
            if fd is None:
                continue
            if unlike and unlike.startswith(os.pread(fd, len(unlike), 0)):
                os.close(fd)
            else:
                yield fd, sibling.name
        self._finished.keep({sibling.facts.identity for sibling in rotated} | set(known))
