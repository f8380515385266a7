"""The C library's heap: kept while chunks come and go, given back when they do not."""

from __future__ import annotations

import subprocess
import sys

MIB = 1 << 20

SCRIPT = """
from fluentlite.worker.memory import keep_heap, release_heap

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

def build_and_free():
    blocks = [b"x" * 100_000 for _ in range(100)]
    return resident()

keep_heap()
begin = resident()
build_and_free()
kept = resident() - begin
release_heap()
print(kept, resident() - begin)
"""


def test_the_heap_is_kept_and_given_back():
    """10 MB of freed chunks stay at hand while a worker is busy, and go back to the system when it is idle (T52)."""
    child = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    kept, released = map(int, child.stdout.split())

    assert 8 * MIB < kept < 16 * MIB
    assert released < 2 * MIB
