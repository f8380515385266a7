"""A followed log as the worker sees it: the tail with its checkpoint, its hints and its clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from fluentlite.config.model import LogSettings
from fluentlite.core.forward import Position
from fluentlite.core.rotation import Identity
from fluentlite.loop import Loop
from fluentlite.worker.checkpoint import Checkpoint
from fluentlite.worker.drain import Source
from fluentlite.worker.polling import Polling
from fluentlite.worker.tail import Tail
from fluentlite.worker.watch import Watch

WATCH_INTERVAL = 10.0
"""Seconds after which the watches are made anew even if nothing seems to have changed: an idle log costs little."""


class Followed(Protocol):
    """What a worker follows, a log or standard input."""

    has_ended: bool
    """Nothing will ever come any more."""

    @property
    def lines(self) -> Source[Any]: ...  # where the drain reads
    @property
    def lag(self) -> int: ...  # bytes in whole lines that are not delivered
    @property
    def offset(self) -> int: ...  # up to which the oldest unfinished generation is delivered
    @property
    def is_waiting(self) -> bool: ...  # there is nothing at the path that can be read
    @property
    def file_trouble(self) -> str: ...  # what keeps it from being read, or an empty string
    @property
    def state_trouble(self) -> str: ...  # what keeps positions from being remembered, or an empty string
    @property
    def deadline(self) -> float: ...
    def start(self, now: float) -> None: ...
    def is_quiet(self, now: float) -> bool: ...  # tick has nothing to do
    def tick(self, now: float) -> None: ...
    def delivered(self, positions: Iterable[Position]) -> None: ...
    def pause(self) -> None: ...
    def listen(self) -> None: ...
    def mute(self) -> None: ...
    def resume(self) -> None: ...
    def close(self) -> None: ...


class FollowedLog:
    """
    Args:
        wake: Called when there may be something to read.

    Raises:
        StateError: The checkpoint cannot be had.
    """

    has_ended = False

    def __init__(self, settings: LogSettings, checkpoint: Checkpoint, max_lines: int, loop: Loop, wake: Callable[[], None]) -> None:  # fmt: skip
        self._checkpoint, self._wake = checkpoint, wake
        self.tail = Tail(settings, checkpoint, max_lines)
        self._watch = Watch(settings.path, loop, self._hinted)
        self._polling = Polling(settings.path, self.tail, settings.tail.poll_interval)
        self._is_hinted = False
        self._watched: list[Identity] = []
        self._watch_at = 0.0

    @property
    def lines(self) -> Tail:
        return self.tail

    @property
    def lag(self) -> int:
        return self.tail.lag

    @property
    def offset(self) -> int:
        return self.tail.generations[0].delivered.offset if self.tail.generations else 0

    @property
    def is_waiting(self) -> bool:
        return self.tail.troubles.is_waiting

    @property
    def file_trouble(self) -> str:
        return self.tail.troubles.message

    @property
    def state_trouble(self) -> str:
        return self._checkpoint.trouble

    @property
    def deadline(self) -> float:
        """When ``tick`` has something to do, in monotonic seconds."""
        return min(self._polling.due, self._checkpoint.deadline)

    def start(self, now: float) -> None:
        """Find what there is to read."""
        self.tail.start(now)
        self._polling.start(now)

    def tick(self, now: float) -> None:
        """Look around if a hint or the clock says so, and sync the checkpoint if that is due."""
        if self._is_hinted:
            self._is_hinted = False
            self._polling.hinted(now)
        if self._watch.has_names or now >= self._polling.due:
            self._look(now)
        self._checkpoint.sync_if_due(now)

    def is_quiet(self, now: float) -> bool:
        """Tell whether ``tick`` has nothing to do; where a look is due, a glance may be enough for that."""
        if self._is_hinted or self._watch.has_names or now >= self._checkpoint.deadline:
            return False
        watch = self._watch
        return now < self._polling.due or self._polling.glance(
            now, is_local=watch.are_local, is_hinted_at=watch.is_reliable
        )

    def _look(self, now: float) -> None:
        has_news, self._watch.has_names = self._watch.has_names, False
        self._polling.looking(now)
        self.tail.look(now)
        followed = [generation.identity for generation in self.tail.generations if not generation.is_closed]
        if has_news or followed != self._watched or now >= self._watch_at:
            self._watch.update(self.tail.generations)
            self._watched, self._watch_at = followed, now + WATCH_INTERVAL
        self._polling.looked(now, is_hinted_at=self._watch.is_reliable)
        self._wake()

    def _hinted(self) -> None:
        self._is_hinted = True
        self._wake()

    def delivered(self, positions: Iterable[Position]) -> None:
        """Chunks that end at *positions* have been delivered, in this order."""
        for position in positions:
            self.tail.delivered(position)
        self.tail.save()

    def pause(self) -> None:
        """No hints for some milliseconds."""
        self._watch.pause()

    def listen(self) -> None:
        """Hints again, of the kind that there was before ``pause``."""
        self._watch.listen()

    def mute(self) -> None:
        """No hints about data: there is more than can be sent. Rotations are still noticed at once."""
        self._watch.mute()

    def resume(self) -> None:
        """Hints again."""
        self._watch.resume()

    def close(self) -> None:
        """Close everything; the checkpoint is written and synced."""
        self._watch.close()
        self.tail.close()
        self._checkpoint.close()
