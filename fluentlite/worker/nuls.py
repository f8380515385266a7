"""Runs of NUL bytes in a file: holes, space not written yet, or text."""

from __future__ import annotations

import errno
import os

NUL_RUN = 65536
"""A run of NUL bytes at least this long is a hole or unwritten space, wherever it is; a shorter one is text."""

NUL_SCAN = 64 << 20
"""Most bytes that one call looks through for the end of a run of NUL bytes."""


def end_of_nuls(fd: int, start: int) -> tuple[int, bool]:
    """
    Look for the next other byte from *start* on.

    Returns:
        Where it is, and True; or where to go on looking, and False: there is none yet up to the end of the
        file, which can be written anywhere meanwhile, or none in ``NUL_SCAN`` bytes.
    """
    offset = start
    for _ in range(NUL_SCAN // NUL_RUN):
        try:
            offset = max(offset, os.lseek(fd, offset, os.SEEK_DATA))
        except OSError as exc:
            if exc.errno == errno.ENXIO:  # nothing but a hole up to the end
                return start, False
            # Not every file system knows SEEK_DATA; reading finds the end as well.
        data = os.pread(fd, NUL_RUN, offset)
        if not data:
            return start, False
        offset += len(data) - len(data.lstrip(b"\0"))
        if data.strip(b"\0"):
            return offset, True
    return offset, False
