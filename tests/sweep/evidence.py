"""
What may arrive twice, to the call.

A chunk is *settled* if whatever is under test had read its ack and had its turn to record that. The calls that were
seen tell it: after the ack was given to the kernel, a receive on that connection was let through, and the worker has
waited in its loop so often that it must have written what it knows; and, where writing was made to fail, a write of its
position after that was let through. Of all receptions of one line, at most one may be settled.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass, field

from faults.receptions import Evidence, Reception

from .interceptor import Event
from .server import Seen

MAX_IN_FLIGHT = 4

_RECEIVES = ("recvfrom", "recvmsg", "read")
_WAITS = ("epoll_wait", "epoll_pwait")
_WRITES = ("pwrite64",)

WAITS_TO_RECORD = 3
"""The first one finds the ack, if it is not known yet; one that is read while a chunk is sent is dealt with behind another."""

ARRIVED_WITHIN = 0.05
"""Seconds within which what a socket was given can be read at its other end, also where the kernel is late."""


@dataclass(slots=True)
class Life:
    """
    One life of a worker.

    Attributes:
        connections: Those that it made, in order.
        events: Its calls; None if it was not watched.
        is_orderly: It ended well, and so has recorded what it knew.
        was_killed: By us; otherwise a call that is marked as failed has failed.
    """

    connections: list[tuple[str, int]] = field(default_factory=list)
    events: list[Event] | None = None
    is_orderly: bool = False
    was_killed: bool = False


class CallEvidence(Evidence):
    """Judges by the calls of each life."""

    def __init__(self) -> None:
        super().__init__(MAX_IN_FLIGHT)
        self.lives: list[Life] = []

    def has_ended(self, seen: Seen, events: list[Event] | None, status: int | None) -> None:
        """A life has ended, with this status or by a signal of this number, negative."""
        self.lives.append(Life(seen.opened, events, status == 0, status == -signal.SIGKILL))

    def is_settled(self, reception: Reception) -> bool:
        life = self._life_of(reception)
        if life is None or reception.acked_at is None:
            return False
        if life.events is None:
            return True
        index = life.connections.index(reception.connection.name)
        return _was_read(life.events, index, reception.acked_at) and _was_recorded(life, reception.acked_at)

    def explains(self, receptions: tuple[Reception, ...]) -> bool:
        is_twice_in_one_chunk = len(set(map(id, receptions))) < len(receptions)
        if is_twice_in_one_chunk or sum(map(self.is_settled, receptions)) > 1:
            return False
        ids: dict[int, str] = {}
        # Within a life the same lines go under the same id; the next one may cut them anew.
        return all(ids.setdefault(id(self._life_of(r)), r.chunk_id) == r.chunk_id for r in receptions)

    def _life_of(self, reception: Reception) -> Life | None:
        return next((life for life in self.lives if reception.connection.name in life.connections), None)


def _was_read(events: list[Event], index: int, acked_at: float) -> bool:
    """Tell whether something was read on the *index*-th connection after *acked_at*, before it was closed."""
    return any(
        event.call in _RECEIVES and event.time > acked_at and not event.is_failed
        for event in _on_connection(events, index)
    )


def _on_connection(events: list[Event], index: int) -> Iterator[Event]:
    """Give what was done with the descriptor of the *index*-th connection while it was that."""
    connects = [n for n, event in enumerate(events) if event.call == "connect" and not event.is_failed]
    begin = connects[index]
    for event in events[begin:]:
        if event.first == events[begin].first:
            if event.call == "close":
                return
            yield event


def _was_recorded(life: Life, acked_at: float) -> bool:
    """Tell whether the worker has had its turn, so that a chunk whose ack it has read is in its checkpoint."""
    events = [event for event in life.events or () if event.time > acked_at + ARRIVED_WITHIN]
    waits = [index for index, event in enumerate(events) if event.call in _WAITS]
    later = events[waits[WAITS_TO_RECORD - 1] :] if len(waits) >= WAITS_TO_RECORD else []
    failed = [event for event in life.events or () if event.call in _WRITES and event.is_failed]
    if failed and not life.was_killed:
        return any(event.call in _WRITES and not event.is_failed for event in later)
    return life.is_orderly or bool(later)
