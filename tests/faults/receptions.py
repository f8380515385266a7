"""
What the journals prove about chunks that came twice.

The promise is "at least once": a chunk whose ack the worker could not have seen is sent again, and nobody can
prevent that. Everything else that comes twice is a fault. A reception is *settled* if the worker must have seen its
ack and had every chance to remember it; of all receptions of one line, at most one may be settled.
"""

from __future__ import annotations

from dataclasses import dataclass, field

ACK_SIGHT = 1.0
"""Seconds within which a worker that is not stopped has read an ack and written its position, on a busy machine."""

ACCEPTED = 0.5
"""Seconds within which a sink that is not stopped has accepted a connection, on a busy machine."""


IN_PARTS = 30.0
"""Seconds for which a chunk that goes in parts may be under way: longer than any outage and what follows it."""


@dataclass(frozen=True, slots=True)
class Disturbance:
    """Something that ends connections, from *start* to *end* (monotonic seconds)."""

    what: str
    start: float
    end: float


@dataclass(slots=True)
class Connection:
    """One connection, as a sink saw it; *count* chunks have arrived on it."""

    name: tuple[str, int]
    opened_at: float
    count: int = 0
    ended_at: float | None = None
    unacked: dict[str, Reception] = field(default_factory=dict)


@dataclass(slots=True)
class Reception:
    """One arrival of one chunk, the *index*-th on its connection."""

    connection: Connection
    chunk_id: str
    index: int
    at: float
    acked_at: float | None = None

    def __str__(self) -> str:
        acked = "not acknowledged" if self.acked_at is None else f"acknowledged at {self.acked_at:.3f}"
        ended = self.connection.ended_at
        return (
            f"chunk {self.chunk_id} at {self.at:.3f}, {acked}, number {self.index + 1} of {self.connection.count} "
            f"on {self.connection.name[0].rpartition('/')[2]}#{self.connection.name[1]}"
            f" ({'open' if ended is None else f'ended {ended:.3f}'})"
        )


class Evidence:
    """
    Judges receptions by what has happened to servers and worker.

    Args:
        max_in_flight: Of the worker: a chunk that so many others followed on its connection was acknowledged
            and seen to be, or the worker would not have sent them. Parts of a chunk all go at once.
    """

    def __init__(self, max_in_flight: int) -> None:
        self._max_in_flight = max_in_flight
        self.disturbances: list[Disturbance] = []
        self._cuts: list[tuple[float, float]] = []
        self._parts: list[tuple[float, float]] = []

    def note(self, disturbance: Disturbance) -> None:
        """Connections may have ended with what was on them."""
        self.disturbances.append(disturbance)

    def note_restart(self, disturbance: Disturbance) -> None:
        """The worker ended with chunks on their way, and perhaps with acks that it had not seen."""
        self.disturbances.append(disturbance)
        self.note_cut(disturbance.end, disturbance.end)

    def note_cut(self, start: float, end: float) -> None:
        """Some time between then its lines were cut into chunks anew, which have other ids."""
        self._cuts.append((start, end))

    def note_parts(self, start: float, end: float) -> None:
        """The same, into parts of a chunk that was not acknowledged."""
        self.note_cut(start, end)
        self._parts.append((start, end + IN_PARTS))

    def is_settled(self, reception: Reception) -> bool:
        """Tell whether sending these lines again would be a fault."""
        connection = reception.connection
        is_in_parts = any(start <= reception.at <= end for start, end in self._parts)
        if connection.count - reception.index > self._max_in_flight and not is_in_parts:
            return True
        acked_at = reception.acked_at
        until = acked_at if acked_at is not None else connection.ended_at
        if until is None:
            return False  # neither acknowledged nor ended: on its way at this moment
        return not any(
            d.start <= until + ACK_SIGHT
            and d.end + ACK_SIGHT >= reception.at
            and d.end + ACCEPTED >= connection.opened_at
            for d in self.disturbances
        )

    def explains(self, receptions: tuple[Reception, ...]) -> bool:
        """Tell whether all these receptions of the same lines had to be, and under the right ids."""
        is_twice_in_one_chunk = len(set(map(id, receptions))) < len(receptions)
        if is_twice_in_one_chunk or sum(map(self.is_settled, receptions)) > 1:
            return False
        if len({reception.chunk_id for reception in receptions}) == 1:
            return True
        first = min(reception.connection.opened_at for reception in receptions)
        # A server that hung accepted then what clients, perhaps gone since, had connected and sent before.
        first = min([first, *(d.start for d in self.disturbances if d.start <= first <= d.end + ACK_SIGHT)])
        last = max(reception.at for reception in receptions)
        return any(start <= last and end >= first for start, end in self._cuts)

    def forget(self, before: float) -> None:
        """Drop what is older than *before*, in monotonic seconds."""
        self.disturbances = [d for d in self.disturbances if d.end >= before]
        self._cuts = [(start, end) for start, end in self._cuts if end >= before]
        self._parts = [(start, end) for start, end in self._parts if end >= before]
