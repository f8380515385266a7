"""What the kernel tells of a process."""

from __future__ import annotations

import os


def open_files(pid: int) -> set[tuple[int, int]]:
    """Return device and inode of every file that the process has open; the kernel's word, not the process's."""
    found: set[tuple[int, int]] = set()
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return found
    for name in names:
        try:
            result = os.stat(f"/proc/{pid}/fd/{name}")
        except OSError:  # closed meanwhile
            continue
        found.add((result.st_dev, result.st_ino))
    return found
