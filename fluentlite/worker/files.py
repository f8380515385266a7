"""Opening a file, and what tells one file from another."""

from __future__ import annotations

import errno
import os
import resource
import stat

from fluentlite.core.position import Marker
from fluentlite.core.rotation import FileFacts, Identity

RESERVED = 16
"""Descriptors that are kept free of logs: for the server, its name, directories, our own log."""


class NotAFileError(OSError):
    """There is something at the path, but no regular file."""


def is_out_of_descriptors(exc: OSError) -> bool:
    """Tell whether a file could not be opened because too many are open: no fault of the file's."""
    return exc.errno in (errno.EMFILE, errno.ENFILE)


def is_missing(exc: OSError) -> bool:
    """Tell whether a file could not be opened because it is not there."""
    return isinstance(exc, FileNotFoundError | NotADirectoryError)


def raise_descriptor_limit() -> None:
    """Rotated generations stay open until they are delivered: a long outage may need many descriptors."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def facts_of(result: os.stat_result) -> FileFacts:
    """Take from a stat result what decisions are made from."""
    return FileFacts(
        Identity(result.st_dev, result.st_ino), result.st_size, result.st_mtime_ns, result.st_ctime_ns
    )


def _most_logs() -> int:
    """
    Return the descriptor from which on none is used for a log.

    The rest is for connections: with all of them taken by rotated files, these could never be delivered.
    """
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return limit - min(RESERVED, limit // 3)


def open_log(path: str) -> int:
    """
    Open *path* for reading; a FIFO or a device does not block, it is refused.

    Raises:
        NotAFileError: It is no regular file.
        OSError: It cannot be opened.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):  # opening a device may have effects
        raise NotAFileError(errno.EINVAL, "it is not a regular file", path)
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    if fd >= _most_logs():
        os.close(fd)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), path)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise NotAFileError(errno.EINVAL, "it is not a regular file", path)
    return fd


def marker_at(fd: int, offset: int, size: int) -> Marker:
    """Return the marker of the *size* bytes before *offset*; at offset 0, of the first ones."""
    return Marker.of(os.pread(fd, size, max(0, offset - size)))
