"""Ways in which fluentlite could be wrong: the sweep must find each, or it finds nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fluentlite.master.control import ControlServer
from fluentlite.worker.main import Worker


def records_early() -> None:
    """A position moves when a chunk is about to be sent."""
    feed = Worker._feed

    def feed_and_record(self: Any, now: float) -> None:
        send = self._sender.send

        def record_and_send(chunk: Any, now: float) -> None:
            self._followed.delivered([chunk.end])
            send(chunk, now)

        self._sender.send = record_and_send
        try:
            feed(self, now)
        finally:
            del self._sender.send

    Worker._feed = feed_and_record  # type: ignore[method-assign]


def records_late() -> None:
    """A position moves only when the worker stops."""
    commit = Worker._commit

    def commit_at_the_end(self: Any) -> None:
        if self._is_stopping:
            commit(self)

    Worker._commit = commit_at_the_end  # type: ignore[method-assign]


def gives_up() -> None:
    """The master ends when it cannot accept a client."""

    def give_up(_self: Any, exc: OSError) -> None:
        raise exc

    ControlServer._pause = give_up  # type: ignore[method-assign]


MUTANTS: dict[str, Callable[[], None]] = {
    "records-early": records_early,
    "records-late": records_late,
    "gives-up": gives_up,
}
