"""What the master says of itself and of its workers, as typed objects: the answer to ``status``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from fluentlite.errors import RemoteProtocolError

MOST = 1 << 64
"""The largest number that is believed, in either direction."""

LONGEST_TEXT = 8192
"""Characters of a text that are kept: a path has up to 4,096."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class MasterStatus:
    """The master. *started_at* is in ISO 8601, *uptime* in seconds."""

    pid: int = 0
    version: str = ""
    config: str = ""
    started_at: str = ""
    uptime: float = 0.0
    reload_error: str = ""
    """Why the last reload changed nothing, one problem a line; empty if it succeeded."""


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """
    One log and its worker. Counts are of all its workers since the master's start; sizes in bytes, times in seconds,
    ``cpu_percent`` of one core.
    """

    tag: str = ""
    path: str = ""
    pid: int = 0
    """0 while there is no worker."""
    state: str = ""
    """``starting``, ``following``, ``catching_up``, ``waiting_for_file``, ``connecting``, ``stopping``, ``restarting``."""
    server: str = ""
    """Whom it is connected to, or empty."""
    lines: int = 0
    bytes: int = 0
    chunks: int = 0
    lines_per_second: float = 0.0
    lag_bytes: int = 0
    unacked_chunks: int = 0
    oldest_unacked_seconds: float = 0.0
    position: int = 0
    restarts: int = 0
    reconnects: int = 0
    resent_chunks: int = 0
    cpu_percent: float = 0.0
    rss_bytes: int = 0
    uptime: float = 0.0
    """Of the living worker."""
    last_error: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One answer."""

    master: MasterStatus
    workers: tuple[WorkerStatus, ...]


def read_snapshot(answer: Mapping[str, Any]) -> Snapshot:
    """
    Read the master's answer. It may be of another version: what is missing or of another type has its default,
    what is unknown is left out.

    Raises:
        RemoteProtocolError: It is no status at all.
    """
    master, workers = _parts(answer)
    return Snapshot(_object(MasterStatus, master), tuple(_object(WorkerStatus, worker) for worker in workers))


def documented(answer: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return *answer* with exactly the documented keys, in their order; a value that is not in it is None.

    Raises:
        RemoteProtocolError: It is no status at all.
    """
    master, workers = _parts(answer)
    return {
        "master": {name: master.get(name) for name in _names(MasterStatus)},
        "workers": [{name: worker.get(name) for name in _names(WorkerStatus)} for worker in workers],
    }


def _parts(answer: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[Mapping[str, Any]]]:
    master, workers = answer.get("master"), answer.get("workers")
    if (
        isinstance(master, dict)
        and isinstance(workers, list)
        and all(isinstance(item, dict) for item in workers)
    ):
        return master, workers
    problems = answer.get("problems")
    if isinstance(problems, list) and problems:
        raise RemoteProtocolError(
            "the master refused to answer: " + " ".join(map(str, problems))[:LONGEST_TEXT]
        )
    raise RemoteProtocolError(
        'the master\'s answer is no status: it is of another version than this command. Say "fluentlite restart".'
    )


def _names(kind: type[_T]) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]


def _object(kind: type[_T], values: Mapping[str, Any]) -> _T:
    return kind(
        **{
            field.name: _fitting(values.get(field.name), field.default)
            for field in dataclasses.fields(kind)  # type: ignore[arg-type]
        }
    )


def _fitting(value: object, default: object) -> object:
    if isinstance(default, str):
        if isinstance(value, list):
            return "\n".join(item for item in value if isinstance(item, str))[:LONGEST_TEXT]
        return value[:LONGEST_TEXT] if isinstance(value, str) else default
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    # Also false for NaN. What is shown and calculated with must have the size of a number that was counted.
    return value if is_number and -MOST <= value <= MOST else default  # type: ignore[operator]
