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
from collections.abc import Callable
from typing import IO, Any

from fluentlite.core.display import defuse
from fluentlite.trust import Seen, is_ours_alone

NOTICE = 35
"""Level of what is worth saying and no fault, such as a start: also where only warnings are wanted."""

LOOK_INTERVAL = 10.0
"""Seconds after which even a quiet process should call ``reopen_log``: a renamed log is to be let go of everywhere."""

_STDERR = 2

logging.addLevelName(NOTICE, "NOTICE")

FORMAT = "%(asctime)s [%(levelname)s] (%(process)d) %(message)s"


class _Formatter(logging.Formatter):
    """
    One line for each message, whatever names of files, servers and others' words have brought into it.

    The lines of a traceback follow, each indented: none of them can be taken for a message.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is logging's
        return defuse(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802
        return "\n".join(f"    {defuse(line)}" for line in super().formatException(ei).split("\n"))


class _LogFile(logging.handlers.WatchedFileHandler):
    """
    Reopens the file by itself when it was renamed or removed, so a rotation needs no signal.

    A full disk or a vanished directory must never stop a worker: what cannot be written is dropped.
    """

    def __init__(self, path: str, open_file: Callable[[str], int]) -> None:
        self._open_file = open_file
        super().__init__(path)

    def _open(self) -> IO[str]:  # type: ignore[override]
        return open(self._open_file(self.baseFilename), "a", encoding="utf-8", errors="backslashreplace")

    def reopenIfNeeded(self) -> None:  # noqa: N802 - the name is logging's
        """As the library does, but a link is not followed to see what is there."""
        if self.stream is not None and Seen(self.baseFilename, self.stream.fileno()).is_there():
            return
        if self.stream is not None:
            old, self.stream = self.stream, None
            with contextlib.suppress(OSError):  # what is full does not matter any more
                old.close()
        self.stream = self._open()  # type: ignore[assignment]

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


def open_own_log(path: str) -> int:
    """
    Open the file at *path* to append to it; make it, with mode 0640, if it is missing.

    What is there already must be a regular file of one name, and where others may put files as well, one of root's or
    ours: else a link would have us write into what it leads to, and a file of somebody else's would give him our log.

    Raises:
        OSError: It cannot be opened, or is none that we should write to.
    """
    how = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
    try:
        fd = os.open(path, how | os.O_CREAT | os.O_EXCL, 0o640)
    except FileExistsError:
        return _checked(path, os.open(path, how))
    os.fchmod(fd, 0o640)  # whatever the umask is
    return fd


def _checked(path: str, fd: int) -> int:
    if stat.S_ISCHR(os.fstat(fd).st_mode):  # a terminal, or the null device
        return fd
    seen = Seen(path, fd)
    strangeness = seen.strangeness(None if is_ours_alone(os.path.dirname(path)) else {os.geteuid()})
    # Asked last: a link that was taken away again meanwhile would have been counted no more.
    if strangeness or not seen.is_there():
        os.close(fd)
        raise PermissionError(errno.EPERM, strangeness or "it has just been replaced")
    return fd


def start_log(path: str, level: str, open_file: Callable[[str], int] = open_own_log) -> None:
    """
    Write our log to *path* (``-``: standard error) from now on.

    Args:
        open_file: Opens the file, and makes it, now and whenever another one is at *path*.

    Raises:
        OSError: The file cannot be opened.
    """
    handler = _StandardError() if path == "-" else _LogFile(path, open_file)
    formatter = _Formatter(FORMAT, "%Y-%m-%dT%H:%M:%S%z")
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
