"""Our own log: one file, shared by all processes of an agent, that operators may rotate."""

from __future__ import annotations

import contextlib
import errno
import logging
import logging.handlers
import os
import select
import stat
import time
from typing import IO

NOTICE = 35
"""Level of what is worth saying and no fault, such as a start: also where only warnings are wanted."""

LOOK_INTERVAL = 10.0
"""Seconds after which even a quiet process should call ``reopen_log``: a renamed log is to be let go of everywhere."""

_STDERR = 2

logging.addLevelName(NOTICE, "NOTICE")

FORMAT = "%(asctime)s [%(levelname)s] (%(process)d) %(message)s"


class _LogFile(logging.handlers.WatchedFileHandler):
    """
    Reopens the file by itself when it was renamed or removed, so a rotation needs no signal.

    A full disk or a vanished directory must never stop a worker: what cannot be written is dropped.
    """

    def _open(self) -> IO[str]:  # type: ignore[override]
        how = (
            os.O_WRONLY
            | os.O_APPEND
            | os.O_CREAT
            | os.O_CLOEXEC
            | os.O_NOFOLLOW
            | os.O_NONBLOCK
            | os.O_NOCTTY
        )
        fd = os.open(self.baseFilename, how, 0o640)
        if not stat.S_ISREG(os.fstat(fd).st_mode) and not stat.S_ISCHR(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(errno.EINVAL, "it is neither a regular file nor a terminal")
        return open(fd, "a", encoding="utf-8", errors="backslashreplace")

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except OSError:
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is logging's
        """Drop it: there is no better place to complain."""


class _StandardError(logging.Handler):
    """Writes to descriptor 2, unless somebody who does not read there would have us wait: then it is dropped."""

    def emit(self, record: logging.LogRecord) -> None:
        data = memoryview((self.format(record) + "\n").encode("utf-8", "backslashreplace"))
        writable = select.poll()
        writable.register(_STDERR, select.POLLOUT)
        with contextlib.suppress(OSError):
            while data and writable.poll(0):
                data = data[os.write(_STDERR, data[: select.PIPE_BUF]) :]


def start_log(path: str, level: str) -> None:
    """
    Write our log to *path* (``-``: standard error) from now on.

    Raises:
        OSError: The file cannot be opened.
    """
    handler = _StandardError() if path == "-" else _LogFile(path)
    formatter = logging.Formatter(FORMAT, "%Y-%m-%dT%H:%M:%S%z")
    formatter.converter = time.localtime
    handler.setFormatter(formatter)
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(level.upper())


def log_descriptors() -> list[int]:
    """Return the descriptor of the log's file, which a forked process must keep to go on writing there."""
    handlers = [handler for handler in logging.getLogger().handlers if isinstance(handler, _LogFile)]
    # None while the file cannot be opened; it is tried again at each message.
    return [handler.stream.fileno() for handler in handlers if handler.stream is not None]


def reopen_log() -> None:
    """
    Open the log's file anew if the one at its path is another one (USR1, or found out).

    If that cannot be now, it is tried again at each message; nobody is stopped by it.
    """
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _LogFile):
            with contextlib.suppress(OSError):
                handler.reopenIfNeeded()
