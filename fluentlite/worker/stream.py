"""Standard input as a source: no position, no rotation, one end."""

from __future__ import annotations

import math
import os
import select
import sys
from collections.abc import Callable, Iterable, Iterator

from fluentlite.config.model import TailSettings
from fluentlite.core.forward import Position, Step
from fluentlite.core.lines import LineSplitter
from fluentlite.errors import ConfigError
from fluentlite.loop import Loop

STDIN = 0


def standard_input() -> int:
    """
    Return its descriptor.

    Raises:
        ConfigError: It was closed when we started; by now the descriptor may be something of ours.
    """
    if sys.stdin is None:
        raise ConfigError("standard input is closed. Give the agent a pipe or a file to read.")
    return STDIN


class Stream:
    """
    Reads a descriptor that cannot be read twice.

    The descriptor is shared with other processes, so it is never made non-blocking: it is asked whether
    it has something before each read.

    Args:
        fd: What to read.
        name: Unique to this run, part of the chunks' ids.
        wake: Called when there may be something to read.
    """

    def __init__(self, fd: int, name: str, settings: TailSettings, max_lines: int, loop: Loop, wake: Callable[[], None]) -> None:  # fmt: skip
        self.source = name
        self.deadline = math.inf
        self.is_ended = self.has_ended = False
        self.packed = self.revision = self.lag = self.offset = 0
        self.is_waiting = False
        self.file_trouble = self.state_trouble = ""
        self.carried: Step | None = None
        self.splitter = LineSplitter(
            max_line_size=settings.max_line_size, long_lines=settings.long_lines, max_lines=max_lines
        )
        self._fd, self._loop, self._wake = fd, loop, wake
        self._rest = b""
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)

    @property
    def newest(self) -> Stream:
        return self

    @property
    def lines(self) -> Stream:
        return self

    @property
    def position(self) -> Position:
        return Position(0, self.splitter.end_offset, self.splitter.window)

    def sources(self, _now: float) -> Iterator[Stream]:
        if not self.has_ended or self.is_ended or self.carried is not None:
            yield self

    def read(self, _stream: Stream, size: int, _now: float) -> list[bytes]:
        data = self._rest
        if not data:
            if self.has_ended or not self._poll.poll(0):
                return []
            data = os.read(self._fd, size)
            if not data:
                self.has_ended = self.is_ended = True
                self.revision += 1
                return []
        before = self.splitter.read_offset
        lines = self.splitter.feed(data)
        self._rest = data[self.splitter.read_offset - before :]
        return lines

    def start(self, _now: float) -> None:
        self._wake()

    def is_quiet(self, _now: float) -> bool:
        return True

    def tick(self, _now: float) -> None:
        """Nothing to look at: the loop says when there is data."""

    def delivered(self, positions: Iterable[Position]) -> None:
        """Nothing to remember: a stream cannot be read again."""

    def close(self) -> None:
        self.pause()

    def flush(self) -> list[bytes]:
        self.is_ended = False
        return self.splitter.flush()

    def pause(self) -> None:
        """Do not wake the loop."""
        self._loop.unwatch(self._fd)

    mute = pause

    def listen(self) -> None:
        """A stream has no hints but its data, and those are asked for by ``resume``."""

    def resume(self) -> None:
        """Wake the loop when there is something to read."""
        if self.has_ended:
            return
        try:
            self._loop.watch(self._fd, lambda _events: self._wake())
        except PermissionError:  # a regular file: it always has something, up to its end
            self._wake()
