"""``python -m bench``: measure, print, write JSON."""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from bench.children import BenchError
from bench.content import make_source
from bench.fleet import busy_workers, idle_cost, many_workers
from bench.footprint import backlog_memory
from bench.latency import quiet_latency
from bench.plan import FULL, QUICK, Plan
from bench.report import budgets, tables
from bench.throughput import Case, compare, compare_formats, summary_of_ratios
from fluentlite import __version__
from fluentlite.core import squeeze
from fluentlite.logfile import start_log

ResultT = TypeVar("ResultT")

OUTPUT = Path(__file__).with_name("results") / "latest.json"


def main() -> int:
    """Return 0 unless something is broken; a budget that is missed is a result."""
    arguments = _arguments()
    plan = QUICK if arguments.quick else FULL
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # gigabytes are to be removed
    start_log("-", "warning")
    gc.freeze()  # every process is forked from this one; collections must not copy its pages
    try:
        with tempfile.TemporaryDirectory(prefix="fluentlite-bench-", dir=arguments.directory) as name:
            _check_space(name, plan)
            results = measure(plan, Path(name))
    except BenchError as exc:
        print(f"bench: broken: {exc}", file=sys.stderr)
        return 1
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(results, indent=2) + "\n")
    print(tables(results))
    print(f"\n{results['seconds']:.0f} s; all figures are in {arguments.output}")
    return 0


def measure(plan: Plan, directory: Path) -> dict[str, Any]:
    """Run everything and return what goes into the JSON."""
    began = time.monotonic()
    results: dict[str, Any] = {
        "fluentlite": __version__,
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "is_quick": plan is QUICK,
        "machine": _machine(),
        "throughput": [*_catching_up(plan, directory), *_live(plan, directory)],
        "formats": _formats(plan, directory),
        "memory": _memory(plan, directory),
        "latency": _in(directory, "quiet log", lambda place: quiet_latency(plan.quiet_lines, place)),
        "idle": _in(
            directory,
            "idle workers",
            lambda place: idle_cost(plan.idle_workers, plan.idle_rest, plan.idle_seconds, place),
        ),
        "many": _in(directory, "many workers", lambda place: many_workers(plan.many_workers, place)),
        "busy": _busy(plan, directory),
    }
    results["budgets"] = budgets(results)
    results["seconds"] = time.monotonic() - began
    return results


def _catching_up(plan: Plan, directory: Path) -> list[dict[str, Any]]:
    return [
        _throughput("catching up", line_bytes, size, None, plan.rounds, directory)
        for line_bytes, size in plan.catch_up.items()
    ]


def _live(plan: Plan, directory: Path) -> list[dict[str, Any]]:
    hurried = [
        _throughput("live, in a hurry", line_bytes, plan.hurried, 0.0, plan.live_rounds, directory)
        for line_bytes in plan.paces
    ]
    paced = [
        _throughput(
            f"live, {pace} lines/s", line_bytes, round(line_bytes * pace * plan.paced_seconds), pace,
            plan.live_rounds, directory,
        )
        for line_bytes, pace in plan.paces.items()
    ]  # fmt: skip
    return hurried + paced


def _throughput(
    scenario: str, line_bytes: int, size: int, pace: float | None, rounds: int, directory: Path
) -> dict[str, Any]:
    def run(place: Path) -> dict[str, Any]:
        source = make_source(place, line_bytes, size)
        result = compare(Case(scenario, source, pace), rounds, place)
        ratio = summary_of_ratios(result.ratios("worker", "control"))
        to_copy = summary_of_ratios(result.ratios("worker", "copy"))
        return {
            "scenario": scenario, "line_bytes": line_bytes, "file_bytes": source.size, "rounds": rounds,
            **result.summary(), "ratio": ratio, "ratio_to_copy": to_copy,
        }  # fmt: skip

    return _in(directory, f"{scenario}, {line_bytes} bytes", run)


def _formats(plan: Plan, directory: Path) -> dict[str, Any]:
    def run(place: Path) -> dict[str, Any]:
        result = compare_formats(make_source(place, 200, plan.format_size), plan.format_rounds, place)
        summary = result.summary()
        for name, figures in summary.items():
            figures["ratio_to_plain"] = summary_of_ratios(result.ratios(name, "plain"))
        return {"line_bytes": 200, "gzip_by": squeeze.NAME, **summary}

    return _in(directory, "formats", run)


def _memory(plan: Plan, directory: Path) -> dict[str, Any]:
    return _in(
        directory,
        "memory",
        lambda place: backlog_memory(make_source(place, 200, plan.backlog), place, plan.rest),
    )


def _busy(plan: Plan, directory: Path) -> dict[str, Any]:
    def run(place: Path) -> dict[str, Any]:
        source = make_source(place, 200, plan.busy_size)
        return busy_workers(source, [1, plan.busy_workers], plan.busy_rounds, place)

    return _in(directory, "busy workers", run)


def _in(directory: Path, name: str, run: Callable[[Path], ResultT]) -> ResultT:
    """Run with a directory that is removed afterwards, and say so on standard error."""
    print(f"bench: {name} ...", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(dir=directory) as place:
        return run(Path(place))


def _machine() -> dict[str, Any]:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.machine(),
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
    }


def _check_space(directory: str, plan: Plan) -> None:
    needed = 2 * max(
        plan.backlog, *plan.catch_up.values(), plan.hurried, (plan.busy_workers + 1) * plan.busy_size
    )
    free = shutil.disk_usage(directory).free
    if free < needed:
        raise BenchError(
            f"{directory}: {free >> 20} MiB are free, {needed >> 20} MiB are needed; "
            "name another place with --directory, or say --quick"
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small files: shows that it works, not how fast")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="the JSON file (default: %(default)s)")
    parser.add_argument("--directory", help="where the logs are written (default: the temporary directory)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
