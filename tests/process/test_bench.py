"""The benchmark itself: that it measures everything, counts right, and notices what is missing."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench.children import BenchError, Child
from bench.content import make_source
from bench.latency import percentile
from bench.report import budgets
from bench.sinks import Arrival
from bench.throughput import FORMATS, SUBJECTS, Case, Rounds, Run, check_delivery, compare

ROOT = Path(__file__).resolve().parents[2]
LINE_BYTES = [50, 200, 2000]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What ``python -m bench --quick`` writes."""
    place = tmp_path_factory.mktemp("bench")
    output = place / "made" / "results.json"
    logs = place / "logs"
    logs.mkdir()
    run = subprocess.run(
        [sys.executable, "-m", "bench", "--quick", "--output", output, "--directory", logs],
        cwd=ROOT, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert not list(logs.iterdir()), "the logs are left behind"
    return json.loads(output.read_text()) | {"printed": run.stdout}


def test_every_line_size_is_caught_up_and_followed_by_every_subject(results):
    """Each scenario has, for 50, 200 and 2000 bytes and for each subject, speed per CPU second and second, and memory."""
    rows = results["throughput"]

    assert [row["line_bytes"] for row in rows if row["scenario"] == "catching up"] == LINE_BYTES
    assert [row["line_bytes"] for row in rows if row["scenario"].startswith("live")] == LINE_BYTES * 2
    for row in rows:
        for subject in SUBJECTS:
            assert {"lines_per_cpu_second", "lines_per_second", "peak_rss_bytes"} <= row[subject].keys()
            assert all(value > 0 for value in row[subject].values())
        assert 0 < row["ratio"]["min"] <= row["ratio"]["median"] <= row["ratio"]["max"]


def test_the_lines_counted_are_the_lines_in_the_files(results):
    """Lines times their average size is the size of the file, and every subject moved all of them."""
    for row in results["throughput"]:
        assert {row[subject]["lines"] for subject in SUBJECTS} == {row["worker"]["lines"]}
        assert row["file_bytes"] / row["worker"]["lines"] == pytest.approx(row["line_bytes"], rel=0.05)
        assert row["copy"]["wire_bytes"] == row["file_bytes"]
        assert row["worker"]["wire_bytes"] > row["control"]["wire_bytes"] > row["copy"]["wire_bytes"]
    assert len({results["formats"][name]["lines"] for name in FORMATS}) == 1
    assert results["memory"]["lines"] == pytest.approx(results["memory"]["backlog_bytes"] / 200, rel=0.05)
    assert [results["latency"][subject]["lines"] for subject in ("worker", "control")] == [30, 30]


def test_the_live_writer_is_followed_to_its_last_line(results):
    """A live row tells how long after the last write its line arrived; a file that was there has no such time."""
    for row in results["throughput"]:
        assert ("lag_seconds" in row["worker"]) == row["scenario"].startswith("live")


def test_formats_memory_latency_and_idle_cost_are_there(results):
    """gzip is smaller on the wire than plain, JSON larger; all other figures exist and make sense."""
    formats, memory, idle = results["formats"], results["memory"], results["idle"]

    assert formats["gzip"]["wire_bytes"] < formats["plain"]["wire_bytes"] < formats["json"]["wire_bytes"]
    assert memory["idle"]["rss"] >= memory["idle"]["pss"] >= memory["idle"]["uss"] > 0
    assert memory["peak_above_idle"]["rss"] > 0
    for figures in results["latency"].values():
        assert 0 < figures["p50_ms"] <= figures["p99_ms"] <= figures["max_ms"]
    assert idle["workers"] == 3
    assert idle["pss_bytes"] > 0


def test_the_daemon_with_many_and_with_busy_workers(results):
    """Workers of the real daemon: how soon they follow, how fast status answers, and what several do together."""
    many, busy = results["many"], results["busy"]

    assert many["workers"] == 5
    assert 0 < many["start_seconds"] <= many["ready_seconds"]
    assert many["status_seconds"] > 0
    assert many["pss_bytes"] > many["master_pss_bytes"] > 0
    assert list(busy) == ["1", "2"]
    assert all(figure > 0 for row in busy.values() for figure in row.values())


def test_every_budget_is_printed_with_its_verdict(results):
    """What is met or missed is said in words; a budget that is missed does not fail the run."""
    assert len(results["budgets"]) == len(LINE_BYTES) + 7
    for row in results["budgets"]:
        line = next(line for line in results["printed"].splitlines() if row["what"] in line)
        assert line.endswith(" met" if row["met"] else " missed")


def test_a_budget_is_compared_in_its_own_direction(results):
    """Speed must reach its budget, cost must not exceed it."""
    results = json.loads(json.dumps(results))
    for row in results["throughput"]:
        row["ratio"]["median"] = 0.86
    results["latency"]["worker"]["p99_ms"] = 5.5

    verdicts = {row["what"]: row["met"] for row in budgets(results)}

    assert [met for what, met in verdicts.items() if "catching up" in what] == [True] * 3
    assert [met for what, met in verdicts.items() if "99th" in what] == [False]


def test_a_line_that_is_missing_or_doubled_is_an_error(tmp_path):
    """A count that differs from what was written, or a checkpoint elsewhere than at the end, breaks the run."""
    source = make_source(tmp_path, 2000, 1)
    compare(Case("catching up", source), 1, tmp_path)
    state_dir = tmp_path / "worker-0" / "state"

    check_delivery(source, Arrival(source.lines, 0, 0.0, 0.0), state_dir, source.path)
    for wrong in (-1, 1):
        with pytest.raises(BenchError, match="were delivered"):
            check_delivery(source, Arrival(source.lines + wrong, 0, 0.0, 0.0), state_dir, source.path)
        longer = replace(source, size=source.size + wrong)
        with pytest.raises(BenchError, match="the checkpoint is at"):
            check_delivery(longer, Arrival(source.lines, 0, 0.0, 0.0), state_dir, source.path)


def test_a_child_that_fails_or_hangs_is_an_error():
    """A process that ends badly, ends without its report, or does not end, breaks the run."""
    with Child("bad", lambda _tell: sys.exit("as the test wants it")) as bad:
        with pytest.raises(BenchError, match="ended too early"):
            bad.receive()
        with pytest.raises(BenchError, match="exit status"):
            bad.wait()
    with Child("stuck", lambda _tell: signal.pause()) as stuck:
        with pytest.raises(BenchError, match="nothing happened"):
            stuck.receive(timeout=0.05)
        with pytest.raises(BenchError, match="still running"):
            stuck.wait(timeout=0.05)


def test_ratios_are_taken_round_by_round():
    """A slow moment of the machine hits the subjects of one round, not the ratio."""
    rounds = Rounds()
    for slowness in (1.0, 3.0, 2.0):
        rounds.add("worker", Run(1000, 2.0 * slowness, 1.0, 1, 1))
        rounds.add("control", Run(1000, 1.0 * slowness, 1.0, 1, 1))

    assert rounds.ratios("worker", "control") == [0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [([5.0], 99, 5.0), ([3.0, 1.0, 2.0], 50, 2.0), (range(1, 501), 99, 495), (range(1, 501), 50, 250)],
)
def test_a_percentile_is_one_of_the_values(values, percent, expected):
    """The smallest value that so many percent of the values do not exceed."""
    assert expected == percentile(list(values), percent)
