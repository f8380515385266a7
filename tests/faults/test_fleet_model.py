"""The harness of the whole daemon can fail: a fault made on purpose is found, and in the right log."""

from __future__ import annotations

import os
import random
import signal
import subprocess

import psutil
import pytest
from clients import eventually

from .fleet import Fleet
from .fleet_operations import change_all
from .receptions import Disturbance


@pytest.fixture
def fleet(tmp_path):
    """The daemon with three logs, not running."""
    with Fleet(tmp_path, count=3) as made:
        yield made


def test_a_position_that_is_lost(fleet, tmp_path):
    """A log that is read again from its start is told, and no other one."""
    fleet.start_agent()
    fleet.run_for(0.3)
    fleet.stop_agent()
    fleet.collect()
    delivered = fleet.logs[1].model.delivered
    checkpoints = [path for path in (tmp_path / "state").iterdir() if b"logs/log1" in path.read_bytes()]
    assert len(checkpoints) == 1
    checkpoints[0].unlink()
    report = fleet.finish()

    assert report.problems
    assert all(problem.startswith("log1: doubled: ") for problem in report.problems)
    assert report.count_unexplained == delivered > 0


def test_lines_under_the_tag_of_another_log(fleet):
    """Lines are told by themselves to which log they belong, whatever their tag says."""
    first, second, _ = fleet.logs
    tables = fleet.configuration.logs
    tables[first.path], tables[second.path] = tables[second.path], tables[first.path]
    fleet.configuration.write()
    fleet.start_agent()
    fleet.run_for(0.3)
    report = fleet.finish(most_silence=1.0)

    assert report.count_lost == first.model.due + second.model.due
    assert {problem.split(" ")[0] for problem in report.problems} == {"log0:", "log1:"}
    assert any("were never written so" in problem for problem in report.problems)


def test_a_worker_that_dies_by_itself(fleet):
    """A worker's death that nobody caused is a surprise."""
    fleet.start_agent()
    fleet.run_for(0.3)
    os.kill(fleet.logs[2].worker.pid, signal.SIGKILL)
    report = fleet.finish()

    assert [problem for problem in report.problems if "was killed by SIGKILL; the next one" in problem]


def test_what_explains_is_remembered_as_long_as_the_lines(fleet):
    """In a run of hours a generation can stay for long: nothing that explains its repetitions is forgotten before it is."""
    log = fleet.logs[0]
    began = log.model.generations[0].began_at
    log.evidence.note(Disturbance("long ago", began + 1.0, began + 2.0))
    fleet.forget(began + 3600.0)
    assert [disturbance.what for disturbance in log.evidence.disturbances] == ["long ago"]

    log.model.generations[0].began_at = began + 3600.0
    fleet.forget(began + 3600.0)
    assert log.evidence.disturbances == []


def test_an_end_before_it_lived(tmp_path):
    """TERM right after the fork ends whatever was to become a master; nobody can prevent that, so it is no surprise."""
    with Fleet(tmp_path, count=1, is_foreground=True) as fleet:
        fleet.agent.start()
        fleet.agent.ask_to_stop()
        fleet.wait(fleet.agent.has_stopped, "it has gone")
        assert fleet.agent.problems() == []

        fleet.start_agent()
        os.kill(fleet.agent.pids[0], signal.SIGKILL)
        eventually(fleet.agent.has_stopped)  # while nobody else looks, who would note that the master died
        assert "it ended with status -9" in fleet.agent.surprises


def test_a_run_begins_with_what_changes_lead_to(fleet):
    """What decides over the memory of a worker is drawn for every log, and is what the daemon reads."""
    change_all(fleet, random.Random(7))
    tables = fleet.configuration.logs.values()
    keys = ("read_buffer_size", "forward.max_in_flight", "forward.compress")
    assert all(key in table for table in tables for key in keys)
    assert len({tuple(table[key] for key in keys) for table in tables}) > 1
    assert fleet.configuration.path.read_text().count("forward.max_in_flight") == len(fleet.logs)


def test_a_frozen_worker_that_has_a_successor(fleet):
    """A worker that is frozen when its master dies may be left to itself by then: it is thawed, and leaves its log."""
    with subprocess.Popen(["sleep", "60"]) as first, subprocess.Popen(["sleep", "60"]) as second:
        try:
            worker, process = fleet.logs[0].worker, psutil.Process(first.pid)
            worker.begin(first.pid)
            worker.freeze()
            eventually(lambda: process.status() == psutil.STATUS_STOPPED)
            worker.begin(second.pid)
            eventually(lambda: process.status() != psutil.STATUS_STOPPED)
            assert not worker.is_frozen
        finally:
            first.kill()
            second.kill()
