"""A sample of the sweep, and the sweep itself put to the test: what is wrong it must find."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .mutants import MUTANTS

ROOT = Path(__file__).parents[2]

# SWEEP_SAMPLE=500 SWEEP_SEED=7 runs more, and others.
SAMPLE = os.environ.get("SWEEP_SAMPLE", "30")
SEED = os.environ.get("SWEEP_SEED", "1")

FOUND_BY = {
    "records-early": ("worker/sendmsg:3:KILL", "lost: generation"),
    "records-late": ("worker/getdents64:25:KILL", "doubled: "),
    "gives-up": ("master/accept4:3:EMFILE", "a bug is told"),
}
"""For each mutant a point, and what is said of it there."""


def sweep(*words):
    """Run it; returns (exit status, what it printed)."""
    command = [sys.executable, "-m", "tests.sweep", *words]
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=110,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return done.returncode, done.stdout


def test_a_sample():
    """Killed, or failing, at a system call, worker and master lose nothing and double nothing without need."""
    status, out = sweep("--sample", SAMPLE, "--seed", SEED)
    assert status == 0, out

    points, not_reached, killed, failed = map(
        int, re.findall(r"^all +(\d+) +(\d+) +(\d+) +(\d+) ", out, re.M)[0]
    )
    assert points == int(SAMPLE)
    assert not_reached <= points / 4, "the scenarios are not alike each time"
    assert min(killed, failed) >= points / 3


@pytest.mark.parametrize("mutant", MUTANTS)
def test_what_is_wrong_is_found(mutant):
    """A worker that records too early or too late, and a master that gives up, do not get through."""
    point, said = FOUND_BY[mutant]
    sound, broken = sweep("--only", point), sweep("--only", point, "--mutant", mutant, "--patience", "2")

    assert sound[0] == 0, sound[1]
    assert broken[0] == 1, broken[1]
    assert said in broken[1]
    assert f"again: python -m tests.sweep --only '{point}'" in broken[1]
