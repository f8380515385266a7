"""What is being written to a connection, and how far that is."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fluentlite.transport import Buffer


class Outgoing:
    """
    One message on its way to the kernel.

    Attributes:
        buffers: What is left of it.
        chunk_id: Empty for what needs no ack.
        started_at: When its first byte was to go, in monotonic seconds.
    """

    __slots__ = ("buffers", "chunk_id", "started_at")

    def __init__(self, buffers: Sequence[bytes], chunk_id: str) -> None:
        self.buffers: list[Buffer] = list(buffers)
        self.chunk_id = chunk_id
        self.started_at = math.inf

    def drop(self, sent: int) -> None:
        """Its first *sent* bytes have gone."""
        done = 0
        while done < len(self.buffers) and sent >= len(self.buffers[done]):
            sent -= len(self.buffers[done])
            done += 1
        del self.buffers[:done]
        if sent:
            self.buffers[0] = memoryview(self.buffers[0])[sent:]
