"""What a worker says of itself on the scoreboard, and how often."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable

from fluentlite.config.model import LogSettings
from fluentlite.core.forward import Chunk
from fluentlite.scoreboard import Score, ScoreState, Slot
from fluentlite.worker.follow import Followed
from fluentlite.worker.letters import DeadLetters
from fluentlite.worker.sender import Sender

TURN_INTERVAL = 10.0
"""Seconds after which a worker turns though nothing happens, to show that it lives."""

INTERVAL = 0.1
"""Seconds between two scores while nothing is delivered: a worker can turn a thousand times a second."""


class ScoreKeeper:
    """
    Keeps a worker's slot up to date: a heartbeat at every turn, the score after every delivery and otherwise
    ``INTERVAL`` seconds after a change.

    Args:
        slot: None if nobody looks; then this costs nothing.
    """

    def __init__(
        self, slot: Slot | None, settings: LogSettings, sender: Sender, letters: DeadLetters
    ) -> None:
        self._slot, self._sender, self._letters = slot, sender, letters
        self._chunk_size = settings.tail.read_buffer_size
        self._lines = self._bytes = self._chunks = 0
        self._beat_at, self._due_at = 0.0, 0.0
        self._is_stale = False

    @property
    def deadline(self) -> float:
        """When ``turned`` has something to say, in monotonic seconds."""
        return self._due_at if self._is_stale else math.inf

    @property
    def beat_deadline(self) -> float:
        """When ``beat`` is due though nothing happens."""
        return math.inf if self._slot is None else self._beat_at + TURN_INTERVAL

    def beat(self, now: float) -> None:
        """The worker lives; also before a step that may take long."""
        if self._slot is not None:
            self._slot.beat(now)
            self._beat_at = now

    def waiting(self, reason: str) -> None:
        """The worker lives, but cannot begin; *reason* is empty as long as that is ordinary."""
        if self._slot is not None:
            self._slot.write(Score(heartbeat=time.monotonic(), last_error=reason))

    def delivered(self, chunks: Iterable[Chunk]) -> None:
        """Count *chunks*; the next ``turned`` says so at once."""
        for chunk in chunks:
            self._lines += chunk.count
            self._bytes += chunk.file_bytes
            self._chunks += 1
        self._due_at = 0.0

    def turned(self, now: float, followed: Followed, *, is_stopping: bool) -> None:
        """The worker has turned; this is how things are now."""
        if self._slot is None:
            return
        self._beat_at = now
        self._is_stale = now < self._due_at
        if self._is_stale:
            self._slot.beat(now)
        else:
            self._due_at = now + INTERVAL
            self._slot.write(self._score(now, followed, is_stopping))

    def _score(self, now: float, followed: Followed, is_stopping: bool) -> Score:
        sender, in_flight, lag = self._sender, self._sender.in_flight, followed.lag
        return Score(
            heartbeat=now,
            state=self._state(followed, lag, is_stopping),
            server=str(sender.server or ""),
            lines=self._lines,
            bytes=self._bytes,
            chunks=self._chunks,
            lag_bytes=lag,
            unacked_chunks=len(in_flight),
            oldest_unacked=in_flight.oldest_sent,
            position=followed.offset,
            reconnects=max(0, sender.connects - 1),
            resent_chunks=in_flight.resent,
            last_error=followed.file_trouble or self._server_trouble() or followed.state_trouble,
        )

    def _state(self, followed: Followed, lag: int, is_stopping: bool) -> ScoreState:
        if is_stopping:
            return "stopping"
        if not self._sender.is_connected:
            return "connecting"
        if followed.is_waiting and not lag:
            return "waiting_for_file"
        return "catching_up" if lag > self._chunk_size else "following"

    def _server_trouble(self) -> str:
        """Return what keeps chunks from being delivered; trouble that is past shows only when there are some again."""
        is_well = self._sender.is_connected and not self._sender.in_flight
        return "" if is_well else self._letters.trouble or self._sender.trouble
