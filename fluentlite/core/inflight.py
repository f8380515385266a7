"""The chunks on their way: what is unacknowledged, and in which order it counts as delivered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fluentlite.core.forward import Chunk, ChunkEncoder

SPLIT_AFTER = 3
"""Failures of the same oldest chunk, on connections that took it, before it is cut in two."""


class InFlight:
    """
    Chunks sent and not yet delivered, oldest first.

    Attributes:
        resent: Chunks sent more than once so far.
    """

    def __init__(self) -> None:
        self.resent = 0
        self._chunks: dict[str, Chunk] = {}
        self._acknowledged: set[str] = set()
        self._sent: dict[str, float] = {}  # chunk id -> when it was first sent
        self._delivered: list[Chunk] = []
        self._failures: tuple[str, int] = ("", 0)  # the oldest chunk's id, how often it failed in a row

    def __len__(self) -> int:
        return len(self._chunks)

    @property
    def lines(self) -> int:
        """Lines in the chunks on their way."""
        return sum(chunk.count for chunk in self._chunks.values())

    def add(self, chunk: Chunk) -> None:
        """*chunk* is the newest."""
        self._chunks[chunk.id] = chunk

    def unacknowledged(self) -> Iterator[Chunk]:
        """Give what a new connection has to send (again), in order."""
        return (chunk for chunk in self._chunks.values() if chunk.id not in self._acknowledged)

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
        self._acknowledged.update(ids)
        while self._chunks:
            head = next(iter(self._chunks))
            if head not in self._acknowledged:
                break
            self._acknowledged.discard(head)
            self._sent.pop(head, None)
            self._delivered.append(self._chunks.pop(head))

    def take_delivered(self) -> list[Chunk]:
        """Return the chunks that were delivered since the last call, in order."""
        delivered, self._delivered = self._delivered, []
        return delivered

    def fail(self, encoder: ChunkEncoder) -> Chunk | None:
        """
        A connection that had taken chunks has ended.

        One that ends every connection may be too large for the server, so after ``SPLIT_AFTER`` failures
        in a row the oldest chunk is replaced by two halves.

        Returns:
            The chunk that was cut in two, if one was.
        """
        if not self._chunks:
            return None
        head = next(iter(self._chunks.values()))
        failed_id, count = self._failures
        self._failures = (head.id, count + 1 if failed_id == head.id else 1)
        if self._failures[1] < SPLIT_AFTER or len(head.steps) < 2:
            return None
        rest = {ident: chunk for ident, chunk in self._chunks.items() if chunk is not head}
        self._chunks = {half.id: half for half in encoder.split(head)} | rest
        self._sent.pop(head.id, None)
        return head
