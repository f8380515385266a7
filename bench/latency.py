"""How long a quiet log's line takes from ``write()`` to a server on the same host."""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Sequence
from pathlib import Path

from bench.children import BenchError, Child, Tell
from bench.loops import follow_bare, work
from bench.sinks import Sink, stamp_sink

PAUSES = (0.005, 0.030)
"""Seconds between two lines: at random between these."""

STAMP_SIZE = 64
"""Bytes of a line with its newline."""


def quiet_latency(lines: int, directory: Path) -> dict[str, dict[str, float]]:
    """
    Write *lines* single lines, some milliseconds apart, and note when each arrives.

    Returns:
        Milliseconds, for the worker and for a bare loop (inotify, read, send) after it.

    Raises:
        BenchError: A line is missing, or came twice.
    """
    return {subject: _summary(_latencies(subject, lines, directory)) for subject in ("worker", "control")}


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest of *values* that is not less than *percent* % of them."""
    return sorted(values)[max(1, math.ceil(len(values) * percent / 100)) - 1]


def _latencies(subject: str, lines: int, directory: Path) -> list[float]:
    path = directory / f"quiet-{subject}.log"
    path.touch()
    with stamp_sink(lines, as_forward=subject == "worker") as sink, _follower(subject, path, sink, lines) as follower:  # fmt: skip
        sink.wait_connected()
        with Child("the quiet writer", lambda tell: _write_slowly(path, lines, tell)) as writer:
            latencies = sink.latencies()
            writer.wait()
        if subject == "worker":
            follower.stop()
        else:
            follower.wait()
    if len(latencies) != lines:
        raise BenchError(f"{path}: {len(latencies)} lines were delivered, {lines} were written")
    return latencies


def _follower(subject: str, path: Path, sink: Sink, lines: int) -> Child:
    if subject == "worker":
        return Child("the worker", lambda _tell: work(path, sink.port, path.parent / "state", {}))
    return Child("the bare follower", lambda _tell: follow_bare(path, sink.port, lines * STAMP_SIZE))


def _write_slowly(path: Path, lines: int, _tell: Tell) -> None:
    rng = random.Random(lines)
    fd = os.open(path, os.O_WRONLY | os.O_APPEND)
    for _ in range(lines):
        time.sleep(rng.uniform(*PAUSES))
        os.write(fd, (b"%d a quiet line" % time.monotonic_ns()).ljust(STAMP_SIZE - 1, b".") + b"\n")


def _summary(latencies: list[float]) -> dict[str, float]:
    return {
        "lines": len(latencies),
        "p50_ms": percentile(latencies, 50),
        "p99_ms": percentile(latencies, 99),
        "max_ms": max(latencies),
    }
