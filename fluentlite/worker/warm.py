"""
What the master does once before it forks, so that its workers need not do it each for itself.

Workers share the master's memory page by page until one of them writes to a page. CPython writes wherever it
runs something for the first times: it adapts code to what it meets, remembers where names were found, binds
the C library's functions. All that is the same in every worker, and shared if it has happened before.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import tempfile
import time
from pathlib import Path

import msgpack

from fluentlite.config.model import ForwardSettings, LogSettings, Server, TailSettings
from fluentlite.scoreboard import Scoreboard
from fluentlite.signals import fork_child
from fluentlite.worker.main import run_worker

ROUNDS = 10
"""Lives of a worker; CPython adapts a function after some calls."""

PATIENCE = 5.0
"""Seconds after which one of these lives ends, whatever hinders it."""

MEMORY = "/dev/shm"  # noqa: S108 - a private directory is made in it


def warm_up() -> None:
    """
    Let workers live for a moment in this process: each delivers a line and ends because its master is gone.

    Nothing depends on it: what goes wrong here is not reported. No thread is left when this returns.
    """
    "localhost".encode("idna")  # what looks up a server's name
    logging.disable()
    try:
        with contextlib.suppress(OSError):
            place = MEMORY if os.access(MEMORY, os.W_OK) else None
            with tempfile.TemporaryDirectory(prefix="fluentlite-", dir=place) as directory:
                for number in range(ROUNDS):
                    _live(Path(directory), f"{number}.log")
    finally:
        logging.disable(logging.NOTSET)
    _wait_for_threads()


def _live(directory: Path, name: str) -> None:
    """Be a worker, with a server that is a child and holds the worker's lifeline."""
    (directory / name).write_bytes(b"a line\n")
    lifeline, server_end = os.pipe()
    with socket.create_server(("127.0.0.1", 0)) as listener, _QuietInbox() as inbox:
        pid = fork_child(lambda: _serve(listener), [listener.fileno(), server_end])
        os.close(server_end)
        forward = ForwardSettings(primary=(Server(*listener.getsockname()),))
        settings = LogSettings(
            tag="warm", path=str(directory / name), forward=forward, tail=TailSettings(read_from_head=True)
        )
        try:
            run_worker(settings, str(directory), 0.0, inbox, slot=Scoreboard(1).take(), lifeline=lifeline)  # type: ignore[arg-type]
        finally:
            os.close(lifeline)
            os.waitpid(pid, 0)


def _serve(listener: socket.socket) -> int:
    """Acknowledge one chunk and end, which ends the lifeline."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    client, _ = listener.accept()
    unpacker = msgpack.Unpacker(raw=True)
    while data := client.recv(65536):
        unpacker.feed(data)
        for _tag, _entries, option in unpacker:
            client.sendall(msgpack.packb({"ack": option[b"chunk"]}))
            time.sleep(0.01)  # for the worker to see it
            return 0
    return 1


class _QuietInbox:
    """An inbox that no signal comes to: this process has one of its own."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()

    def fileno(self) -> int:
        return self._reader

    def take(self) -> list[signal.Signals]:
        return []

    def has_stop(self) -> bool:
        return False

    def __enter__(self) -> _QuietInbox:
        return self

    def __exit__(self, *_exc_info: object) -> None:
        os.close(self._reader)
        os.close(self._writer)


def _wait_for_threads() -> None:
    """A process that forks must have none; those of the checkpoints are over, or nearly so."""
    deadline = time.monotonic() + PATIENCE
    while len(os.listdir("/proc/self/task")) > 1 and time.monotonic() < deadline:
        time.sleep(0.001)
