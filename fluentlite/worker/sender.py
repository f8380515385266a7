"""
Delivering chunks: which server, when to try again, what has been acknowledged.

Chunks are delivered in order: those acknowledged early wait for the ones before them. After any surprise all
that is unacknowledged goes again, same ids, same bytes, to the next server.
"""

from __future__ import annotations

import contextlib
import logging
import random
import time
from collections.abc import Iterable

from fluentlite.config.model import ForwardSettings, Server
from fluentlite.core.dispatch import Dispatch, Refusal
from fluentlite.core.ending import Ending
from fluentlite.core.forward import Chunk, ChunkEncoder
from fluentlite.core.renewal import Renewal
from fluentlite.core.retry import Backoff
from fluentlite.core.servers import ServerChoice
from fluentlite.loop import Loop
from fluentlite.worker.connection import Connection
from fluentlite.worker.server_troubles import ServerTroubles

log = logging.getLogger(__name__)

HEALTHY_LIFE = 10.0
"""Seconds after which a connection that just ends is no sign of a sick server."""

TRIAL_WAIT = 5.0
"""Longest wait in seconds between two rounds while a record is on trial, whatever is configured: all others wait for that."""


class Sender:
    """
    Args:
        settings: Of the log.
        encoder: Cuts chunks that are refused again and again.
        loop: Watches the sockets.
        rng: Made after the fork.

    Attributes:
        server: Whom we are connected to, or None.
        connects: Connections made so far.
        in_flight: What is on its way.
    """

    def __init__(
        self, settings: ForwardSettings, encoder: ChunkEncoder, loop: Loop, rng: random.Random
    ) -> None:
        self._settings, self._loop = settings, loop
        self._choice: ServerChoice[Server] = ServerChoice(settings.primary, settings.secondary, rng)
        self._backoff = Backoff(settings.reconnect_wait_max, settings.reconnect_wait_incr_rate, rng)
        servers = (*settings.primary, *settings.secondary)
        self._dispatch = Dispatch(encoder, servers, can_refuse=settings.require_ack_response)
        self.in_flight = self._dispatch.in_flight
        self._link: Connection | None = None
        self._next_link: Connection | None = None
        self._candidates: list[Server] = []
        self._retry_at = 0.0
        self._renewal = Renewal(settings.keepalive_timeout, settings.failback_interval, rng)
        self._is_announced = False
        self._troubles = ServerTroubles()
        self.connects = 0

    # -- what the worker uses ---------------------------------------------------------------------------

    @property
    def server(self) -> Server | None:
        return self._link.server if self._link is not None and self._is_announced else None

    @property
    def trouble(self) -> str:
        """Why nothing can be sent, or an empty string."""
        return next(iter(self._troubles.messages), "")

    @property
    def failures(self) -> list[str]:
        """Why the last connection to each server failed, where one did; each begins with the server."""
        return list(self._troubles.reasons.values())

    @property
    def has_unsent(self) -> bool:
        """Whether the kernel has not yet taken all that was sent."""
        return self._link is not None and self._link.has_unsent

    @property
    def is_connected(self) -> bool:
        return self._link is not None and self._link.is_established

    @property
    def wants_chunk(self) -> bool:
        """Whether another chunk could be sent now. What cannot be sent is not read."""
        is_leaving = self._next_link is not None and self._next_link.is_established
        return (
            self.is_connected and not is_leaving and self._dispatch.wants_chunk(self._settings.max_in_flight)
        )

    @property
    def most_bytes(self) -> float:
        """How many bytes of entries the next chunk should have at most, from what servers took and what not."""
        return self._dispatch.most_bytes

    @property
    def deadline(self) -> float:
        """When ``advance`` has something to do, in monotonic seconds."""
        links = [link for link in (self._link, self._next_link) if link is not None]
        if any(link.has_news for link in links) or (self.is_connected and not self._is_announced):
            return 0.0
        deadlines = [link.deadline for link in links]
        if self._link is None:
            deadlines.append(self._retry_at)
        elif self._next_link is None:
            deadlines.append(self._renewal.deadline)
        return min(deadlines)

    def send(self, chunk: Chunk, now: float) -> None:
        """Send *chunk*; only when ``wants_chunk``."""
        self._transmit(self._dispatch.added(chunk), now)

    def send_message(self, message: bytes) -> bool:
        """Send something that needs no ack, if a connection is there to take it."""
        if self._link is None or not self._link.is_established:
            return False
        self._dispatch.keep(message)
        self._send_loose()
        return True

    def refusal(self, now: float) -> Refusal[Server] | None:
        """Return the record that every server refuses, if there is one and it is not on its way just now."""
        return None if self.is_connected else self._dispatch.refusal(now)

    def give_up(self, now: float) -> None:
        """What ``refusal`` returned lies in a file: go on without it."""
        self._dispatch.give_up(now)
        self._troubles.trial_over()
        self._choice.start_round()
        self._retry_at = now

    @property
    def is_resting(self) -> bool:
        """Whether every server was tried in vain and the next round has not begun."""
        return self._link is None and self._retry_at > time.monotonic()

    def reconnect(self, now: float) -> None:
        """Go back to a primary, or connect at once if there is no connection (HUP); what servers do not take may have changed."""
        self._dispatch.try_larger()
        if self._link is None:
            self._retry_at = now
            self._choice.start_round()
        elif self._next_link is None:
            self._renew(self._choice.primaries())

    def advance(self, now: float) -> None:
        """Do what is due: collect acks, deal with broken connections, connect, renew."""
        for link in (self._link, self._next_link):
            if link is not None:
                link.check(now)
                self._collect(link, now)
        # Before a renewal, which replaces connections that are well and has nothing to say.
        while self._link is not None and self._link.is_closed:
            self._link_failed(self._link, now)
        if self._next_link is not None:
            self._advance_renewal(now)
        if self._link is not None and self._link.is_established and not self._is_announced:
            self._established(self._link, now)
        if self._link is None and now >= self._retry_at:
            self._connect(now)
        elif self._link is not None and self._next_link is None and now >= self._renewal.deadline:
            self._renew(self._choice.primaries())
            if self._next_link is None:
                self._renewal.put_off(now)

    def close(self) -> None:
        """Close all connections; what the kernel has taken is still sent."""
        for link in (self._link, self._next_link):
            if link is not None:
                link.close()

    # -- connections ------------------------------------------------------------------------------------

    def _connect(self, now: float) -> None:
        server = self._choice.next()
        while server is not None and self._dispatch.skips(server, now):
            server = self._choice.next()
        if server is None:
            wait = self._backoff.next_wait()
            if self._dispatch.on_trial is not None:
                wait = min(wait, TRIAL_WAIT)
            self._retry_at = now + wait
            self._choice.start_round()
            log.debug("trying again in %.1f s", wait)
            return
        try:
            self._link = Connection(server, self._settings, self._loop)
        except OSError as exc:  # no descriptor left
            self._retry_at = now + self._backoff.next_wait()
            self._troubles.not_made(server, exc)

    def _established(self, link: Connection, now: float) -> None:
        self._is_announced = True
        self.connects += 1
        is_primary = self._choice.is_primary(link.server)
        log.info("connected to %s %s", "primary" if is_primary else "secondary", link.server)
        self._renewal.established(link.established_at, is_primary=is_primary)
        self._send_loose()  # first: what comes behind a chunk that the server does not like is lost with it
        chunks = self._dispatch.connected(link.server, now)
        if self._dispatch.has_witness:
            log.info("%s: a later line is sent first, to see whether it is acknowledged", link.server)
        self._transmit(chunks, now)

    def _transmit(self, chunks: Iterable[Chunk], now: float) -> None:
        for chunk in chunks:
            if self._link is None or self._link.is_closed:  # it ended under a chunk before this one
                return
            if self.in_flight.note_sent(chunk, now):
                log.info("sending chunk %s again (%d lines)", chunk.id, chunk.count)
            self._link.send_chunk(chunk)

    def _send_loose(self) -> None:
        link = self._link
        if link is not None and link.is_established:
            for message in self._dispatch.take_loose():
                link.send_message(message)

    def _link_failed(self, link: Connection, now: float) -> None:
        self._link, self._is_announced = None, False
        is_idle = not self.in_flight and now - link.established_at >= HEALTHY_LIFE
        is_useless = link.was_established and not link.acks and not is_idle
        self._renewal.ended(is_useless_primary=is_useless and self._choice.is_primary(link.server))
        self._troubles.failed(link, is_needed=bool(self.in_flight))
        if link.was_established and not link.is_refused:  # a refusal of ours is no fault of the chunk
            self._count_failure(link, now)
        else:
            self._dispatch.unreached(link.server, now)
        if self._next_link is not None:  # one was being prepared: it takes over
            self._link, self._next_link = self._next_link, None
        elif (link.acks or is_idle) and self._dispatch.on_trial is None:
            self._choice.start_round(avoid=link.server, is_stuck=link.is_stuck)
        # Otherwise the next one of this round, if there is one: a connection alone is no sign of health.
        self._retry_at = now

    def _count_failure(self, link: Connection, now: float) -> None:
        before = self._dispatch.on_trial
        ending = Ending(link.begun, link.is_left or link.is_overdue, link.is_overdue, link.error)
        chunk = self._dispatch.ended(link.server, ending, now)
        if chunk is not None:
            self._troubles.cut(chunk)
        suspect = self._dispatch.on_trial
        if suspect is not None and suspect is not before:
            self._troubles.on_trial(suspect)

    # -- renewal: keepalive, failback, HUP --------------------------------------------------------------

    def _renew(self, candidates: list[Server]) -> None:
        """Prepare a connection to the first of *candidates* that can be reached, beside the one in use."""
        self._candidates = candidates
        self._try_candidate()

    def _try_candidate(self) -> None:
        self._next_link = None
        if self._candidates:
            with contextlib.suppress(OSError):  # no descriptor left: put off
                self._next_link = Connection(self._candidates.pop(0), self._settings, self._loop)

    def _advance_renewal(self, now: float) -> None:
        candidate, link = self._next_link, self._link
        if candidate is None or link is None:
            return
        if candidate.is_closed:
            self._troubles.not_renewed(candidate, link.server)
            self._try_candidate()
            if self._next_link is None:
                self._renewal.put_off(now)
        elif candidate.is_established and not (self.in_flight and link.is_established):
            # No ack can come on the other one: nothing is sent twice by changing over now.
            link.close()
            self._troubles.renewed(candidate.server)
            self._link, self._next_link, self._is_announced = candidate, None, False
            # Should it turn out to be useless, the others are next.
            self._choice.start_round(avoid=candidate.server, is_stuck=True)

    # -- acks -------------------------------------------------------------------------------------------

    def _collect(self, link: Connection, now: float) -> None:
        acked = link.take_delivered()
        if not acked:
            return
        self._transmit(self._dispatch.acknowledged(link.server, acked), now)
        if self._dispatch.on_trial is None:
            self._troubles.trial_over()
        self._send_loose()
        if self._choice.is_primary(link.server):
            self._renewal.primary_works()
        self._backoff.reset()
        self._troubles.works(link.server)
        self._troubles.chunks_have(self._dispatch.size_limit)
