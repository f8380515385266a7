"""Reading lines and packing them: from a source to chunks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from fluentlite.config.model import LogSettings
from fluentlite.core.entries import EntryPacker, JsonEntries, MsgpackEntries
from fluentlite.core.forward import Chunk, ChunkEncoder, Position, Step
from fluentlite.core.lines import LineSplitter

STEP_SIZE = 65536
"""Bytes of one read: they, their lines and their entries stay in the processor's cache."""

MAX_READS = 256
"""Reads without a line before the worker looks at other things: a line can be longer than memory."""


class Readable(Protocol):
    """
    One file or stream that lines come from.

    Attributes:
        is_ended: There is nothing left but the partial line, for ``flush``.
        packed: Offset up to which its lines are in chunks.
        carried: A step that did not fit into the last chunk.
    """

    is_ended: bool
    packed: int
    carried: Step | None
    splitter: LineSplitter

    @property
    def source(self) -> str: ...
    @property
    def position(self) -> Position: ...
    def flush(self) -> list[bytes]: ...


ReadableT = TypeVar("ReadableT", bound=Readable)


class Source(Protocol[ReadableT]):
    """
    What a worker follows: a log (Tail) or standard input.

    Attributes:
        revision: Grows whenever ``sources`` gives others than before.
        newest: The last one that ``sources`` gives.
    """

    revision: int

    @property
    def newest(self) -> ReadableT | None: ...
    def sources(self, now: float) -> Iterator[ReadableT]: ...
    def read(self, generation: ReadableT, size: int, now: float) -> list[bytes]: ...


def entry_packer(settings: LogSettings) -> EntryPacker:
    """Return what turns lines into entries for this log."""
    if settings.forward.format == "json":
        return JsonEntries(settings.tail.field_name)
    return MsgpackEntries(settings.tail.field_name, time_as_integer=settings.forward.time_as_integer)


def step_size(settings: LogSettings) -> int:
    """Return how many bytes one read takes: two steps fit into a chunk."""
    return max(1, min(STEP_SIZE, settings.tail.read_buffer_size // 2))


def max_lines(settings: LogSettings, packer: EntryPacker) -> int:
    """Return how many lines one read may give, so that the entries of empty lines fit into a chunk as well."""
    return max(1, (settings.tail.read_buffer_size - step_size(settings)) // packer.overhead)


class Drain(Generic[ReadableT]):
    """
    Make chunks of whatever can be read.

    Attributes:
        is_at_end: The last chunk, if any, took all there was.
    """

    def __init__(
        self, settings: LogSettings, source: Source[ReadableT], packer: EntryPacker, encoder: ChunkEncoder
    ) -> None:
        self.is_at_end = True
        self._source, self._packer, self._encoder = source, packer, encoder
        self._most, self._most_per_read = settings.tail.read_buffer_size, step_size(settings)
        self._growth = 1.0  # bytes of entries for each byte of the file, in the last step
        self.keep_to(math.inf)
        self._drain_log_tag = settings.drain_log_tag

    def keep_to(self, most: float) -> None:
        """Make chunks of at most *most* bytes of entries, if that is less than configured; a line may have more."""
        self._limit = int(min(self._most, most))
        fitting = self._most_per_read if self._limit == self._most else int(self._limit / 2 / self._growth)
        self._step_size = max(1, min(self._most_per_read, fitting))

    def next_chunk(self, now: float, time_ns: int) -> Chunk | None:
        """
        Read up to one chunk of lines.

        Args:
            now: Monotonic seconds.
            time_ns: The time of the chunk's events, nanoseconds since 1970.

        Returns:
            None if there is no whole line to read now.
        """
        self._packer.begin(time_ns)
        revision = -1
        while revision != self._source.revision:
            revision = self._source.revision
            for generation in self._source.sources(now):
                self.is_at_end = True
                steps = self._steps(generation, now)
                if steps:
                    self.is_at_end &= generation is self._source.newest
                    return self._chunk(generation, steps, time_ns)
                if not self.is_at_end:
                    return None
        self.is_at_end = True
        return None

    def _chunk(self, generation: ReadableT, steps: list[Step], time_ns: int) -> Chunk:
        generation.packed = steps[-1].end.offset
        appended = b""
        if self._drain_log_tag:
            record = {"drain": sum(step.count for step in steps)}
            appended = self._packer.message(self._drain_log_tag, time_ns, record)
        return self._encoder.encode(generation.source, steps, appended=appended)

    def _steps(self, generation: ReadableT, now: float) -> list[Step]:
        """Gather steps up to the size of a chunk; one that does not fit any more begins the next chunk."""
        steps: list[Step] = []
        size = 0
        while size < self._limit:
            step, generation.carried = generation.carried or self._next_step(generation, now), None
            if step is None:
                return steps
            if steps and size + len(step.entries) > self._limit:
                generation.carried = step
                break
            steps.append(step)
            size += len(step.entries)
        self.is_at_end = False
        return steps

    def _next_step(self, generation: ReadableT, now: float) -> Step | None:
        splitter = generation.splitter
        start = splitter.end_offset
        for _ in range(MAX_READS):
            before = splitter.read_offset
            if generation.is_ended:
                lines = generation.flush()
            else:
                lines = self._source.read(generation, self._step_size, now)
            if lines:
                end = generation.position
                entries, size = self._packer.pack(lines), end.offset - start
                self._growth = max(1.0, len(entries) / max(1, size))
                return Step(entries, len(lines), size, end)
            if splitter.read_offset == before and not generation.is_ended:
                return None
        self.is_at_end = False
        return None
