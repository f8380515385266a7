"""Random lists of faults against the real daemon with twenty logs."""

from __future__ import annotations

import os

import pytest

from .fleet import Fleet
from .fleet_operations import draw
from .operations import perform

# FLEET_SEEDS="17 18 19" runs these instead.
SEEDS = [int(word) for word in os.environ.get("FLEET_SEEDS", "1 2").split()]
OPERATIONS = int(os.environ.get("FLEET_OPERATIONS", "16"))


@pytest.mark.parametrize("seed", SEEDS)
def test_random_faults(tmp_path, seed):
    """Whatever happens to logs, workers, master, servers and configuration: all lines arrive, none twice without need."""
    history: list[str] = []
    with Fleet(tmp_path, seed=seed, rate=100.0, is_secondary=seed % 2 == 0, ack_delay=0.02) as fleet:
        fleet.start_agent()
        perform(fleet, OPERATIONS, seed, history.append, draw)
        report = fleet.finish()
        explanation = f"FLEET_SEEDS={seed}: {report}\n" + "\n".join(
            [*report.problems, "operations:", *history]
        )
        assert not report.problems, explanation
        assert report.delivered, explanation
