"""The promise for the whole daemon, run by run, with twenty logs: nothing lost, nothing torn, nothing doubled without need."""

from __future__ import annotations

import pytest

from .fleet import Fleet


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


def test_every_log_is_rotated(fleet):
    """Every log is renamed under load again and again, in all ways of naming, one after the other: every line once."""
    for naming in ("shift", "numbers", "dates"):
        for log in fleet.logs:
            fleet.run_for(0.05)
            log.writer.rename(naming)

    assert verdict(fleet).explained == 0
