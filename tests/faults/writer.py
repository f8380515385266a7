"""A program that writes a log, and everything that rotates logs: each method is one thing that happens to hosts."""

from __future__ import annotations

import os
import random
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from .lines import line, lines
from .model import Generation, Model

Naming = Literal["shift", "numbers", "dates"]


class LogWriter:
    """
    Writes numbered lines to *path* and tells *model* what it does.

    Args:
        path: The log. With *targets* it is a symbolic link to a file in one of these directories.
        rng: Decides where half lines are cut.
        targets: Directories to which the link may lead, in turn.
    """

    def __init__(self, path: Path, model: Model, rng: random.Random, targets: tuple[Path, ...] = ()) -> None:
        self.path, self._model, self._rng = path, model, rng
        self._targets, self._switches = targets, 0
        self._half = b""  # what has been written of the line that was begun
        self._rest = b""  # what has not
        self._names = 0
        self._reopen_at: float | None = None
        self._fd = -1
        if targets:
            os.symlink(self._next_target(), path)
        self._open()

    @property
    def is_late(self) -> bool:
        """Whether the file has been renamed and the writer does not know yet."""
        return self._reopen_at is not None

    @property
    def generation(self) -> Generation:
        """What is being written to."""
        return self._model.generations[-1]

    @property
    def has_half(self) -> bool:
        """Whether the last line is without its end."""
        return bool(self._rest)

    # -- writing ----------------------------------------------------------------------------------------

    def write(self, count: int) -> None:
        """End the half line if there is one, then write *count* whole lines, all in one write."""
        self.tick(time.monotonic())  # on a busy machine it may be late for its own reopening
        first, ended = self._model.written, bool(self._rest)
        data = self._rest + b"\n" if ended else b""
        self._put(data + lines(first + ended, first + ended + count))
        self._half = self._rest = b""
        self._model.wrote(ended + count)

    def write_half(self) -> None:
        """End the half line if there is one, then write the first part of another."""
        self.write(0)
        data = line(self._model.written)
        cut = self._rng.randrange(12, len(data) - 12)  # both parts are unique: each has the whole number
        # NUL bytes at the start or the end of a file are a hole, and no text.
        while 0 in data[cut - 1 : cut + 1]:
            cut += 1
        self._half, self._rest = data[:cut], data[cut:]
        self._put(self._half)

    def tick(self, now: float) -> None:
        """Reopen the log if that is due."""
        if self._reopen_at is not None and now >= self._reopen_at:
            self.reopen()

    def close(self) -> None:
        """Stop writing."""
        os.close(self._fd)

    # -- rotations --------------------------------------------------------------------------------------

    def rename(self, naming: Naming) -> None:
        """Rename the log; the writer goes on in a new file at once."""
        self._move_aside(naming)
        self.reopen()

    def rename_late(self, naming: Naming, delay: float, *, create: bool) -> None:
        """Rename the log; the writer reopens it after *delay* seconds, and until then goes on in the old file."""
        self._move_aside(naming)
        if create:
            os.close(os.open(self._real_path(), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
        self._reopen_at = time.monotonic() + delay

    def copytruncate(self, naming: Naming) -> None:
        """Copy the log and empty it; the writer, which appends, never notices."""
        self._settle()
        copy = self._free_name(naming)
        shutil.copyfile(self._real_path(), copy)
        self.generation.name = str(copy)
        os.truncate(self._real_path(), 0)
        self._begin(self._identity())

    def delete(self) -> None:
        """Remove the log and create it anew."""
        self._settle()
        self.generation.name = ""
        os.unlink(self._real_path())
        self.reopen()

    def replace(self, count: int) -> None:
        """Put a new file with *count* lines in the log's place: its old name is never free."""
        self._settle()
        old, draft = self.generation, self._real_path().with_name("draft")
        old.name = ""
        os.close(self._fd)
        self._fd = os.open(draft, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o644)
        self._begin(self._identity())
        self.write(count)
        os.rename(draft, self._real_path())

    def switch(self) -> None:
        """Let the symbolic link lead to a new file."""
        self._settle()
        draft = self.path.with_name("draft")
        os.symlink(self._next_target(), draft)
        os.rename(draft, self.path)
        self.reopen()

    def remove(self, generation: Generation) -> None:
        """Remove a rotated file, as a rotation does with the oldest one."""
        os.unlink(generation.name)
        generation.name = ""

    def reopen(self) -> None:
        """The writer opens the log by its path; what it is renamed to it does not notice before."""
        os.close(self._fd)
        self._reopen_at = None
        self._open()

    # -- inside -----------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Only one thing at a time: a writer that is late reopens first."""
        if self.is_late:
            self.reopen()

    def _open(self) -> None:
        self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._begin(self._identity())

    def _begin(self, identity: tuple[int, int]) -> None:
        self._model.begin(identity, str(self._real_path()))
        if self._rest:
            self._put(self._rest + b"\n")
            self._model.tore(self._half, self._rest)
            self._half = self._rest = b""

    def _put(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]

    def _identity(self) -> tuple[int, int]:
        result = os.fstat(self._fd)
        return result.st_dev, result.st_ino

    def _real_path(self) -> Path:
        return Path(os.path.realpath(self.path))

    def _next_target(self) -> Path:
        directory = self._targets[self._switches % len(self._targets)]
        self._switches += 1
        return directory / f"app-{self._switches}.log"

    def _move_aside(self, naming: Naming) -> None:
        self._settle()
        name = self._free_name(naming)
        os.rename(self._real_path(), name)
        self.generation.name = str(name)

    def _free_name(self, naming: Naming) -> Path:
        real = self._real_path()
        self._names += 1
        if naming == "shift":
            self._shift(real)
            return real.with_name(f"{real.name}.1")
        if naming == "numbers":
            return real.with_name(f"{real.name}.{100_000 + self._names}")
        return real.with_name(f"{real.name}-20260131-{self._names:06d}")

    def _shift(self, real: Path) -> None:
        """Rename a.2 to a.3, then a.1 to a.2, so that a.1 is free."""
        by_name = {generation.name: generation for generation in self._model.generations}
        is_shifted: Callable[[str], object] = re.compile(re.escape(str(real)) + r"\.\d{1,5}").fullmatch
        numbered = {int(name.rpartition(".")[2]): name for name in by_name if is_shifted(name)}
        for number in sorted(numbered, reverse=True):
            new = f"{real}.{number + 1}"
            os.rename(numbered[number], new)
            by_name[numbered[number]].name = new
