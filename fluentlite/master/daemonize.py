"""
Becoming a daemon, and telling whoever started it how that went.

Two forks and a session of its own: the daemon has no terminal, gets no HUP when one goes, and can never
acquire one. Nothing of the starter's descriptors stays open, so whoever waits for the end of its output
(ssh, a pipe) waits for nobody.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from collections.abc import Callable, Iterable

from fluentlite.signals import MASTER_SIGNALS, close_descriptors

PATIENCE = 120.0
"""Seconds that a starter waits for a word of its daemon: longer than that waits for its workers."""

_GONE = b"F"
_READY = b"R"


class Starter:
    """The other end of the ready pipe: whoever typed ``start`` and waits. Without a daemon it is nobody."""

    def __init__(self, fd: int | None = None) -> None:
        self._fd = fd

    def ready(self, message: str) -> None:
        """Tell it that all is well, and let it go; further calls do nothing."""
        self._tell(_READY + message.encode("utf-8", "backslashreplace"))

    def failed(self, message: str) -> None:
        """Tell it why there will be no daemon, and let it go."""
        self._tell(_GONE + message.encode("utf-8", "backslashreplace"))

    def _tell(self, data: bytes) -> None:
        if self._fd is None:
            return
        with contextlib.suppress(OSError):  # it was killed meanwhile; the daemon lives on
            with open(self._fd, "wb", buffering=0, closefd=False) as pipe:
                while data:
                    data = data[pipe.write(data) or 0 :]
        os.close(self._fd)
        self._fd = None


def daemonize(run: Callable[[Starter], int], keep: Iterable[int]) -> tuple[bool, str]:
    """
    Run *run* as a daemon.

    Args:
        run: Called in the daemon, where descriptors 0 to 2 are the null device, the directory is ``/``, and signals
            are blocked. It returns the exit status.
        keep: Descriptors that stay open there.

    Returns:
        In the starter, when the daemon has said how it went: whether it is ready, and what it said.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # it was closed when we began
            stream.flush()  # else both processes would write what waits
    reader, writer = os.pipe()
    signal.pthread_sigmask(signal.SIG_BLOCK, MASTER_SIGNALS)
    child = os.fork()
    if child == 0:
        _be_daemon(run, writer, {*keep, writer})
    os.close(writer)
    # From here on Ctrl-C ends the starter, and only the starter: the daemon has a session of its own.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, MASTER_SIGNALS)
    os.waitpid(child, 0)
    told = _told_by(reader)
    text = told[1:].decode("utf-8", "replace")
    if told[:1] == _READY:
        return True, text
    return False, text or "the master died while it was starting; its log may say why"


def _told_by(reader: int) -> bytes:
    """Return what the daemon says until it closes the pipe; what it has said by then if it does not."""
    told = b""
    ends = select.poll()
    ends.register(reader, select.POLLIN)
    while ends.poll(PATIENCE * 1000):
        data = os.read(reader, 65536)
        if not data:
            os.close(reader)
            return told
        told += data
    os.close(reader)
    return (
        told
        or _GONE
        + f"the master has said nothing for {PATIENCE:g} s; is it suspended? See fluentlite status".encode()
    )


def _be_daemon(run: Callable[[Starter], int], writer: int, keep: set[int]) -> None:
    """Never returns."""
    status = os.EX_SOFTWARE
    starter = Starter(writer)
    try:
        os.setsid()
        if os.fork() > 0:  # a leader of a session could acquire a terminal: its child cannot
            os._exit(0)
        os.chdir("/")
        os.umask(0o022)
        close_descriptors(keep)
        null_descriptors()
        status = run(starter)
    except BaseException as exc:  # noqa: BLE001 - whatever it is, whoever waits is told
        starter.failed(f"{type(exc).__name__}: {exc}")
    finally:
        os._exit(status)


def null_descriptors() -> None:
    """Point descriptors 0 to 2 at the null device."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    if null > 2:
        os.close(null)


def fill_descriptors() -> None:
    """Open the null device where one of the descriptors 0 to 2 is closed: else a log or a socket would become one."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(fd)
