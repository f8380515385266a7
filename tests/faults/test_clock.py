"""A program has the wall clock that it is given, and no other clock is touched."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from .clock import Clock

_SHOW = """
import sys, time, logging
for _ in sys.stdin:
    print(time.time(), time.time_ns() / 1e9, time.mktime(time.localtime()), time.clock_gettime(time.CLOCK_REALTIME),
          logging.LogRecord("", 0, "", 0, "", (), None).created, time.mktime(time.localtime(5.0)), time.monotonic(), flush=True)
"""


def test_a_clock_that_jumps(tmp_path):
    """All ways to ask for the time of day see the jump at once; the monotonic clock goes on."""
    clock = Clock(tmp_path / "clock")
    process = subprocess.Popen(
        [sys.executable, "-c", _SHOW], env=os.environ | clock.environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    with process:
        for wrong_by in (0.0, 86_400.0, -3e7, 0.0):
            clock.set(wrong_by)
            process.stdin.write("\n")
            process.stdin.flush()
            *wall, then, monotonic = map(float, process.stdout.readline().split())
            assert wall == pytest.approx([time.time() + wrong_by] * 5, abs=5.0)
            assert (then, monotonic) == (5.0, pytest.approx(time.monotonic(), abs=5.0))
        process.stdin.close()
    assert clock.jumps == 3


def test_what_shows_a_jump(tmp_path):
    """Only an entry with the time that the clock must have counts as seen, and each jump once."""
    clock = Clock(tmp_path / "clock")

    def entry(wrong_by):
        return (
            time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(time.time() + wrong_by)) + " [INFO] (1) text"
        )

    clock.set(7200.0)
    for heard in ("Traceback", "", entry(0.0), entry(3600.0)):
        clock.hear(heard)
    assert (clock.jumps, clock.seen) == (1, 0)
    clock.hear(entry(7200.0))
    clock.hear(entry(7200.0))
    assert (clock.jumps, clock.seen) == (1, 1)
    clock.set(7201.0)  # too little to be told apart
    assert clock.jumps == 1
