"""The chunks on their way: what is unacknowledged, and in which order it counts as delivered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fluentlite.core.forward import Chunk, ChunkEncoder

SPLIT_AFTER = 3
"""Failures of the same oldest chunk, on connections that took it, before it is cut; a part of it needs one more."""


class InFlight:
    """
    Chunks sent and not yet delivered, oldest first.

    Attributes:
        resent: Chunks sent more than once so far.
        loose: Messages that travelled with chunks which now go without them.
    """

    def __init__(self) -> None:
        self.resent = 0
        self.loose: list[bytes] = []
        self._chunks: dict[str, Chunk] = {}
        self._acknowledged: set[str] = set()
        self._sent: dict[str, float] = {}  # chunk id -> when it was first sent
        self._delivered: list[Chunk] = []
        self._failures: dict[str, int] = {}  # chunk id -> how often it failed

    def __len__(self) -> int:
        return len(self._chunks)

    @property
    def lines(self) -> int:
        """Lines in the chunks on their way."""
        return sum(chunk.count for chunk in self._chunks.values())

    @property
    def head(self) -> Chunk | None:
        """The oldest chunk."""
        return next(iter(self._chunks.values()), None)

    def add(self, chunk: Chunk) -> None:
        """*chunk* is the newest."""
        self._chunks[chunk.id] = chunk

    def unacknowledged(self) -> Iterator[Chunk]:
        """Give what a new connection has to send (again), in order."""
        return (chunk for chunk in self._chunks.values() if chunk.id not in self._acknowledged)

    @property
    def acknowledged_early(self) -> int:
        """How many chunks are acknowledged and wait for one before them."""
        return len(self._acknowledged)

    @property
    def oldest_sent(self) -> float:
        """When the oldest chunk was first sent, in the seconds of ``note_sent``; 0.0 if there is none, or not yet."""
        head = next(iter(self._chunks), None)
        return 0.0 if head is None else self._sent.get(head, 0.0)

    def note_sent(self, chunk: Chunk, now: float) -> bool:
        """*chunk* is being sent; returns whether it was sent before."""
        is_repeated = chunk.id in self._sent
        self.resent += is_repeated
        self._sent.setdefault(chunk.id, now)
        return is_repeated

    def acknowledge(self, ids: Iterable[str]) -> None:
        """Servers have taken the chunks *ids*. One is delivered when all before it are."""
        self._acknowledged.update(ident for ident in ids if ident in self._chunks)
        while self._chunks:
            head = next(iter(self._chunks))
            if head not in self._acknowledged:
                break
            self._pass_on(self._chunks[head])

    def give_up(self) -> None:
        """The oldest chunk will not be sent: only its position is passed on, in its turn."""
        head = self.head
        if head is not None:
            self._chunks[head.id] = head.hollow()
            self.acknowledge([head.id])

    def find(self, ident: str) -> Chunk | None:
        """Return the chunk with this id, if it is on its way."""
        return self._chunks.get(ident)

    def take_delivered(self) -> list[Chunk]:
        """Return the chunks that were delivered since the last call, in order."""
        delivered, self._delivered = self._delivered, []
        return delivered

    def failures(self, chunk: Chunk) -> int:
        """Return how often *chunk* failed, or that of which it is a part."""
        return self._failures.get(chunk.id, 0)

    def suspect(self, chunk: Chunk) -> None:
        """The next failure of *chunk* is the last one before it is cut."""
        self._failures[chunk.id] = max(self.failures(chunk), SPLIT_AFTER - 1)

    def fail(self, encoder: ChunkEncoder, chunk: Chunk | None = None) -> Chunk | None:
        """
        A connection that had taken *chunk* (the oldest one, if not given) has ended.

        One that ends every connection may be too large for the server, or have a record that the server does not
        like, so after ``SPLIT_AFTER`` failures it is replaced by parts. They are under the same suspicion: the
        next failure cuts the one that it meets again.

        Returns:
            The chunk that was cut, if one was.
        """
        chunk = chunk or self.head
        if chunk is None:
            return None
        self._failures[chunk.id] = self.failures(chunk) + 1
        if self._failures[chunk.id] < SPLIT_AFTER or len(self.cut(chunk, encoder)) < 2:
            return None
        return chunk

    def cut(self, chunk: Chunk, encoder: ChunkEncoder) -> list[Chunk]:
        """Put the parts of *chunk* in its place; one entry stays as it is. What was appended is ``loose`` now."""
        parts = encoder.split(chunk)
        if len(parts) > 1:
            self._replace(chunk, parts)
        return parts

    def make_alone(self, chunk: Chunk) -> Chunk:
        """Take off what is appended to *chunk*; it is ``loose`` now."""
        if chunk.appended:
            self.loose.append(chunk.appended)
            self._chunks[chunk.id] = chunk.alone()
        return self._chunks[chunk.id]

    def _replace(self, chunk: Chunk, parts: list[Chunk]) -> None:
        if chunk.appended:
            self.loose.append(chunk.appended)
        self._chunks = {
            one.id: one for old in self._chunks.values() for one in (parts if old is chunk else [old])
        }
        self._sent.pop(chunk.id, None)
        failures = self._failures.pop(chunk.id, 0)
        if failures:
            self._failures |= {part.id: min(failures, SPLIT_AFTER - 1) for part in parts}

    def _pass_on(self, chunk: Chunk) -> None:
        self._acknowledged.discard(chunk.id)
        self._sent.pop(chunk.id, None)
        self._failures.pop(chunk.id, None)
        self._delivered.append(self._chunks.pop(chunk.id))
