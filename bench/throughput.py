"""How many lines a worker moves, beside a loop that only reads, splits, joins and sends, and beside copying."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bench.certificate import make_certificate
from bench.children import BenchError, Child
from bench.content import Source, append_live
from bench.loops import control, copy, entry_start, work
from bench.sinks import Arrival, Sink, forward_sink, raw_sink
from fluentlite.config.model import TlsSettings
from fluentlite.core.decode import Reading
from fluentlite.core.position import newest, split_slots
from fluentlite.worker.checkpoint import checkpoint_path

Subject = Literal["worker", "control", "copy"]
SUBJECTS: tuple[Subject, ...] = ("worker", "control", "copy")
FORMATS: dict[str, dict[str, Any]] = {
    "plain": {},
    "TLS": {"tls": True},
    "gzip": {"compress": "gzip"},
    "gzip, TLS": {"compress": "gzip", "tls": True},
    "json": {"format": "json"},
}
"""Name -> settings of [forward]; True stands for those of TLS."""


@dataclass(frozen=True, slots=True)
class Case:
    """
    One row of the table.

    Attributes:
        scenario: Its name.
        lines_per_second: The pace of the writer; 0 = as fast as it goes, None = the file is there already.
    """

    scenario: str
    source: Source
    lines_per_second: float | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """
    One subject, once.

    Attributes:
        seconds: From its connection to its last byte.
        lag: Seconds from the writer's last write to the last byte, if there was a writer.
        wire_bytes: Received from it.
    """

    lines: int
    cpu_seconds: float
    seconds: float
    peak_rss: int
    wire_bytes: int
    lag: float | None = None

    @property
    def lines_per_cpu_second(self) -> float:
        return self.lines / self.cpu_seconds

    @property
    def lines_per_second(self) -> float:
        return self.lines / self.seconds


@dataclass(slots=True)
class Rounds:
    """The runs of one case, by subject (or format), in the order of the rounds."""

    runs: dict[str, list[Run]] = field(default_factory=dict)

    def add(self, subject: str, run: Run) -> None:
        self.runs.setdefault(subject, []).append(run)

    def ratios(self, subject: str, to: str) -> list[float]:
        """Return lines per CPU second of *subject* in relation to *to*, round by round, sorted."""
        return sorted(
            a.lines_per_cpu_second / b.lines_per_cpu_second
            for a, b in zip(self.runs[subject], self.runs[to], strict=True)
        )

    def summary(self) -> dict[str, Any]:
        """Return medians of each subject, for the JSON."""
        return {subject: _summary(runs) for subject, runs in self.runs.items()}


def compare(case: Case, rounds: int, directory: Path) -> Rounds:
    """Run worker, control loop and copy in turn, *rounds* times, every other round backwards."""
    result = Rounds()
    for number in range(rounds):
        for subject in SUBJECTS[:: 1 if number % 2 == 0 else -1]:
            result.add(subject, _run(case, subject, directory / f"{subject}-{number}"))
    return result


def compare_formats(source: Source, rounds: int, directory: Path) -> Rounds:
    """Run the worker plain, with TLS, gzip, both, and as JSON in turn; the server decodes and counts every entry."""
    result = Rounds()
    certificate = make_certificate(directory)
    for number in range(rounds):
        for name, forward in FORMATS.items():
            has_tls = "tls" in forward
            settings = forward | ({"tls": TlsSettings(ca_file=certificate.ca_file)} if has_tls else {})
            place = directory / f"{name.replace(', ', '-')}-{number}"
            with forward_sink(source.lines, Reading.VERIFY, certificate if has_tls else None) as sink:
                result.add(name, _run_worker(Case("formats", source), sink, place, settings))
    return result


def summary_of_ratios(ratios: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)}


def _run(case: Case, subject: Subject, place: Path) -> Run:
    if subject == "worker":
        with forward_sink(case.source.lines) as sink:
            return _run_worker(case, sink, place, {})
    with raw_sink() as sink:
        return _run_bare(case, subject, sink, place)


def _run_worker(case: Case, sink: Sink, place: Path, forward: dict[str, Any]) -> Run:
    place.mkdir()
    source, path = case.source, _path(case, place)
    with Child("the worker", lambda _tell: work(path, sink.port, place / "state", forward)) as worker:
        sink.wait_connected()
        with _writing(case, path) as written:
            arrival = sink.result()
            lag = written(arrival)
        usage = worker.stop()
    check_delivery(source, sink.result(), place / "state", path)
    _forget_live(case, path)
    return Run(source.lines, usage.cpu_seconds, arrival.ended - arrival.began, usage.peak_rss, arrival.bytes, lag)  # fmt: skip


def _run_bare(case: Case, subject: Subject, sink: Sink, place: Path) -> Run:
    place.mkdir()
    source, path, loop = case.source, _path(case, place), control if subject == "control" else copy
    with Child(subject, lambda _tell: loop(path, sink.port, source.size)) as child:
        sink.wait_connected()
        with _writing(case, path) as written:
            arrival = sink.result()
            lag = written(arrival)
        usage = child.wait()
    expected = source.size
    if subject == "control":
        expected = source.text + source.headers + source.lines * len(entry_start())
    if arrival.bytes != expected:
        raise BenchError(f"{subject}: {arrival.bytes} bytes arrived, {expected} were expected")
    _forget_live(case, path)
    return Run(source.lines, usage.cpu_seconds, arrival.ended - arrival.began, usage.peak_rss, arrival.bytes, lag)  # fmt: skip


def check_delivery(source: Source, arrival: Arrival, state_dir: Path, path: Path) -> None:
    """
    Every line has come once, and the checkpoint says so.

    Raises:
        BenchError: Not so.
    """
    if arrival.lines != source.lines:
        raise BenchError(f"{path}: {arrival.lines} lines were delivered, {source.lines} were written")
    data = checkpoint_path(str(state_dir), str(path)).read_bytes()
    _, state, _ = newest(split_slots(data))
    if state.points[-1].offset != source.size:
        raise BenchError(f"{path}: the checkpoint is at {state.points[-1].offset}, not at {source.size}")


def _path(case: Case, place: Path) -> Path:
    if case.lines_per_second is None:
        return case.source.path
    path = place / "live.log"
    path.touch()
    return path


def _forget_live(case: Case, path: Path) -> None:
    if case.lines_per_second is not None:
        path.unlink()


@contextmanager
def _writing(case: Case, path: Path) -> Iterator[Any]:
    """A live writer, if there is one; yields what tells how long after its last write something arrived."""
    pace = case.lines_per_second
    if pace is None:
        yield lambda _arrival: None
        return
    with Child("the writer", lambda tell: append_live(case.source, path, pace, tell)) as writer:
        yield lambda arrival: arrival.ended - writer.receive()
        writer.wait()


def _summary(runs: list[Run]) -> dict[str, float]:
    values = {
        "lines": runs[0].lines,
        "lines_per_cpu_second": statistics.median(run.lines_per_cpu_second for run in runs),
        "lines_per_second": statistics.median(run.lines_per_second for run in runs),
        "peak_rss_bytes": max(run.peak_rss for run in runs),
        "wire_bytes": runs[0].wire_bytes,
    }
    lags = [run.lag for run in runs if run.lag is not None]
    if lags:
        values["lag_seconds"] = statistics.median(lags)
    return values
