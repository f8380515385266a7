"""Results as a table for people; what has a budget is compared with it in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from bench.throughput import FORMATS, SUBJECTS

MIB = 1 << 20


def budgets(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Compare *results* with what fluentlite may cost (docs/DESIGN.md, "What it must cost")."""
    rows = [
        _budget(
            f"catching up, {row['line_bytes']}-byte lines: lines per CPU second, worker/control",
            row["ratio"]["median"], 0.85, "", at_least=True,
        )
        for row in results["throughput"]
        if row["scenario"] == "catching up"
    ]  # fmt: skip
    memory, latency, idle = results["memory"], results["latency"]["worker"], results["idle"]
    many, (one, several) = results["many"], results["busy"].items()
    return [
        *rows,
        _budget("peak memory above idle with a backlog (RSS)", memory["peak_above_idle"]["rss"] / MIB, 32, "MiB"),
        _budget("quiet log, write() to server, 99th percentile", latency["p99_ms"], 5, "ms"),
        _budget("100 idle workers together, of a core", idle["cpu_percent_of_100"], 0.3, "%"),
        _budget("memory of each of them (PSS)", idle["pss_bytes"] / MIB, 3, "MiB"),
        _budget(f"{many['workers']} workers: all of them follow after", many["ready_seconds"], 10, "s"),
        _budget(f"{many['workers']} workers: fluentlite status", many["status_seconds"], 1, "s"),
        _budget(
            f"{several[0]} busy workers against one: lines per second of all",
            several[1]["lines_per_second"] / one[1]["lines_per_second"], 0.95, "", at_least=True,
        ),
    ]  # fmt: skip


def tables(results: dict[str, Any]) -> str:
    """Return all that was measured as text."""
    machine = results["machine"]
    return "\n\n".join(
        [
            f"fluentlite {results['fluentlite']}, Python {machine['python']}, Linux {machine['kernel']}, "
            f"{machine['cpus']} CPUs ({machine['cpu']}), load {machine['load']:.2f}",
            _throughput(results["throughput"]),
            _formats(results["formats"]),
            _memory(results["memory"]),
            _latency(results["latency"]),
            _idle(results["idle"]),
            _many(results["many"]),
            _busy(results["busy"]),
            _verdicts(results["budgets"]),
        ]
    )


def _throughput(rows: Sequence[dict[str, Any]]) -> str:
    head = ["", "bytes", *SUBJECTS, *SUBJECTS, *SUBJECTS, "worker/control", "lag"]
    lines = [
        [
            row["scenario"],
            str(row["line_bytes"]),
            *(f"{row[s]['lines_per_cpu_second'] / 1e6:.3f}" for s in SUBJECTS),
            *(f"{row[s]['lines_per_second'] / 1e6:.3f}" for s in SUBJECTS),
            *(f"{row[s]['peak_rss_bytes'] / MIB:.0f}" for s in SUBJECTS),
            _range(row["ratio"]),
            f"{row['worker']['lag_seconds'] * 1000:.0f} ms" if "lag_seconds" in row["worker"] else "",
        ]
        for row in rows
    ]
    return (
        "Lines of 50, 200 and 2000 bytes, acks and checkpoint on, beside a bare read-split-join-send loop and "
        "plain copying.\nThree times three columns: million lines per CPU second, million lines per second, "
        "peak RSS in MiB; medians.\nworker/control: of the lines per CPU second, median (lowest - highest) over "
        "the rounds. lag: last write to last line at the server.\n" + _aligned([head, *lines])
    )


def _formats(formats: dict[str, Any]) -> str:
    head = ["", "M lines/CPU s", "wire bytes per line", "CPU time, plain = 1"]
    lines = [
        [
            name,
            f"{formats[name]['lines_per_cpu_second'] / 1e6:.3f}",
            f"{formats[name]['wire_bytes'] / formats[name]['lines']:.0f}",
            f"{1 / formats[name]['ratio_to_plain']['median']:.2f}",
        ]
        for name in FORMATS
    ]
    return f"Formats, {formats['line_bytes']}-byte lines, gzip by {formats['gzip_by']}\n" + _aligned(
        [head, *lines]
    )


def _memory(memory: dict[str, Any]) -> str:
    head = ["MiB", "RSS", "PSS", "USS"]
    lines = [
        [label, *(f"{memory[key][kind] / MIB:.1f}" for kind in ("rss", "pss", "uss"))]
        for label, key in (
            ("idle", "idle"),
            ("peak above idle", "peak_above_idle"),
            ("some seconds later, above idle", "after_above_idle"),
        )
    ]
    return f"Memory of a worker with a backlog of {memory['backlog_bytes'] / 1e9:.2f} GB\n" + _aligned([head, *lines])  # fmt: skip


def _latency(latency: dict[str, Any]) -> str:
    head = ["ms", "median", "99 %", "max"]
    lines = [
        [label, *(f"{latency[key][value]:.2f}" for value in ("p50_ms", "p99_ms", "max_ms"))]
        for label, key in (("worker", "worker"), ("bare inotify-read-send loop", "control"))
    ]
    return f"Quiet log, {latency['worker']['lines']} single lines: write() to server\n" + _aligned(
        [head, *lines]
    )


def _idle(idle: dict[str, Any]) -> str:
    return (
        f"{idle['workers']} idle workers for {idle['seconds']:.1f} s: {idle['cpu_percent']:.3f} % of a core together, their "
        f"master {idle['master_cpu_percent']:.3f} %; "
        f"each {idle['pss_bytes'] / MIB:.2f} MiB PSS, {idle['uss_bytes'] / MIB:.2f} MiB USS"
    )


def _many(many: dict[str, Any]) -> str:
    return (
        f"{many['workers']} workers: start returned after {many['start_seconds']:.1f} s, all followed after "
        f"{many['ready_seconds']:.1f} s; status took {many['status_seconds']:.2f} s; {many['pss_bytes'] / MIB:.0f} MiB PSS "
        f"together ({many['inotify_instances']} of them could have inotify)"
    )


def _busy(busy: dict[str, Any]) -> str:
    head = ["busy workers", "M lines/s", "M lines/CPU s"]
    lines = [
        [count, f"{row['lines_per_second'] / 1e6:.3f}", f"{row['lines_per_cpu_second'] / 1e6:.3f}"]
        for count, row in busy.items()
    ]
    return "As many lines in one log and in several, 200 bytes each\n" + _aligned([head, *lines])


def _verdicts(rows: Sequence[dict[str, Any]]) -> str:
    return "Budgets\n" + _aligned(
        [
            [
                row["what"],
                f"{row['measured']:.3g} {row['unit']}".strip(),
                f"{'at least' if row['at_least'] else 'at most'} {row['budget']:g} {row['unit']}".strip(),
                "met" if row["met"] else "missed",
            ]
            for row in rows
        ]
    )


def _budget(what: str, measured: float, budget: float, unit: str, *, at_least: bool = False) -> dict[str, Any]:  # fmt: skip
    met = measured >= budget if at_least else measured <= budget
    return {"what": what, "measured": measured, "budget": budget, "unit": unit, "at_least": at_least, "met": met}  # fmt: skip


def _range(ratio: dict[str, float]) -> str:
    return f"{ratio['median']:.2f} ({ratio['min']:.2f} - {ratio['max']:.2f})"


def _aligned(rows: Iterable[Sequence[str]]) -> str:
    """Return *rows* in columns, the first one to the left, the others to the right."""
    table = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join(
        "  " + "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in table
    )  # fmt: skip
