"""The promise, run by run: what was written is delivered, nothing is doubled without need, nothing is torn."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from .settings import QUICK
from .stage import Stage

RESTARTS = 5


@pytest.fixture
def stage(tmp_path):
    """A worker with short waits at 20,000 lines a second, with its log and its server."""
    with Stage(tmp_path, rate=20_000.0) as made:
        made.start_agent()
        yield made


def verdict(stage):
    """Let all arrive; nothing may be wrong. Returns the report."""
    report = stage.finish()
    assert not report.problems, "\n".join([str(report), *report.problems])
    assert report.written == report.delivered > 0
    return report


def test_rename_every_second(stage):
    """Renaming a busy log every second loses and doubles nothing (T01, T34)."""
    for _ in range(8):
        stage.run_for(1.0)
        stage.writer.rename("shift")

    assert verdict(stage).explained == 0
    assert stage.model.due > 120_000


def test_three_rotations_during_an_outage(stage):
    """What is written and rotated while no server answers arrives afterwards, once (T03, S31, S32)."""
    stage.run_for(1.0)
    stage.kill_server(stage.servers[0])
    stage.rate = 5000.0
    for _ in range(3):
        stage.run_for(5.0)
        stage.writer.rename("shift")
    stage.run_for(5.0)
    stage.servers[0].up()

    verdict(stage)


def test_server_killed_and_started_again(stage):
    """A server may die five times under load; only chunks it had not acknowledged are repeated (S01, S06)."""
    for _ in range(RESTARTS):
        stage.run_for(0.8)
        stage.kill_server(stage.servers[0])
        stage.run_for(0.4)
        stage.servers[0].up()

    verdict(stage)


def test_server_stopped_and_then_killed(stage):
    """A server that hangs for ten seconds and dies costs no line (S09)."""
    stage.run_for(1.0)
    stage.servers[0].hang()
    stage.rate = 2000.0
    stage.run_for(10.0)
    stage.kill_server(stage.servers[0])
    stage.run_for(0.5)
    stage.servers[0].up()

    verdict(stage)


def test_clean_restarts_double_nothing(stage):
    """TERM and start, five times under load: every line arrives exactly once (S34, O05)."""
    for _ in range(RESTARTS):
        stage.run_for(0.6)
        stage.stop_agent()
        stage.run_for(0.2)
        stage.agent.start()

    assert verdict(stage).explained == 0


def test_kills_with_rotation_between(stage):
    """SIGKILL, rotation and start, five times under load: nothing is lost, only what was on its way is doubled (T05, T46, T47)."""
    for _ in range(RESTARTS):
        stage.run_for(0.6)
        stage.kill_agent()
        stage.run_for(0.2)
        stage.writer.rename("shift")
        stage.run_for(0.2)
        stage.agent.start()

    verdict(stage)


def test_two_rotations_while_stopped(stage):
    """Twice rotated while the agent was down, by copytruncate as well: nothing is lost, nothing doubled (T05, T06, T07)."""
    stage.run_for(0.5)
    stage.stop_agent()
    for naming in ("shift", "numbers"):
        stage.run_for(0.2)
        stage.writer.rename(naming)
    stage.run_for(0.2)
    stage.writer.copytruncate("shift")
    stage.agent.start()

    assert verdict(stage).explained == 0


def test_failover_and_failback(tmp_path):
    """When the primary dies the secondary gets the lines, and when it is back it gets them again (S19, S20)."""
    options = replace(QUICK, forward=QUICK.forward | {"failback_interval": 1.0})
    with Stage(tmp_path, rate=20_000.0, secondary=True, options=options) as stage:
        primary, secondary = stage.servers
        secondary.up()
        stage.start_agent()
        stage.run_for(1.0)
        stage.kill_server(primary)
        stage.wait(lambda: delivered_to(stage, secondary), "the secondary got lines", writing=True)
        stage.run_for(0.5)
        primary.up()
        back_at = time.monotonic()
        stage.wait(lambda: delivered_to(stage, primary, back_at), "the primary got lines again", writing=True)
        stage.run_for(1.0)

        verdict(stage)


def delivered_to(stage, server, since=0.0):
    """Whether *server* has a connection since then on which chunks have arrived."""
    return any(
        connection.count and connection.opened_at >= since
        for key, connection in stage.model.connections.items()
        if f"journal-{server.name}-" in key[0]
    )
