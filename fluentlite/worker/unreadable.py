"""Open files that give errors instead of their bytes: tried again, less and less often; nothing else waits for them."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterable

from fluentlite.worker.directory import LogDirectory
from fluentlite.worker.generation import Generation
from fluentlite.worker.troubles import Troubles

FIRST_REST = 1.0
"""Seconds for which a file is left alone after its first error: a disk may take long for each."""

LONGEST_REST = 30.0
"""Most seconds, after many."""


class Unreadable:
    """
    Those of one log.

    A generation that cannot be read is never over, however long it has left the path: its position is kept.
    """

    def __init__(self, directory: LogDirectory, troubles: Troubles) -> None:
        self._directory, self._troubles = directory, troubles
        # Number of the generation -> until when, and for how long; monotonic seconds.
        self._rests: dict[int, tuple[float, float]] = {}

    def rests(self, generation: Generation, now: float) -> bool:
        """Tell whether *generation* is to be left alone now."""
        return generation.number in self._rests and now < self._rests[generation.number][0]

    def failed(self, generation: Generation, exc: OSError, now: float) -> None:
        """It has given an error."""
        _until, rest = self._rests.get(generation.number, (now, FIRST_REST / 2))
        rest = min(2 * rest, LONGEST_REST)
        self._rests[generation.number] = now + rest, rest
        generation.quiet_since = None  # whatever was its end, nobody knows what is behind it now
        if exc.errno == errno.ESTALE:
            self._reopen(generation)
        self._troubles.unreadable(generation, exc)

    def read(self, generation: Generation) -> None:
        """It has given its bytes."""
        if generation.number in self._rests:
            del self._rests[generation.number]
            if not self._rests:
                self._troubles.readable()

    def keep(self, generations: Iterable[Generation]) -> None:
        """Forget those that are not among *generations* any more, or are closed."""
        if self._rests:
            numbers = {generation.number for generation in generations if not generation.is_closed}
            self._rests = {number: rest for number, rest in self._rests.items() if number in numbers}
            if not self._rests:
                self._troubles.readable()

    def _reopen(self, generation: Generation) -> None:
        """To a network file system the open file is gone for good; under its name it may be there."""
        with contextlib.suppress(OSError):
            found = self._directory.open_identity(generation.identity)
            if found is not None:
                generation.replace_file(*found)
