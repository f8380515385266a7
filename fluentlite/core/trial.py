"""
Whether a record is refused by every server, or only waits for one: decided strictly, for what is refused is not sent.

A record (a chunk that cannot be cut any more) is on trial when it is the oldest one and has failed again and again.
From then on nothing goes with it: it is *alone* on its connections. A **refusal** by a server is: on one connection
the server acknowledged a *witness*, a later line of the same log, and the record, sent alone directly after that, made
it close the connection. Or, where it says nothing: the witness was sent directly *behind* the record and acknowledged,
and the record was not, in time; a server that is only slow acknowledges what came first before what came later. So a
server that acknowledges nothing, or late, for whatever reason and however long, refuses nothing.

Witnesses overtake the record, so they are asked for rarely: the record is tried first and alone ``ALONE_TRIES``
times, then one witness is sent; if that is not acknowledged either, nothing is wrong with the record, and it is tried
alone twice as often before the next one.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

ALONE_TRIES = 3
"""Failures of the record, alone, on connections of one server before a witness is asked for."""

MOST_ALONE_TRIES = 48
"""The most, after witnesses that were not acknowledged."""

REFUSALS = 3
"""Times that a server must refuse a record."""

UNREACHED_LIMIT = 600.0
"""Seconds for which a server must have been out of order not to be waited for, when another one has refused."""

ServerT = TypeVar("ServerT", bound=Hashable)


class Outages(Generic[ServerT]):
    """Since when servers are out of order: not reached, or not acknowledging what others acknowledge."""

    def __init__(self) -> None:
        self._seen: dict[ServerT, tuple[float, float]] = {}  # when it was first, and last, seen to be

    def failed(self, server: ServerT, now: float) -> None:
        """It could not be reached, or did not acknowledge a witness."""
        first, last = self._seen.get(server, (now, now))
        # What it was between two tries that are so far apart, nobody knows.
        self._seen[server] = (first if now - last <= UNREACHED_LIMIT else now, now)

    def works(self, server: ServerT) -> None:
        """It has acknowledged something."""
        self._seen.pop(server, None)

    def is_lasting(self, server: ServerT, began: float, now: float) -> bool:
        """Tell whether it has been out of order for long, and was tried in vain since *began*."""
        first, last = self._seen.get(server, (now, now))
        return server in self._seen and last >= began and now - first >= UNREACHED_LIMIT >= now - last


@dataclass(slots=True)
class _Judge:
    """What one server has said so far."""

    alone_tries: int = ALONE_TRIES
    """How often the record is tried alone before the next witness."""
    alone_left: int = ALONE_TRIES
    refusals: int = 0
    reason: str = ""
    is_silent: bool = False
    """What it does not take it does not acknowledge, rather than to close the connection."""


@dataclass(slots=True)
class Trial(Generic[ServerT]):
    """
    The trial of one record.

    Args:
        record: The id of its chunk.
        servers: All that are configured, primaries and secondaries.
        outages: Of these servers; they last longer than a trial.
        began: Monotonic seconds.
    """

    record: str
    servers: Sequence[ServerT]
    outages: Outages[ServerT]
    began: float
    _judges: dict[ServerT, _Judge] = field(init=False)

    def __post_init__(self) -> None:
        self._judges = {server: _Judge() for server in self.servers}

    def wants_witness(self, server: ServerT, now: float) -> bool:
        """Whether a connection to *server* begins with a witness; otherwise with the record."""
        judge = self._judges[server]
        return judge.alone_left <= 0 and judge.refusals < REFUSALS and not self.is_refused(now)

    def is_settled(self, server: ServerT, now: float) -> bool:
        """Whether *server* need not be asked again before the others have been."""
        return self._judges[server].refusals >= REFUSALS and not self.is_refused(now)

    def is_silent(self, server: ServerT) -> bool:
        """Whether *server* left the record without an ack when it was tried last, rather than to close the connection."""
        return self._judges[server].is_silent

    def answered(self, server: ServerT, *, silently: bool) -> None:
        """How *server* refuses the record, if it does: by silence, or by closing the connection."""
        self._judges[server].is_silent = silently

    def failed_alone(self, server: ServerT) -> None:
        """The record, alone and first on its connection, made *server* close it, or got no ack."""
        self._judges[server].alone_left -= 1

    def refused(self, server: ServerT, reason: str) -> None:
        """The same behind a witness that was acknowledged."""
        judge = self._judges[server]
        judge.refusals += 1
        judge.reason = reason

    def witness_failed(self, server: ServerT) -> None:
        """The witness was not acknowledged: an outage."""
        judge = self._judges[server]
        judge.alone_tries = min(judge.alone_tries * 2, MOST_ALONE_TRIES)
        judge.alone_left = judge.alone_tries

    def is_refused(self, now: float) -> bool:
        """The verdict: every server has refused it ``REFUSALS`` times, but for those out of order; at least one has."""
        willing = [server for server, judge in self._judges.items() if judge.refusals < REFUSALS]
        return len(willing) < len(self._judges) and all(
            self.outages.is_lasting(server, self.began, now) for server in willing
        )

    def reasons(self) -> list[tuple[ServerT, str]]:
        """Return what each server had against the record; nothing of one that is out of order."""
        return [(server, judge.reason) for server, judge in self._judges.items()]
