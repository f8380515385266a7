"""What fluentlite says in its own log: complaints that are to be expected, and what explains a repetition."""

from __future__ import annotations

import contextlib
import math
import os
import re
import time
from collections import Counter, deque
from pathlib import Path

from .receptions import Disturbance, Evidence

EXPECTED = re.compile(
    "|".join(
        (
            r"lines wait in the log until a server takes them",
            r"it takes lines again|not needed now, .* takes the lines|it acknowledges again",
            r"it takes chunks but has acknowledged none of the last",
            r"inotify is not available \(Too many open files\)",  # somebody else has taken all instances
            r": inotify watches it again$",
            r"was not acknowledged \d+ times in a row; (sending it in parts|it is tried alone now)",
            r"the record that was tried alone holds up nothing any more$",
            r"; staying with |: connected anew$",
            r"stopped with \d+ chunks unacknowledged; they are sent again at the next start",
        )
    )
)
"""What a worker may say above the level of information when servers fail."""

GONE = re.compile(r"inode \d+ is gone|cut short; \d+ bytes had not been read and are in no copy")
"""What it has to say when a file vanished that it had not read; expected where the model excuses something."""

_LEVEL = re.compile(r"\[(WARNING|ERROR|CRITICAL)\]")
_TIMED_OUT = re.compile(r"no ack within|it did not take a chunk within|no answer|no handshake within")

STILL_UNDER_WAY = 2.0
"""Seconds for which what was sent before a time-out may be on its way: where acks take so long, so does all else."""

_KEPT_OPEN = 30.0
"""Seconds for which what was renamed is read on: a quiet process may write there for ten more."""


class OwnLog:
    """
    Reads the log at *path* while it is written, and what it has been renamed to.

    Attributes:
        since: What was read last was written after this time (monotonic seconds).
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._parts: list[_Part] = []
        self._rotations = 0
        self._latest: deque[str] = deque(maxlen=1000)
        self._counts_gone: Counter[str] = Counter()
        self.since = self._read_at = time.monotonic()

    def read(self) -> list[str]:
        """Return the entries that have come since the last call."""
        self.since, self._read_at = self._read_at, time.monotonic()
        self._look()
        entries = [entry for part in self._parts for entry in part.read()]
        self._latest += entries
        return entries

    def rotate(self) -> None:
        """Rename it, as operators do; the daemon makes a new one."""
        self._look()
        if self._path.exists():
            self._rotations += 1
            os.rename(self._path, self._path.with_name(f"{self._path.name}.{self._rotations}"))

    def last(self, text: str) -> str:
        """Return the last entry that has been read with *text* in it."""
        return [entry for entry in self._latest if text in entry][-1]

    def count(self, text: str) -> int:
        """Return how often *text* is in it; asked for the first time, in what is not yet long gone."""
        self._look()
        return self._counts_gone[text] + sum(part.count(text) for part in self._parts)

    def close(self) -> None:
        """Let go of its files."""
        while self._parts:
            self._parts.pop().close()

    def _look(self) -> None:
        """Find out whether there is a new file at the path, and let go of those that nobody writes to any more."""
        now = time.monotonic()
        if not self._parts or not self._parts[-1].is_at(self._path):
            for part in self._parts:
                part.left_at = min(part.left_at, now)
            with contextlib.suppress(FileNotFoundError):
                self._parts.append(_Part(self._path))
        while self._parts and self._parts[0].is_over(now):
            self._counts_gone += self._parts.pop(0).close()


class _Part:
    """
    One file of a log.

    Attributes:
        left_at: Since when it is not the one that is written to.
    """

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDONLY)
        self._read = 0
        self._counted: dict[str, tuple[int, int]] = {}  # up to which offset, and how many
        self.left_at = math.inf

    def is_at(self, path: Path) -> bool:
        try:
            return os.path.samestat(os.fstat(self._fd), os.stat(path))
        except FileNotFoundError:
            return False

    def is_over(self, now: float) -> bool:
        """Whether all of it has been read and counted, and nothing more can come."""
        return now - self.left_at > _KEPT_OPEN and self._read == os.fstat(self._fd).st_size

    def read(self) -> list[str]:
        data = self._from(self._read)
        self._read += len(data)
        return data.decode("utf-8", "replace").splitlines()

    def count(self, text: str) -> int:
        offset, count = self._counted.get(text, (0, 0))
        data = self._from(offset)
        self._counted[text] = offset + len(data), count + data.count(text.encode())
        return self._counted[text][1]

    def close(self) -> Counter[str]:
        """Let go of it; returns how often each text that was ever asked for is in it."""
        counts = Counter({text: self.count(text) for text in self._counted})
        os.close(self._fd)
        return counts

    def _from(self, offset: int) -> bytes:
        """Return the whole lines from *offset* on."""
        size = os.fstat(self._fd).st_size - offset
        data = os.pread(self._fd, size, offset) if size > 0 else b""
        return data[: data.rfind(b"\n") + 1]


class Witness:
    """
    Judges what is said about one log.

    Attributes:
        evidence: Told what explains a repetition.
        surprises: Entries that should not be.
        may_miss_files: Whether the model has excused something, so that the worker may complain.
    """

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.surprises: list[str] = []
        self.may_miss_files = False
        self._missed: list[str] = []

    def hear(self, entry: str, since: float) -> None:
        """Judge one entry of the agent's own log, written after *since* (monotonic seconds)."""
        now = time.monotonic()
        if _TIMED_OUT.search(entry):
            self.evidence.note(Disturbance("the worker saw a time-out", since, now + STILL_UNDER_WAY))
        if "chunks unacknowledged" in entry:
            self.evidence.note(Disturbance("agent gave up waiting", since, now))
            self.evidence.note_cut(since, now)
        if "sending it in parts" in entry:
            self.evidence.note_parts(since, now)
        if "a later line is sent first" in entry:
            self.evidence.note_cut(since, now)
        if GONE.search(entry):
            self._missed.append(entry)
        elif is_complaint(entry):
            self.surprises.append(entry)

    def expect(self, is_so: bool, problem: str) -> None:
        """Note *problem* unless *is_so*."""
        if not is_so:
            self.surprises.append(problem)

    def problems(self) -> list[str]:
        """Return all that should not have been said."""
        return self.surprises + ([] if self.may_miss_files else self._missed)


def is_complaint(entry: str) -> bool:
    """Tell whether *entry* is above the level of information, and not expected."""
    return "Traceback" in entry or bool(_LEVEL.search(entry) and not EXPECTED.search(entry))
