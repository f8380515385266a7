"""Random lists of faults against the real worker."""

from __future__ import annotations

import os

import pytest

from .operations import perform
from .settings import variant
from .stage import Stage

# FAULT_SEEDS="17 18 19" runs these instead.
SEEDS = [int(word) for word in os.environ.get("FAULT_SEEDS", "1 2 3 4 5 6 7 8 9 10").split()]
OPERATIONS = int(os.environ.get("FAULT_OPERATIONS", "25"))


@pytest.mark.parametrize("seed", SEEDS)
def test_random_faults(tmp_path, seed):
    """Whatever happens to log, worker and servers, in whatever order: all lines arrive, none twice without need."""
    history: list[str] = []
    stage = Stage(
        tmp_path,
        options=variant(seed),
        seed=seed,
        rate=(300.0, 3000.0)[seed % 2],
        secondary=seed % 3 == 0,
        ack_delay=(0.0, 0.02, 0.1)[seed % 5 % 3],
        targets=(0, 0, 0, 1, 0, 2)[seed % 6],
    )
    with stage:
        stage.start_agent()
        perform(stage, OPERATIONS, seed, history.append)
        report = stage.finish()
        explanation = f"FAULT_SEEDS={seed}: {report}\n" + "\n".join(
            [*report.problems, "operations:", *history]
        )
        assert not report.problems, explanation
        assert report.delivered, explanation
