"""What the soak says of CPU and memory is what processes use; memory that grows is not flat."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from .usage import CpuTime, Memory


def test_cpu_time_of_processes_that_come_and_go():
    """What a process used counts once, whoever else comes or goes; a pid that is gone is no mistake."""
    program = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as busy:
        busy.stdout.readline()
        time = CpuTime()
        time.look([busy.pid])
        used = time.seconds
        assert used == pytest.approx(0.3, abs=0.2)
        time.look([busy.pid, 2**22 + 1])
        assert time.seconds == pytest.approx(used, abs=0.05)
        busy.stdin.close()
    time.look([busy.pid])
    assert time.seconds == pytest.approx(used, abs=0.05)


def test_memory_is_what_the_kernel_says():
    """Resident is at least proportional; no sample is taken while a process is missing."""
    memory = Memory(count=2)
    memory.look([os.getpid(), 2**22 + 1])
    assert memory.samples == []
    memory.look([os.getpid(), os.getppid()])
    ((_, resident, proportional, first),) = memory.samples
    assert resident >= proportional > first > 1 << 20


@pytest.mark.parametrize(("growth", "is_flat"), [(0, True), (50_000, True), (1 << 20, False)])
def test_memory_that_grows(growth, is_flat):
    """Between the first quarter and the last one; how it began does not count."""
    memory = Memory(count=1)
    size = 100 << 20
    memory.samples = [(5.0 * n, size, size // 2 + growth * n if n > 12 else 0, 1) for n in range(120)]
    assert memory.is_flat() is is_flat
    assert any("proportional" in text for text in memory.say())
    assert "100 MB resident" in memory.say_now()


def test_memory_that_is_in_use_for_a_while():
    """Catching up in the last minutes of an hour takes memory and gives it back: that is no growth."""
    memory = Memory(count=1)
    memory.samples = [(5.0 * n, 100, 200 if n > 660 else 100, 1) for n in range(720)]
    assert memory.is_flat()


def test_memory_of_a_short_run():
    """A run without a sample says so; one that ends within the first minute is compared as a whole."""
    memory = Memory(count=1)
    assert memory.is_flat() and "never" in next(memory.say())
    assert memory.say_now() == "memory unknown"
    memory.samples = [(5.0, 1, 100, 1), (10.0, 1, 200, 1)]
    assert not memory.is_flat()
