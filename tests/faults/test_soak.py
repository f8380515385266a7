"""``make soak`` for some seconds: it makes its faults, counts, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import soak

IS_ROOT = os.geteuid() == 0
ROOT = Path(__file__).parents[2]

AROUND = ("own log rotated", "clock jumps")
OF_ROOT = (
    "way to a server cut", "black hole", "answers vanish", "slow network", "network mended",
    "state disk full", "state disk freed",
)  # fmt: skip
"""Faults of network and disk: an ordinary user cannot make them."""


@pytest.fixture
def place():
    """Where it puts what it needs: its sockets need a short path."""
    with tempfile.TemporaryDirectory(prefix="fl-") as made:
        yield made


def test_faults_around_the_daemon(tmp_path, place):
    """Network, state disk and clock fail under load: all is delivered, all is said, and nothing of it stays."""
    kinds = [*AROUND, *(OF_ROOT if IS_ROOT else ())]
    left_out = [] if IS_ROOT else ["--no-network", "--no-disk"]
    mounts, figures = Path("/proc/self/mounts").read_text(), tmp_path / "figures"
    command = [
        sys.executable, "-m", "tests.soak", "--logs", "4", "--rate", "1000", "--seconds", "6", "--every", "0.5", "--seed", "2",
        "--figures", str(figures), *left_out, *(word for kind in kinds for word in ("--only", kind)),
    ]  # fmt: skip
    environment = os.environ | {"TMPDIR": place}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100)

    assert (result.returncode, result.stderr) == (0, ""), result.stdout + result.stderr
    assert figures.read_text() == result.stdout
    assert re.search(r"(\d{5,}) lines written, \1 delivered, 0 lost, .* 0 without, 0 torn", result.stdout)
    made = re.search(r"^faults: (.*)$", result.stdout, re.MULTILINE)[1]
    assert {word.rpartition(" ")[0] for word in made.split(", ")} == set(kinds)
    assert re.search(r"^clock: [1-9]\d* jumps, [1-9]", result.stdout, re.MULTILINE)
    assert "cores: agent " in result.stdout and "memory (proportional): " in result.stdout
    assert os.listdir(place) == []
    assert Path("/proc/self/mounts").read_text() == mounts
    assert not {"line0", "line1"} & set(os.listdir("/sys/class/net"))


def test_what_can_be_left_out_is_said(monkeypatch):
    """Where namespaces cannot be had, it says so and how to go on without them; it leaves nothing out by itself."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "execvpe", lambda *_: pytest.fail("it went on"))
    monkeypatch.setattr(sys, "argv", ["soak"])
    with pytest.raises(SystemExit) as caught:
        soak.enter_namespaces(soak.parse())
    assert caught.value.code == (
        "soak: servers in network namespaces and a disk for state_dir need root; "
        "--no-network --no-disk leave the faults of network and disk out"
    )

    monkeypatch.setattr(sys, "argv", ["soak", "--no-network", "--no-disk"])
    soak.enter_namespaces(soak.parse())
