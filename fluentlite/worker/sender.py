"""
Delivering chunks: which server, when to try again, what has been acknowledged.

Chunks are delivered in order: those acknowledged early wait for the ones before them. After any surprise all
that is unacknowledged goes again, same ids, same bytes, to the next server.
"""

from __future__ import annotations

import contextlib
import logging
import random

from fluentlite.config.model import ForwardSettings, Server
from fluentlite.core.forward import Chunk, ChunkEncoder
from fluentlite.core.inflight import SPLIT_AFTER, InFlight
from fluentlite.core.renewal import Renewal
from fluentlite.core.retry import Backoff
from fluentlite.core.servers import ServerChoice
from fluentlite.loop import Loop
from fluentlite.report import Condition
from fluentlite.worker.connection import Connection

log = logging.getLogger(__name__)

MUTE_AFTER = 3
"""Overdue acks in a row before a server is said not to acknowledge at all."""

HEALTHY_LIFE = 10.0
"""Seconds after which a connection that just ends is no sign of a sick server."""


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
        self._settings, self._encoder, self._loop = settings, encoder, loop
        self._choice: ServerChoice[Server] = ServerChoice(settings.primary, settings.secondary, rng)
        self._backoff = Backoff(settings.reconnect_wait_max, settings.reconnect_wait_incr_rate, rng)
        self.in_flight = InFlight()
        self._link: Connection | None = None
        self._next_link: Connection | None = None
        self._candidates: list[Server] = []
        self._retry_at = 0.0
        self._renewal = Renewal(settings.keepalive_timeout, settings.failback_interval, rng)
        self._overdue = 0
        self._is_announced = False
        self._unreachable: dict[Server, Condition] = {}
        self._mute = Condition(log)
        self.connects = 0

    # -- what the worker uses ---------------------------------------------------------------------------

    @property
    def server(self) -> Server | None:
        return self._link.server if self._link is not None and self._is_announced else None

    @property
    def trouble(self) -> str:
        """Why nothing can be sent, or an empty string."""
        return next(filter(None, [self._mute.message, *(c.message for c in self._unreachable.values())]), "")

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
        return self.is_connected and not is_leaving and len(self.in_flight) < self._settings.max_in_flight

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
        self.in_flight.add(chunk)
        self._transmit(chunk, now)

    def send_message(self, message: bytes) -> bool:
        """Send something that needs no ack, if a connection is there to take it."""
        if self._link is None or not self._link.is_established:
            return False
        self._link.send_message(message)
        return True

    def reconnect(self, now: float) -> None:
        """Go back to a primary, or connect at once if there is no connection (HUP)."""
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
                self._collect(link)
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
        if server is None:
            wait = self._backoff.next_wait()
            self._retry_at = now + wait
            self._choice.start_round()
            log.debug("trying again in %.1f s", wait)
            return
        try:
            self._link = Connection(server, self._settings, self._loop)
        except OSError as exc:  # no descriptor left
            self._retry_at = now + self._backoff.next_wait()
            self._trouble_with(server).raise_(
                f"{server}: a connection cannot be made ({exc.strerror}); trying again"
            )

    def _established(self, link: Connection, now: float) -> None:
        self._is_announced = True
        self.connects += 1
        is_primary = self._choice.is_primary(link.server)
        log.info("connected to %s %s", "primary" if is_primary else "secondary", link.server)
        self._renewal.established(link.established_at, is_primary=is_primary)
        for chunk in list(self.in_flight.unacknowledged()):
            self._transmit(chunk, now)

    def _transmit(self, chunk: Chunk, now: float) -> None:
        if self._link is None or self._link.is_closed:  # it ended under a chunk before this one
            return
        if self.in_flight.note_sent(chunk, now):
            log.info("sending chunk %s again (%d lines)", chunk.id, chunk.count)
        self._link.send_chunk(chunk)

    def _link_failed(self, link: Connection, now: float) -> None:
        self._link, self._is_announced = None, False
        is_idle = not self.in_flight and now - link.established_at >= HEALTHY_LIFE
        is_useless = link.was_established and not link.acks and not is_idle
        self._renewal.ended(is_useless_primary=is_useless and self._choice.is_primary(link.server))
        self._report_failure(link)
        if link.was_established:
            self._count_failure()
        if self._next_link is not None:  # one was being prepared: it takes over
            self._link, self._next_link = self._next_link, None
        elif link.acks or is_idle:
            self._choice.start_round(avoid=link.server, is_stuck=link.is_stuck)
        # Otherwise the next one of this round, if there is one: a connection alone is no sign of health.
        self._retry_at = now

    def _report_failure(self, link: Connection) -> None:
        if not link.was_established or self.in_flight or link.is_refused:
            self._trouble_with(link.server).raise_(
                f"{link.error}; lines wait in the log until a server takes them"
            )
        else:
            log.info("%s (idle)", link.error)
        self._overdue += link.is_overdue
        if self._overdue >= MUTE_AFTER:
            self._mute.raise_(
                f"{link.server}: it takes chunks but has acknowledged none of the last {MUTE_AFTER}; every repetition "
                "may be stored again there. If it is a server without acks, set require_ack_response = false; "
                "otherwise look at its log: it may be overloaded"
            )

    def _trouble_with(self, server: Server) -> Condition:
        return self._unreachable.setdefault(server, Condition(log))

    def _count_failure(self) -> None:
        chunk = self.in_flight.fail(self._encoder)
        if chunk is not None:
            log.warning(
                "chunk %s (%d lines, %d bytes) was not acknowledged %d times in a row; sending it in two parts",
                chunk.id, chunk.count, chunk.size, SPLIT_AFTER,
            )  # fmt: skip

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
            log.info("%s; staying with %s", candidate.error, link.server)
            self._try_candidate()
            if self._next_link is None:
                self._renewal.put_off(now)
        elif candidate.is_established and not (self.in_flight and link.is_established):
            # No ack can come on the other one: nothing is sent twice by changing over now.
            link.close()
            self._link, self._next_link, self._is_announced = candidate, None, False
            # Should it turn out to be useless, the others are next.
            self._choice.start_round(avoid=candidate.server, is_stuck=True)

    def _reachable_again(self, link: Connection) -> None:
        """Lines are delivered: whatever is wrong with other servers hurts nobody now."""
        for server, condition in self._unreachable.items():
            if server == link.server:
                condition.clear(f"{server}: it takes lines again")
            else:
                condition.clear(f"{server}: not needed now, {link.server} takes the lines")

    # -- acks -------------------------------------------------------------------------------------------

    def _collect(self, link: Connection) -> None:
        acked = link.take_delivered()
        if not acked:
            return
        self.in_flight.acknowledge(acked)
        if self._choice.is_primary(link.server):
            self._renewal.primary_works()
        self._backoff.reset()
        self._overdue = 0
        self._mute.clear(f"{link.server}: it acknowledges again")
        if self._unreachable:
            self._reachable_again(link)
