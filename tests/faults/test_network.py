"""Each trouble of a line is what it says, and is over when it is mended."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .network import Line

_CHILD = Path(__file__).with_name("network_child.py")


def test_what_a_program_sees_of_each_trouble():
    """A way that is gone is told at once, a black hole and answers that vanish are silence, and all can be mended."""
    if os.geteuid() != 0:
        with pytest.raises(AssertionError, match="no network namespace for a server"):
            Line(0, "a", print)
        return
    command = ["unshare", "--net", "--mount", sys.executable, str(_CHILD)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "before: well",
        "slow: well",
        "mended: well",
        "the way is gone: EHOSTUNREACH",
        "mended: well",
        "everything vanishes: silence",
        "mended: well",
        "answers vanish: silence",
        "mended: well",
        "['line to a: slow', 'line to a: the way is gone', 'line to a: everything vanishes', 'line to a: answers vanish']",
    ]
