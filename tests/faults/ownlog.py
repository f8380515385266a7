"""What fluentlite says in its own log: complaints that are to be expected, and what explains a repetition."""

from __future__ import annotations

import re
import time
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
            r"stopped with \d+ chunks unacknowledged; they are sent again at the next start",
        )
    )
)
"""What a worker may say above the level of information when servers fail."""

GONE = re.compile(r"inode \d+ is gone|cut short; \d+ bytes had not been read and are in no copy")
"""What it has to say when a file vanished that it had not read; expected where the model excuses something."""

_LEVEL = re.compile(r"\[(WARNING|ERROR|CRITICAL)\]")
_TIMED_OUT = re.compile(r"no ack within|it did not take a chunk within|no answer|no handshake within")


class OwnLog:
    """
    Reads the log at *path* while it is written.

    Attributes:
        since: What was read last was written after this time (monotonic seconds).
    """

    def __init__(self, path: Path) -> None:
        self._path, self._read = path, 0
        self.since = self._read_at = time.monotonic()

    def read(self) -> list[str]:
        """Return the entries that have come since the last call."""
        self.since, self._read_at = self._read_at, time.monotonic()
        try:
            with open(self._path, encoding="utf-8", errors="replace") as stream:
                stream.seek(self._read)
                text = stream.read()
        except FileNotFoundError:
            return []
        whole = text[: text.rfind("\n") + 1]
        self._read += len(whole.encode("utf-8", errors="replace"))
        return whole.splitlines()

    def last(self, text: str) -> str:
        """Return the last entry with *text* in it."""
        return [entry for entry in self._path.read_text(errors="replace").splitlines() if text in entry][-1]

    def count(self, text: str) -> int:
        """Return how often *text* is in it."""
        try:
            return self._path.read_text(errors="replace").count(text)
        except FileNotFoundError:
            return 0


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
            self.evidence.note(Disturbance("the worker saw a time-out", since, now))
        if "chunks unacknowledged" in entry:
            self.evidence.note(Disturbance("agent gave up waiting", since, now))
            self.evidence.note_cut(since, now)
        if "sending it in parts" in entry or "a later line is sent first" in entry:
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
