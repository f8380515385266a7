"""The sink of ``faults``, in a process forked from this one, and what has come into its journal."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgpack
from faults.journal import JournalReader, Record
from faults.server import held_port
from faults.sink import Sink

from fluentlite.signals import fork_child

from .seccomp import die_with_parent

BARRIER = "barrier"
"""Tag of a chunk of ours: when it has arrived, so has all that was sent before by whoever is gone."""


@dataclass(slots=True)
class Seen:
    """
    The connections of one life of what is under test, in the order in which they were made.

    Attributes:
        opened: Those that were accepted.
        open: Those of them that have not ended.
    """

    opened: list[tuple[str, int]] = field(default_factory=list)
    open: set[tuple[str, int]] = field(default_factory=set)


class WarmServer:
    """
    Args:
        directory: For its journal.
        take: Gets the records, but those of barriers.

    Attributes:
        life: Of the present life.
        pid: Of the sink's process.
    """

    def __init__(self, directory: Path, take: Callable[[list[Record]], None]) -> None:
        self._take = take
        self._holder, self.port = held_port()
        journal = str(directory / "journal-a-0")
        reader, writer = os.pipe()
        sys.stdout.flush()  # else the sink would say it too
        self.pid = fork_child(lambda: _serve(self.port, journal, writer), [writer])
        os.close(writer)
        with open(reader, "rb") as stream:
            assert stream.readline() == b"ready\n", "the sink did not start"
        self._journal = JournalReader(journal)
        self.life = Seen()
        self._barriers: set[tuple[str, int]] = set()

    def collect(self) -> None:
        """Read the journal, and hand on what is in it."""
        records = self._journal.read()
        for record in records:
            if record.kind == "O":
                self.life.opened.append(record.connection)
                self.life.open.add(record.connection)
            elif record.kind == "E":
                self.life.open.discard(record.connection)
            elif record.kind == "C" and record.shape[0] == BARRIER:
                self._barriers.add(record.connection)
                self.life.opened.remove(record.connection)
                self.life.open.discard(record.connection)
        self._take(
            [r for r in records if r.connection not in self._barriers or r.kind == "O"]
        )  # an O is known as a barrier's only later; it does no harm

    def next_life(self) -> Seen:
        """Who was connected is gone: wait until all it sent is in the journal, and return its connections."""
        before = len(self._barriers)
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.sendall(msgpack.packb([BARRIER, [[0, {"message": ""}]], {"chunk": BARRIER}]))
            deadline = time.monotonic() + 10.0
            while len(self._barriers) == before or self.life.open:
                assert time.monotonic() < deadline, "the sink did not see that its clients are gone"
                time.sleep(0.001)
                self.collect()
        life, self.life = self.life, Seen()
        return life

    def close(self) -> None:
        """Leave nothing behind."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self._journal.close()
        self._holder.close()


def _serve(port: int, journal: str, ready: int) -> int:
    die_with_parent()
    os.dup2(ready, 1)
    os.close(ready)
    Sink(port, journal, 0.0).run()
    return 1
