"""What a worker takes while it does much, and while it does nothing."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from bench.children import BenchError, Child
from bench.content import Source, lines_of
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


def idle_cost(workers: int, rest: float, seconds: float, directory: Path) -> dict[str, float]:
    """
    Let *workers* follow a quiet log each, connected, for *seconds* after a *rest* of so many seconds.

    Returns:
        ``cpu_percent`` of a core for all together, and memory of one on average, in bytes.
    """
    paths = [directory / f"idle-{number}.log" for number in range(workers)]
    for path, line in zip(paths, lines_of(200), strict=False):
        path.write_bytes(line + b"\n")
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(forward_sink(workers))
        children = [stack.enter_context(_worker(path, sink.port, directory)) for path in paths]
        sink.wait_connected()
        if sink.result().lines != workers:
            raise BenchError("not every idle worker has delivered its line")
        time.sleep(rest)
        before, began = _cpu_ns(children), time.monotonic()
        time.sleep(seconds)
        spent, lasted = _cpu_ns(children) - before, time.monotonic() - began
        memory = [Memory.of(child.pid) for child in children]
        for child in children:
            child.stop()
    return {
        "workers": workers,
        "seconds": lasted,
        "cpu_percent": spent / 1e9 / lasted * 100,
        "cpu_percent_of_100": spent / 1e9 / lasted * 100 * 100 / workers,
        **{f"{key}_bytes": sum(getattr(m, key) for m in memory) / workers for key in ("rss", "pss", "uss")},
    }


def _worker(path: Path, port: int, directory: Path) -> Child:
    return Child("the worker", lambda _tell: work(path, port, directory / "state", {}))


def _cpu_ns(children: Iterable[Child]) -> int:
    """
    Return the CPU time of all threads of all *children*, in nanoseconds.

    psutil's is in ticks of 10 ms, as long as an idle worker needs for a minute.
    """
    return sum(
        int(path.read_text().split()[0])
        for child in children
        for path in Path(f"/proc/{child.pid}/task").glob("*/schedstat")
    )
