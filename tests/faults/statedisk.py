"""A small disk for ``state_dir`` that others fill."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
from pathlib import Path

_SIZE = 8 << 20


class StateDisk:
    """
    A tmpfs of 8 MB at *directory*, which it makes; needs root.

    There is no fault that makes it read-only: the kernel refuses that while the daemon has its files open for writing.
    """

    def __init__(self, directory: Path) -> None:
        self._directory, self._filler = directory, directory / "somebody-elses"
        directory.mkdir(mode=0o750)
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={_SIZE},mode=750", "fluentlite-soak", str(directory)], check=True
        )  # fmt: skip

    @property
    def is_full(self) -> bool:
        return self._filler.exists()

    def fill(self) -> None:
        """Take all space that there is, to the last block."""
        with open(self._filler, "ab", buffering=0) as file:
            for size in (1 << 20, 1 << 12):
                with contextlib.suppress(_NoSpaceError):
                    while True:
                        _put(file.fileno(), size)

    def free(self) -> None:
        """Give it back."""
        self._filler.unlink(missing_ok=True)

    def close(self) -> None:
        """Leave nothing behind."""
        subprocess.run(["umount", "--lazy", str(self._directory)], check=True)


class _NoSpaceError(Exception):
    pass


def _put(fd: int, size: int) -> None:
    try:
        written = os.write(fd, bytes(size))
    except OSError as exc:
        if exc.errno != errno.ENOSPC:
            raise
        written = 0
    if written < size:
        raise _NoSpaceError
