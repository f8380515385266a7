"""What keeps chunks from being delivered, said once for each server and in words that help."""

from __future__ import annotations

import logging
import math

from fluentlite.config.model import Server
from fluentlite.core.forward import Chunk
from fluentlite.core.inflight import SPLIT_AFTER
from fluentlite.report import Condition
from fluentlite.worker.connection import Connection

log = logging.getLogger(__name__)

MUTE_AFTER = 3
"""Overdue acks in a row before a server is said not to acknowledge at all."""


class ServerTroubles:
    """
    The conditions of all servers of one worker.

    Attributes:
        reasons: Why the last connection to each server failed.
    """

    def __init__(self) -> None:
        self.reasons: dict[Server, str] = {}
        self._unreachable: dict[Server, Condition] = {}
        self._mute = Condition(log)
        self._trial, self._renewal = Condition(log, logging.WARNING), Condition(log, logging.WARNING)
        self._overdue: dict[Server, int] = {}
        self._most_bytes = math.inf

    @property
    def messages(self) -> list[str]:
        """All there are, the most important one first."""
        conditions = [self._mute, self._trial, *self._unreachable.values()]
        return [condition.message for condition in conditions if condition.message]

    def failed(self, link: Connection, *, is_needed: bool) -> None:
        """A connection has ended; *is_needed*: there are chunks to send."""
        self.reasons[link.server] = link.error
        if not link.was_established or is_needed or link.is_refused:
            self._with(link.server).raise_(f"{link.error}; lines wait in the log until a server takes them")
        else:
            log.info("%s (idle)", link.error)
        if link.is_overdue and not self._trial.message:
            self._overdue[link.server] = self._overdue.get(link.server, 0) + 1
        if link.is_overdue and self._overdue.get(link.server, 0) >= MUTE_AFTER:
            self._mute.raise_(
                f"{link.server}: it takes chunks but has acknowledged none of the last {MUTE_AFTER}; every repetition "
                "may be stored again there. If it is a server without acks, set require_ack_response = false; "
                "otherwise look at its log: it may be overloaded"
            )

    def not_made(self, server: Server, exc: OSError) -> None:
        """There is no descriptor left for a connection."""
        self.reasons[server] = f"{server}: {exc.strerror}"
        self._with(server).raise_(f"{server}: a connection cannot be made ({exc.strerror}); trying again")

    def works(self, server: Server) -> None:
        """*server* has acknowledged something: whatever is wrong with others hurts nobody now."""
        self._overdue.clear()
        self._mute.clear(f"{server}: it acknowledges again")
        for other, condition in self._unreachable.items():
            if other == server:
                condition.clear(f"{other}: it takes lines again")
            else:
                condition.clear(f"{other}: not needed now, {server} takes the lines")

    @staticmethod
    def cut(chunk: Chunk) -> None:
        """*chunk* goes in parts now; of parts of parts nobody need be warned."""
        log.log(
            logging.INFO if chunk.steps[0].place else logging.WARNING,
            "chunk %s (%d lines, %d bytes) was not acknowledged %d times in a row; sending it in parts",
            chunk.id, chunk.count, chunk.size, SPLIT_AFTER,
        )  # fmt: skip

    def chunks_have(self, most_bytes: float) -> None:
        """Chunks have at most so many bytes of entries from now on."""
        if most_bytes == self._most_bytes:
            return
        self._most_bytes = most_bytes
        if most_bytes < math.inf:
            log.info(
                "chunks are kept to %d bytes of entries, and larger ones sent in parts: they were not acknowledged, and these "
                "are; raise the limit of the server, or lower read_buffer_size", most_bytes,
            )  # fmt: skip
        else:
            log.info("larger chunks are tried again")

    def on_trial(self, chunk: Chunk) -> None:
        """*chunk* is one record, and goes alone now."""
        self._trial.raise_(
            f"one record (chunk {chunk.id}, {chunk.size} bytes) was not acknowledged {SPLIT_AFTER} times in a row; it is "
            "tried alone now, to see whether servers refuse it or are out of order: lines wait behind it until a server "
            "takes it, or it is put into dead-letters"
        )

    def trial_over(self) -> None:
        """No record is on trial any more."""
        self._trial.clear("the record that was tried alone holds up nothing any more")

    def not_renewed(self, candidate: Connection, server: Server) -> None:
        """The connection that was to follow that to *server* has failed."""
        self._renewal.raise_(f"{candidate.error}; staying with {server}")

    def renewed(self, server: Server) -> None:
        """*server* has the new connection."""
        self._renewal.clear(f"{server}: connected anew")

    def _with(self, server: Server) -> Condition:
        return self._unreachable.setdefault(server, Condition(log))
