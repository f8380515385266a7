"""
Which chunks go on a connection, and when: all in order, or one at a time while the oldest one is suspected, or on trial.

A chunk is suspected when it has failed again and again, is a part of one that has, or is as large as one that was not
taken. What went behind it could be acknowledged before it, and would come again after a restart: its position moves in
order. So nothing goes behind it.

The caller has the connections. It sends what ``connected``, ``added`` and ``acknowledged`` return, and says how each
connection ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic

from fluentlite.core.ending import Ending
from fluentlite.core.forward import Chunk, ChunkEncoder
from fluentlite.core.inflight import SPLIT_AFTER, InFlight
from fluentlite.core.sizes import Sizes
from fluentlite.core.trial import Outages, ServerT, Trial

MOST_WITNESSES = 1000
"""Chunks acknowledged behind a record on trial: with more, no other witness is asked for."""

MOST_WITNESS_BYTES = 32 * 1024 * 1024
"""Bytes of entries on their way during a trial: what is refused may be followed by more of its kind, but not for ever."""

WITNESS_BYTES = 4096
"""Most bytes of entries in a chunk that is read during a trial; a line may have more."""

MOST_LOOSE = 100
"""Messages without acks that are kept during a trial; of more, the oldest are dropped."""


@dataclass(frozen=True, slots=True)
class Refusal(Generic[ServerT]):
    """
    What is refused by every server.

    Attributes:
        chunk: It has one entry.
        reasons: What each server did; an empty text for one that is out of order.
    """

    chunk: Chunk
    reasons: list[tuple[ServerT, str]]


class Dispatch(Generic[ServerT]):
    """
    Args:
        encoder: Cuts chunks.
        servers: All that are configured.
        can_refuse: Whether servers acknowledge; without that nothing is ever refused.

    Attributes:
        in_flight: What is on its way.
    """

    def __init__(self, encoder: ChunkEncoder, servers: Sequence[ServerT], *, can_refuse: bool) -> None:
        self.in_flight = InFlight()
        self._encoder, self._servers, self._can_refuse = encoder, servers, can_refuse
        self._sizes = Sizes()
        self._outages: Outages[ServerT] = Outages()
        self._trial: Trial[ServerT] | None = None
        self._witness: Chunk | None = None  # the one that this connection began with
        self._is_witnessed = False  # and it was acknowledged
        self._is_behind = False  # the witness was sent behind the record, not before it
        self._doubts: dict[str, int] = {}  # how often chunks on their way failed as witnesses
        self._suspect = ""  # id of the suspected chunk that goes alone on this connection
        self._behind = ""  # id of the witness that went behind a record which has been taken

    @property
    def on_trial(self) -> Chunk | None:
        """The chunk that is on trial."""
        return self.in_flight.head if self._trial is not None else None

    @property
    def has_witness(self) -> bool:
        """Whether the connection in use began with a witness."""
        return self._witness is not None

    def wants_chunk(self, most: int) -> bool:
        """Whether another chunk can go, of at most *most* on their way; on trial, whether there is no good witness."""
        if self._trial is None:
            return not self._suspect and len(self.in_flight) < (1 if self._sizes.is_trying else most)
        candidates = self._candidates()
        return (
            all(map(self._doubt, candidates))
            and self.in_flight.acknowledged_early + len(candidates) < MOST_WITNESSES
            and sum(one.entries_size for one in candidates) < MOST_WITNESS_BYTES
        )

    @property
    def size_limit(self) -> float:
        """Bytes of entries, above which servers take no chunk."""
        return self._sizes.limit

    @property
    def most_bytes(self) -> float:
        """How many bytes of entries the next chunk should have at most."""
        return self._sizes.limit if self._trial is None else WITNESS_BYTES

    def try_larger(self) -> None:
        """What servers do not take may have changed."""
        self._sizes.try_larger()

    def skips(self, server: ServerT, now: float) -> bool:
        """Whether a connection to *server* would tell nothing new."""
        return self._trial is not None and self._trial.is_settled(server, now)

    # -- what happens to a connection -------------------------------------------------------------------

    def connected(self, server: ServerT, now: float) -> list[Chunk]:
        """A new connection is established; returns what it begins with."""
        self._witness, self._is_witnessed, self._is_behind, self._behind = None, False, False, ""
        head = self.in_flight.head
        if self._trial is None or head is None:
            return self._next()
        if not self._trial.wants_witness(server, now) or not self._candidates():
            return [head]
        self._witness = self._next_witness()
        self._is_behind = self._trial.is_silent(server)
        return [head, self._witness] if self._is_behind else [self._witness]

    def added(self, chunk: Chunk) -> list[Chunk]:
        """*chunk* is the newest; returns it if it goes at once."""
        self.in_flight.add(chunk)
        if self._trial is not None or self._suspect:
            return []
        return self._next() if len(self.in_flight) == 1 else [chunk]

    def acknowledged(self, server: ServerT, ids: Iterable[str]) -> list[Chunk]:
        """*server* has taken the chunks *ids*; returns what it is sent next, on the same connection."""
        ids = list(ids)
        self._outages.works(server)
        if self._sizes.is_learning:
            for chunk in filter(None, map(self.in_flight.find, ids)):
                self._sizes.taken(chunk.entries_size)
        self.in_flight.acknowledge(ids)
        trial, head = self._trial, self.in_flight.head
        if trial is None:
            return self._next() if self._suspect and (head is None or head.id != self._suspect) else []
        if head is None or head.id != trial.record:
            self._behind = self._witness.id if self._witness is not None and self._is_behind else ""
            self._close()
            return self._next()
        if self._witness is None or self._witness.id not in ids:
            return []
        self._is_witnessed = True
        return [] if self._is_behind else [head]

    def _next(self) -> list[Chunk]:
        """Return what can go on a connection on which nothing is on its way, but for a witness."""
        if self._sizes.is_learning:
            self._fit()
        head = self.in_flight.head
        if head is not None and self._can_refuse and self.in_flight.failures(head) >= SPLIT_AFTER - 1:
            self._suspect = head.id
            return [head] if head.id != self._behind else []
        self._suspect = ""
        return [one for one in self.in_flight.unacknowledged() if one.id != self._behind]

    def _fit(self) -> None:
        """Cut what is larger than what servers take, and suspect the oldest chunk if it may be."""
        sizes = self._sizes
        large = [one for one in self.in_flight.unacknowledged() if sizes.is_too_large(one.entries_size)]
        while large:
            chunk = large.pop()
            if chunk.count > 1:
                parts = self.in_flight.cut(chunk, self._encoder)
                large += [one for one in parts if one.entries_size > sizes.limit]
        head = self.in_flight.head
        if head is not None and sizes.is_doubtful(head.entries_size):
            self.in_flight.suspect(head)

    def ended(self, server: ServerT, ending: Ending, now: float) -> Chunk | None:
        """A connection that was established has ended; returns the chunk that is cut because of that, if one is."""
        self._suspect = ""
        if self._trial is None:
            cut = self.in_flight.fail(self._encoder)
            if cut is not None and self._can_refuse:
                self._sizes.refused(cut.entries_size)
            self._open(now)
            return cut
        if self._is_behind and not ending.is_silence:
            # It may be the witness that it does not like.
            self._trial.answered(server, silently=False)
            return None
        if self._witness is not None and not self._is_witnessed:
            self._trial.witness_failed(server)
            self._outages.failed(server, now)
            self._doubts[self._witness.id] = self._doubts.get(self._witness.id, 0) + 1
            return self.in_flight.fail(self._encoder, self._witness)
        if ending.is_answer and (self._is_behind or ending.begun == self._trial.record):
            self._judge(server, ending)
        return None

    def _judge(self, server: ServerT, ending: Ending) -> None:
        """The record was not acknowledged on a connection that *server* ended, or let become overdue."""
        trial = self._trial
        if trial is None:
            return
        if self._witness is None:
            trial.failed_alone(server)
        elif self._is_behind == ending.is_silence:
            trial.refused(server, ending.reason)
        # Else the witness was before the record, and silence may be slowness: next time it goes behind.
        trial.answered(server, silently=ending.is_silence)

    def unreached(self, server: ServerT, now: float) -> None:
        """A connection to *server* could not be established."""
        self._outages.failed(server, now)

    # -- the verdict ------------------------------------------------------------------------------------

    def refusal(self, now: float) -> Refusal[ServerT] | None:
        """Return the record that every server refuses, if there is one; ``give_up`` lets the others go on."""
        head, trial = self.in_flight.head, self._trial
        if head is None or trial is None or not trial.is_refused(now):
            return None
        return Refusal(head, trial.reasons())

    def give_up(self, now: float) -> None:
        """The refused record has been put where nobody loses it. Only between two connections."""
        self.in_flight.give_up()
        self._close()
        self._open(now)

    def _open(self, now: float) -> None:
        """Put the oldest chunk on trial, if it is one record and has failed often enough."""
        head = self.in_flight.head
        if (
            head is None
            or not self._can_refuse
            or head.count != 1
            or self.in_flight.failures(head) < SPLIT_AFTER
        ):
            return
        self._sizes.refused(head.entries_size)
        self.in_flight.make_alone(head)
        self._trial = Trial(head.id, self._servers, self._outages, now)

    def _close(self) -> None:
        self._trial = None
        # What was no good witness is the next record on trial perhaps, and none for the one before it.
        self._doubts = {ident: count for ident, count in self._doubts.items() if self.in_flight.find(ident)}
        self._witness, self._is_witnessed = None, False

    # -- witnesses --------------------------------------------------------------------------------------

    def _candidates(self) -> list[Chunk]:
        """Return the chunks that can be witnesses, oldest first."""
        if self.in_flight.acknowledged_early >= MOST_WITNESSES:
            return []
        return list(self.in_flight.unacknowledged())[1:]

    def _next_witness(self) -> Chunk:
        """
        Choose the one that failed least, and cut it down to a single record: what is acknowledged early should be little.

        At first that is the next line. If that fails as well, what makes servers refuse may be in many lines in a row:
        then the last one of them is the least likely to have it.
        """
        chosen = min(self._candidates(), key=self._doubt)
        if self._doubts:
            doubt = self._doubt(chosen)
            chosen = [one for one in self._candidates() if self._doubt(one) == doubt][-1]
        while len(parts := self.in_flight.cut(chosen, self._encoder)) > 1:
            chosen = parts[-1] if self._doubts else parts[0]
        return self.in_flight.make_alone(chosen)

    def _doubt(self, chunk: Chunk) -> int:
        """How little it is worth as a witness: how often it failed as one; and one more if it may be too large."""
        return self._doubts.get(chunk.id, 0) + self._sizes.is_doubtful(chunk.entries_size)

    # -- messages that nobody acknowledges ----------------------------------------------------------------

    def keep(self, message: bytes) -> None:
        """Keep a message without ack until it can be sent: nothing goes beside a record on trial."""
        self.in_flight.loose.append(message)
        del self.in_flight.loose[:-MOST_LOOSE]

    def take_loose(self) -> list[bytes]:
        """Return the messages without acks that can be sent now."""
        if self._trial is not None:
            return []
        loose, self.in_flight.loose = self.in_flight.loose, []
        return loose
