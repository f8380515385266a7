"""
Which workers are not well, what is wrong with them, and what to do: the one place that decides.

A worker is not well when

* it is restarting: nobody reads its log;
* it reports an error (``last_error``), of its own or one that the master puts there: no sign of life, a worker
  that died;
* it has had no connection for ``CONNECTING_LIMIT`` seconds;
* it has been starting for ``STARTING_LIMIT`` seconds;
* a chunk has waited for its ack for ``UNACKED_LIMIT`` seconds;
* there is no file at its path that it can read;
* records that every server refused lie in files;
* it catches up while its lag grows. One look cannot see that: ``--watch`` does.

Catching up alone is well, and so are stopping and a following worker without lines.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from fluentlite.core import human
from fluentlite.core.letter import is_lying
from fluentlite.core.snapshot import WorkerStatus

CONNECTING_LIMIT = 10.0
"""Seconds: two servers of a list may time out (``connect_timeout``) before that means something."""

STARTING_LIMIT = 30.0
"""Seconds: finding a lost position in a large directory takes some."""

UNACKED_LIMIT = 30.0
"""Seconds: a healthy server acknowledges within one; after ``ack_response_timeout`` it is given up."""

FALLING_BEHIND = 4096.0
"""Bytes a second by which a lag must grow to mean something."""


_UNREACHED = ("refused; lines", "no answer", "No route", "unreachable", "resolved", "no server has accepted")
"""Words by which a worker says that it has not reached a server; of those that it has, it says what to do."""

_MEND_CONNECTION = 'mend that, there or here; it is tried again by itself. "fluentlite check --connect" tells at once whether it works.'


class Cause(enum.IntEnum):
    """Why a worker is not well, the worst first."""

    RESTARTING = enum.auto()
    STARTING = enum.auto()
    CONNECTING = enum.auto()
    UNACKED = enum.auto()
    ERROR = enum.auto()
    WAITING_FOR_FILE = enum.auto()
    DEAD_LETTERS = enum.auto()
    FALLING_BEHIND = enum.auto()


@dataclass(frozen=True, slots=True)
class Trend:
    """
    What several looks at one worker have shown; after a single look nothing of it is known.

    Attributes:
        in_state: Seconds for which it has been in its state at every look, or None.
        lag_change: Bytes a second by which its lag grows or, negative, shrinks, or None.
        most_lag: The largest lag, in bytes, since it began to catch up.
    """

    in_state: float | None = None
    lag_change: float | None = None
    most_lag: int = 0


UNKNOWN = Trend()


@dataclass(frozen=True, slots=True, order=True)
class Trouble:
    """What is wrong with a worker, and what to do next: sentences."""

    cause: Cause
    wrong: str
    next_step: str


def trouble_of(worker: WorkerStatus, trend: Trend = UNKNOWN) -> Trouble | None:
    """Return what is wrong with *worker*, or None: it is well."""
    cause = _cause(worker, trend)
    if cause is None:
        return None
    is_other = cause is not Cause.DEAD_LETTERS and is_lying(worker.last_error)
    said = "" if is_other else worker.last_error
    has_remedy = cause is Cause.CONNECTING and bool(said) and not any(words in said for words in _UNREACHED)
    next_step = _MEND_CONNECTION if has_remedy else _next_step(cause)
    return Trouble(cause, _sentence(said or _wrong(cause, worker, trend)), next_step)


def _cause(worker: WorkerStatus, trend: Trend) -> Cause | None:
    are_letters = is_lying(worker.last_error)
    has_error = bool(worker.last_error.strip()) and not are_letters
    match worker.state:
        case "restarting":
            return Cause.RESTARTING
        case "connecting" | "waiting_for_file" if has_error:
            # Both may be so at once; what it says it is, is what can be done about.
            is_of_file = worker.last_error.startswith(worker.path)
            return Cause.WAITING_FOR_FILE if is_of_file else Cause.CONNECTING
        case "connecting" if _without_connection(worker, trend) >= CONNECTING_LIMIT:
            return Cause.CONNECTING
        case "waiting_for_file":
            return Cause.WAITING_FOR_FILE
        case "starting" if has_error or worker.uptime >= STARTING_LIMIT:
            return Cause.STARTING
    if has_error:
        return Cause.ERROR
    if worker.oldest_unacked_seconds >= UNACKED_LIMIT:
        return Cause.UNACKED
    if are_letters:
        return Cause.DEAD_LETTERS
    if worker.state == "catching_up" and (trend.lag_change or 0.0) >= FALLING_BEHIND:
        return Cause.FALLING_BEHIND
    return None


def _without_connection(worker: WorkerStatus, trend: Trend) -> float:
    """
    Seconds for which a connecting worker has certainly had no connection.

    A single look may fall into the milliseconds between two connections of a healthy worker. Only one that has
    never had any has certainly been without since its start.
    """
    is_first = worker.chunks == 0 and worker.reconnects == 0
    return max(trend.in_state or 0.0, worker.uptime if is_first else 0.0)


def _wrong(cause: Cause, worker: WorkerStatus, trend: Trend) -> str:
    """What is wrong, for a worker that does not say so itself."""
    match cause:
        case Cause.RESTARTING:
            return (
                f"{worker.path}: its worker has ended and is started again; nobody reads this log meanwhile"
            )
        case Cause.STARTING:
            return f"{worker.path}: its worker has been starting for {human.duration(worker.uptime)}"
        case Cause.CONNECTING:
            seconds = _without_connection(worker, trend)
            return f"no server has accepted a connection for {human.duration(seconds)}; lines wait in the log"
        case Cause.WAITING_FOR_FILE:
            return f"{worker.path}: there is no file that can be read"
        case Cause.UNACKED:
            return (
                f"{worker.server or 'the server'} has not acknowledged a chunk for "
                f"{human.duration(worker.oldest_unacked_seconds)}; lines wait in the log until it does"
            )
    return (
        f"{worker.path}: it grows faster than it is sent, by {human.size(trend.lag_change or 0.0)} a second, and "
        f"{human.size(worker.lag_bytes)} of it wait"
    )


def _next_step(cause: Cause) -> str:
    match cause:
        case Cause.RESTARTING:
            return "it starts again by itself and loses no line. If it keeps ending, fluentlite's own log (log_file) says why."
        case Cause.STARTING:
            return "see that no other agent follows this log, and that the disk of state_dir answers."
        case Cause.CONNECTING:
            return "see that a Forward server runs there and that its port can be reached from here; it is tried again by itself."
        case Cause.WAITING_FOR_FILE:
            return (
                "once it is there and readable, it is followed by itself. If the path is wrong, correct it in the "
                'configuration and say "fluentlite reload".'
            )
        case Cause.UNACKED:
            return "look at that server's own log, disk and buffers: it takes lines, but does not say that they are stored."
        case Cause.DEAD_LETTERS:
            return (
                "mend what the servers do not like, or their limits, and replay them; the log itself goes on."
            )
        case Cause.ERROR:
            return "mend that; it goes on by itself. fluentlite's own log (log_file) has the history."
    return (
        "look at the server and the network to it: they take less than is written. CPU near 100% would mean that this "
        "worker is the limit: split the log."
    )


def _sentence(text: str) -> str:
    """*text* as one: it may be the master's or a worker's, who write it as a part of a line of their log."""
    text = text.strip()
    return text if text.endswith((".", "!", "?")) else f"{text}."
