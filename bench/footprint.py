"""What a worker takes while it does much."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from bench.children import Child
from bench.content import Source
from bench.loops import work
from bench.sinks import forward_sink
from bench.throughput import check_delivery

SAMPLE_INTERVAL = 0.02
SETTLE = 1.0
"""Seconds after which a worker that has had nothing to do yet counts as idle."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes, as psutil has them: *pss* counts shared pages in shares, *uss* not at all."""

    rss: int
    pss: int
    uss: int

    @classmethod
    def of(cls, pid: int) -> Memory:
        info = psutil.Process(pid).memory_full_info()
        return cls(info.rss, info.pss, info.uss)

    def above(self, other: Memory) -> Memory:
        return Memory(self.rss - other.rss, self.pss - other.pss, self.uss - other.uss)

    def highest(self, other: Memory) -> Memory:
        return Memory(max(self.rss, other.rss), max(self.pss, other.pss), max(self.uss, other.uss))


def backlog_memory(source: Source, directory: Path, rest: float) -> dict[str, object]:
    """
    Give an idle worker a log with a backlog, and watch.

    Args:
        rest: Seconds of idleness after it, until memory should have been given back.

    Returns:
        Bytes: ``idle``, ``peak_above_idle`` (rss exactly, the others sampled) and ``after_above_idle``.
    """
    path = directory / "backlog.log"
    with forward_sink(source.lines) as sink, _worker(path, sink.port, directory) as worker:
        sink.wait_connected()
        time.sleep(SETTLE)
        idle = peak = Memory.of(worker.pid)
        path.hardlink_to(source.path)
        while not sink.has_result(SAMPLE_INTERVAL):
            peak = peak.highest(Memory.of(worker.pid))
        arrival = sink.result()
        time.sleep(rest)
        after = Memory.of(worker.pid)
        usage = worker.stop()
        check_delivery(source, sink.result(), directory / "state", path)
    return {
        "backlog_bytes": source.size,
        "lines": arrival.lines,
        "idle": asdict(idle),
        "peak_above_idle": asdict(peak.highest(Memory(usage.peak_rss, 0, 0)).above(idle)),
        "after_above_idle": asdict(after.above(idle)),
    }


def _worker(path: Path, port: int, directory: Path) -> Child:
    return Child("the worker", lambda _tell: work(path, port, directory / "state", {}))
