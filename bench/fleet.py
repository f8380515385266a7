"""What many workers of the real daemon cost together."""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bench.children import BenchError
from bench.content import Source, lines_of
from bench.daemon import Daemon
from bench.footprint import Memory
from bench.sinks import forward_sink

STATUS_ROUNDS = 5


def idle_cost(workers: int, rest: float, seconds: float, directory: Path) -> dict[str, float]:
    """
    Let *workers* follow a quiet log each, connected, for *seconds* after a *rest* of so many seconds.

    Returns:
        ``cpu_percent`` of a core for all together, the same for the master, and memory of one on average, in bytes.
    """
    logs = _small_logs(workers, directory)
    with forward_sink(workers) as sink, Daemon(logs, sink.port, directory) as daemon:
        sink.wait_connected()
        _expect_all(workers, sink.result().lines)
        time.sleep(rest)
        status, _ = daemon.status()
        pids, master = [worker["pid"] for worker in status["workers"]], status["master"]["pid"]
        before, began = (_cpu_ns(pids), _cpu_ns([master])), time.monotonic()
        time.sleep(seconds)
        spent, lasted = _cpu_ns(pids) - before[0], time.monotonic() - began
        spent_by_master = _cpu_ns([master]) - before[1]
        memory = [Memory.of(pid) for pid in pids]
    percent = spent / 1e9 / lasted * 100
    return {
        "workers": workers,
        "seconds": lasted,
        "cpu_percent": percent,
        "cpu_percent_of_100": percent * 100 / workers,
        "master_cpu_percent": spent_by_master / 1e9 / lasted * 100,
        **{f"{key}_bytes": sum(getattr(m, key) for m in memory) / workers for key in ("rss", "pss", "uss")},
    }


def many_workers(workers: int, directory: Path) -> dict[str, float]:
    """
    Start a daemon with *workers* logs.

    Returns:
        ``start_seconds`` until ``start`` has returned, ``ready_seconds`` until every worker follows its log and
        its line has been delivered, ``status_seconds`` of the command ``status --json`` (median), ``pss_bytes``
        of master and workers together, ``inotify_instances`` that this user may have.
    """
    logs = _small_logs(workers, directory)
    with forward_sink(workers) as sink:
        began = time.monotonic()
        with Daemon(logs, sink.port, directory) as daemon:
            sink.wait_connected()
            _expect_all(workers, sink.result().lines)
            found = daemon.wait_for(lambda rows: all(row["state"] == "following" for row in rows))
            ready = time.monotonic() - began
            seconds = [daemon.status()[1] for _ in range(STATUS_ROUNDS)]
            master = daemon.status()[0]["master"]["pid"]
            memory = [Memory.of(pid).pss for pid in (master, *(row["pid"] for row in found))]
    return {
        "workers": workers,
        "start_seconds": daemon.start_seconds,
        "ready_seconds": ready,
        "status_seconds": statistics.median(seconds),
        "pss_bytes": sum(memory),
        "master_pss_bytes": memory[0],
        "inotify_instances": int(Path("/proc/sys/fs/inotify/max_user_instances").read_text()),
    }


def busy_workers(source: Source, counts: Sequence[int], rounds: int, directory: Path) -> dict[str, Any]:
    """
    Let as many workers as each of *counts* says catch up, with as many lines together in each case.

    Returns:
        For each count, as text: lines per second and per CPU second of all together, medians of the *rounds*.
    """
    runs: dict[int, list[tuple[float, float]]] = {count: [] for count in counts}
    for _ in range(rounds):
        for count in counts:
            with tempfile.TemporaryDirectory(dir=directory) as place:
                runs[count].append(_catch_up(source, count, max(counts) // count, Path(place)))
    return {
        str(count): {
            "lines_per_second": statistics.median(run[0] for run in found),
            "lines_per_cpu_second": statistics.median(run[1] for run in found),
        }
        for count, found in runs.items()
    }


def _catch_up(source: Source, count: int, times: int, directory: Path) -> tuple[float, float]:
    """Follow *count* logs that have the source's lines so many times each."""
    logs = [directory / f"busy-{number}.log" for number in range(count)]
    for log in logs:
        with log.open("wb") as file:
            for _ in range(times):
                with source.path.open("rb") as lines_file:
                    shutil.copyfileobj(lines_file, file)
    lines = source.lines * count * times
    with forward_sink(lines) as sink, Daemon(logs, sink.port, directory) as daemon:
        sink.wait_connected()
        arrival = sink.result()
        _expect_all(lines, arrival.lines)
        workers = daemon.wait_for(lambda rows: sum(row["lines"] for row in rows) == lines)
        spent = _cpu_ns([worker["pid"] for worker in workers])
    return lines / (arrival.ended - arrival.began), lines / (spent / 1e9)


def _small_logs(count: int, directory: Path) -> list[Path]:
    """Write *count* logs of one line."""
    logs = [directory / f"idle-{number}.log" for number in range(count)]
    for log, line in zip(logs, lines_of(200), strict=False):
        log.write_bytes(line + b"\n")
    return logs


def _expect_all(expected: int, lines: int) -> None:
    if lines != expected:
        raise BenchError(f"{lines} of {expected} lines were delivered")


def _cpu_ns(pids: Iterable[int]) -> int:
    """
    Return the CPU time of all threads of *pids*, in nanoseconds.

    psutil's is in ticks of 10 ms, as long as an idle worker needs for a minute.
    """
    return sum(
        int(path.read_text().split()[0])
        for pid in pids
        for path in Path(f"/proc/{pid}/task").glob("*/schedstat")
    )
