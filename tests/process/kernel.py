"""What the kernel says of a process, whatever the process says of itself."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def open_files(pid: int) -> dict[int, str]:
    """Where each descriptor of *pid* leads; nothing if it is gone or dead."""
    found: dict[int, str] = {}
    with contextlib.suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):  # closed meanwhile
                found[int(name)] = os.readlink(f"/proc/{pid}/fd/{name}")
    return found


def process_state(pid: int) -> str:
    """R, S, D, T, Z, or an empty string: there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def is_alive(pid: int) -> bool:
    """Whether *pid* is a process that is not dead; one that nobody has reaped yet is."""
    return process_state(pid) not in ("", "Z")


def title(pid: int) -> str:
    """The command line of *pid*."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def children(pid: int) -> list[int]:
    """The children of *pid*, zombies among them."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def proportional_memory(pid: int) -> int:
    """Bytes of memory of *pid*, of those it shares only its part (PSS)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"the kernel does not tell the memory of {pid}")


def terminal(pid: int) -> int:
    """The number of the terminal that *pid* hangs on; 0: none."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[4])


def blocked_signals(pid: int) -> int:
    """The signals that the main thread of *pid* has blocked, as a bit mask."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("SigBlk:"):
            return int(line.split()[1], 16)
    raise AssertionError(f"the kernel does not tell the signals of {pid}")
