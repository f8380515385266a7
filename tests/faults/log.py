"""One log of a run: who writes it, which of its lines must arrive, and who follows it."""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from .model import Generation, Model
from .ownlog import Witness
from .receptions import Evidence
from .writer import LogWriter

SPAN = 10**9
"""Numbers of lines that each log has; by its numbers a line tells to which log it belongs."""

LATE_REOPEN = 0.4
"""Longest time in seconds for which a writer goes on in a renamed file; well below ``rotate_wait``."""

MOST_AT_ONCE = 0.2
"""Seconds: of a longer pause what its writer would have written is left out, so that tests do not drown in lines."""

KEPT_FILES = 6
"""Rotated files that stay in the directory after they have been delivered."""


class Follower(Protocol):
    """The process that follows a log."""

    @property
    def is_running(self) -> bool: ...

    @property
    def is_frozen(self) -> bool: ...

    def open_files(self) -> set[tuple[int, int]]:
        """Return device and inode of every file that it has open."""


class Log:
    """
    Args:
        path: Of the log.
        index: Among the logs of a run.
        max_in_flight: Of its worker, at most.
        seed: Decides where half lines are cut.
        targets: Make it a symbolic link into these directories.

    Attributes:
        worker: Who follows it.
        shape: Tag, field and compression of the chunk that came last; *last_server* got it.
        most_at_once: See ``MOST_AT_ONCE``.
        left_out: Lines that were left out for it.
    """

    worker: Follower

    def __init__(
        self, path: Path, index: int, max_in_flight: int, seed: int, targets: tuple[Path, ...] = ()
    ) -> None:
        self.path, self.is_link = path, bool(targets)
        self.rng = random.Random(f"{seed} {index}")
        self.evidence = Evidence(max_in_flight)
        self.witness = Witness(self.evidence)
        self.model = Model(self.evidence, index * SPAN)
        self.writer = LogWriter(path, self.model, self.rng, targets)
        self.shape: tuple[str, ...] = ()
        self.last_server = ""
        self.most_at_once = MOST_AT_ONCE
        self.left_out = 0.0
        self._written_at = time.monotonic()
        self._due = 0.0

    def tick(self, now: float, rate: float) -> None:
        """Write what is due at *rate* lines per second; at 0 the writer only reopens."""
        since, self._written_at = now - self._written_at, now
        if rate:
            passed = min(since, self.most_at_once)
            self.left_out += (since - passed) * rate
            self._due += passed * rate
            count, self._due = int(self._due), self._due % 1
            self.writer.write(count)
            if count and self.rng.random() < 0.3:
                self.writer.write_half()
        self.writer.tick(now)

    def settle(self) -> None:
        """End the half line, and let a late writer notice the rotation."""
        self.writer.write(0)
        if self.writer.is_late:
            self.writer.reopen()

    def holds_log(self) -> bool:
        """Tell whether the worker has the file open that is written to."""
        return self.writer.generation.identity in self.worker.open_files()

    def has_seen_all(self) -> bool:
        """Tell whether the worker knows the file at the path: no generation would go unseen if it were rotated now."""
        return not self.writer.is_late and not self.worker.is_frozen and self.holds_log()

    def sweep(self, now: float) -> None:
        """Note what is complete, and remove old files."""
        open_files = self.worker.open_files()
        for generation in self.model.generations:
            if not generation.is_complete:
                generation.complete_since = None
            elif generation.complete_since is None:
                generation.complete_since = now
        rotated = [g for g in self.model.generations[:-1] if g.name]
        for generation in rotated[: max(0, len(rotated) - KEPT_FILES)]:
            since = generation.complete_since
            # What the worker may not have noted yet stays: it would rightly complain of its loss.
            if since is not None and now - since > 2.0 and self.worker.is_running:
                with contextlib.suppress(FileNotFoundError):
                    result = os.stat(generation.name)
                    if (result.st_dev, result.st_ino) not in open_files:
                        self.writer.remove(generation)

    def excuse(self) -> None:
        """The worker has ended: files without a name ended with it."""
        now = time.monotonic()
        for generation in self._unreachable():
            if generation.complete_since is None or now - generation.complete_since < 2.0:
                self.witness.may_miss_files = True
                self.model.excuse(generation)

    def _unreachable(self) -> Iterator[Generation]:
        """Generations whose file no later start can find."""
        for generation in self.model.generations[:-1]:
            is_left = self.is_link and os.path.dirname(generation.name) != os.path.dirname(
                os.path.realpath(self.path)
            )
            if not generation.name or is_left:
                yield generation

    def problems(self) -> Iterator[str]:
        """Say everything that is a fault."""
        yield from (f"lost: {text}" for text in self.model.lost())
        yield from (f"doubled: {text}" for text in self.model.doubled()[2])
        yield from (f"wrong: {text}" for text in self.model.wrong)
        yield from (f"surprise: {text}" for text in self.witness.problems())
