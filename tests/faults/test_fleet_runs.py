"""The promise for the whole daemon with twenty logs, run by run: nothing lost, nothing torn, nothing doubled without need."""

from __future__ import annotations

import pytest

from .fleet import Fleet

ROUNDS = 3
"""How often a run kills, stops or starts."""

BOTH_WAYS = pytest.mark.parametrize("is_foreground", [True, False], ids=["foreground", "daemon"])
"""As systemd runs it, and as it runs by itself."""


@pytest.fixture
def fleet(tmp_path):
    """The daemon in the foreground, with short waits, at 4,000 lines a second in twenty logs."""
    with Fleet(tmp_path) as made:
        made.start_agent()
        yield made


def verdict(fleet):
    """Let all arrive; nothing may be wrong with any log. Returns the report."""
    report = fleet.finish()
    assert not report.problems, "\n".join([str(report), *report.problems])
    assert report.written == report.delivered > 0
    assert all(log.model.due == log.model.delivered > 0 for log in fleet.logs)
    return report


def rotate_all(fleet, naming):
    """Rename every log."""
    for log in fleet.logs:
        log.writer.rename(naming)


def test_every_log_is_rotated(fleet):
    """Every log is renamed under load three times, named in three ways: every line arrives once (T01, T34)."""
    for naming in ("shift", "numbers", "dates"):
        for log in fleet.logs:
            fleet.run_for(0.05)
            log.writer.rename(naming)

    assert verdict(fleet).explained == 0


def test_three_rotations_during_an_outage(fleet):
    """What all logs get while no server answers, through three rotations, arrives afterwards, once (T03, S31, S32)."""
    fleet.run_for(0.5)
    fleet.kill_server(fleet.servers[0])
    for _ in range(3):
        fleet.run_for(0.5)
        rotate_all(fleet, "shift")
    fleet.run_for(0.5)
    fleet.servers[0].up()

    verdict(fleet)


def test_server_killed_and_started_again(fleet):
    """The server of all may die three times under load; only chunks it had not acknowledged are repeated (S01, S06)."""
    for _ in range(ROUNDS):
        fleet.run_for(0.6)
        fleet.kill_server(fleet.servers[0])
        fleet.run_for(0.3)
        fleet.servers[0].up()

    verdict(fleet)


def test_server_stopped_and_then_killed(fleet):
    """A server that hangs longer than every time-out and dies costs no line of any log (S09)."""
    fleet.run_for(0.5)
    fleet.servers[0].hang()
    fleet.run_for(3.0)
    fleet.kill_server(fleet.servers[0])
    fleet.run_for(0.3)
    fleet.servers[0].up()

    verdict(fleet)


@BOTH_WAYS
def test_clean_restarts_double_nothing(tmp_path, is_foreground):
    """Stop and start, twice in each way under load with acks that are late: every line of every log once (S34, O05)."""
    with Fleet(tmp_path, is_foreground=is_foreground, ack_delay=0.1) as fleet:
        fleet.start_agent()
        for _ in range(2):
            fleet.run_for(0.3)
            fleet.stop_agent()
            fleet.agent.start()
            fleet.wait(lambda: fleet.agent.is_ready, "it runs again", writing=True)

        assert verdict(fleet).explained == 0


def test_workers_killed_with_rotation_between(fleet):
    """Single workers and all at once die by SIGKILL, logs are rotated meanwhile: only what was on its way comes twice (T05, T46, T47, P07, P15)."""
    for first in range(0, 20, 4):
        fleet.run_for(0.3)
        for log in fleet.logs[first : first + 4]:
            fleet.kill_worker(log)
            log.writer.rename("shift")
    for log in fleet.logs:
        fleet.kill_worker(log)
    rotate_all(fleet, "numbers")
    fleet.run_for(0.5)

    verdict(fleet)


@BOTH_WAYS
def test_master_killed_and_another_started_at_once(tmp_path, is_foreground):
    """The master dies by SIGKILL under load and another starts at once: no log is read by two, nothing is lost or doubled (P01, P02, T46)."""
    with Fleet(tmp_path, is_foreground=is_foreground, ack_delay=0.02) as fleet:
        fleet.start_agent()
        for _ in range(2):
            fleet.run_for(0.3)
            fleet.kill_agent()
            rotate_all(fleet, "shift")
            fleet.agent.start()
            fleet.wait(lambda: all(log.holds_log() for log in fleet.logs), "all go on", writing=True)

        assert verdict(fleet).explained == 0


def test_everything_killed(fleet):
    """Master and workers die in the same instant, as with the machine: only what was on its way comes twice (P01, P07)."""
    for _ in range(ROUNDS):
        fleet.run_for(0.3)
        fleet.kill_everything()
        fleet.run_for(0.1)
        rotate_all(fleet, "shift")
        fleet.agent.start()
        fleet.wait(lambda: all(log.holds_log() for log in fleet.logs), "all go on", writing=True)

    verdict(fleet)


def test_two_rotations_while_stopped(fleet):
    """Every log twice renamed and once copied and truncated while the daemon is down: every line once (T05, T06, T07)."""
    fleet.run_for(0.3)
    fleet.stop_agent()
    for naming in ("shift", "numbers"):
        fleet.run_for(0.2)
        rotate_all(fleet, naming)
    fleet.run_for(0.2)
    for log in fleet.logs:
        log.writer.copytruncate("shift")
    fleet.agent.start()

    assert verdict(fleet).explained == 0


def test_failover_and_failback(tmp_path):
    """When the primary dies all logs go to the secondary, and when it is back to it again (S19, S20)."""
    with Fleet(tmp_path, is_secondary=True) as fleet:
        primary, secondary = fleet.servers
        secondary.up()
        fleet.start_agent()
        fleet.run_for(0.5)
        fleet.kill_server(primary)
        fleet.wait(lambda: fleet.all_go_to(secondary), "the secondary got the lines", writing=True)
        primary.up()
        fleet.wait(lambda: fleet.all_go_to(primary), "the primary got them again", writing=True)

        verdict(fleet)
