"""
Chunks and their messages: PackedForward, CompressedPackedForward, and Forward as JSON.

Source: Forward Protocol Specification v1, "Carrier mode", "Option".
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgpack

from fluentlite.core.cutting import bounds, shares
from fluentlite.core.lines import MARKER_SIZE
from fluentlite.core.squeeze import squeeze


@dataclass(frozen=True, slots=True)
class Position:
    """
    Where a file has to be read on from, once everything before has been delivered.

    Attributes:
        generation: Which of the files that a worker follows or followed; numbers grow with time.
        offset: Bytes from the start of that file.
        window: The bytes just before *offset*, at most ``lines.MARKER_SIZE``.
    """

    generation: int
    offset: int
    window: bytes


@dataclass(frozen=True, slots=True)
class Place:
    """
    Where a piece lies in the step that it was cut from.

    Attributes:
        first: Entries of the step before it.
        step_start: Where the step's lines begin in the file.
        is_last: Its delivery moves the position: it ends with the step, or where its lines end in the file is known.
        start, end: Bytes of the file from which its entries were made.
        is_exact: False where lines of the step were cut or passed over: then *start* and *end* are the step's.
    """

    first: int
    step_start: int
    is_last: bool
    start: int
    end: int
    is_exact: bool


@dataclass(frozen=True, slots=True)
class Step:
    """
    Entries made from one read, or a piece of them: *count* entries, from lines that end at *end*.

    Attributes:
        size: Bytes of the file that its delivery delivers; of a step's pieces that do not know theirs, the last one has all.
        end: The position once it has been delivered; of a piece that does not know its own, the step's.
        place: Of a piece.
    """

    entries: bytes
    count: int
    size: int
    end: Position
    place: Place | None = None

    @property
    def span(self) -> Place:
        """Where its lines are in the file; a whole step is its own last piece."""
        start = self.end.offset - self.size
        return self.place or Place(0, start, True, start, self.end.offset, self.count == 1)


@dataclass(frozen=True, slots=True)
class Chunk:
    """
    Unit of send, ack and retry; its bytes never change.

    Attributes:
        id: What the server echoes as its ack.
        steps: What it is made of, in order; kept so that a refused chunk can be cut.
        buffers: The message, in pieces for ``sendmsg``; the last one is *appended*, if that is not empty.
        size: Bytes of the message.
        source: Identity of the file, part of the id.
        appended: Another message that travels behind it.
    """

    id: str
    steps: tuple[Step, ...]
    buffers: tuple[bytes, ...]
    size: int
    source: str
    appended: bytes = b""

    @property
    def count(self) -> int:
        """Number of entries."""
        return sum(step.count for step in self.steps)

    @property
    def file_bytes(self) -> int:
        """Bytes of the log that it covers."""
        return sum(step.size for step in self.steps)

    @property
    def end(self) -> Position:
        """The position once this chunk has been delivered, if it ``moves_position``."""
        return self.steps[-1].end

    @property
    def entries_size(self) -> int:
        """Bytes of its entries, before they are compressed."""
        return sum(len(step.entries) for step in self.steps)

    @property
    def moves_position(self) -> bool:
        """Whether a start can read on behind it; a piece that does not know where that is leaves the position as it was."""
        place = self.steps[-1].place
        return place is None or place.is_last

    def alone(self) -> Chunk:
        """Return it without what is appended."""
        if not self.appended:
            return self
        size = self.size - len(self.appended)
        return replace(self, buffers=self.buffers[:-1], size=size, appended=b"")

    def hollow(self) -> Chunk:
        """Return what is left of it when its entries are not sent: it only moves the position."""
        steps = tuple(replace(step, entries=b"", count=0) for step in self.steps)
        return replace(self, steps=steps, buffers=(), size=0, appended=b"")


def chunk_id(source: str, start: int, end: Position, piece: str = "") -> str:
    """
    Derive a chunk's id from where its bytes are, so that the same bytes read again have the same id.

    Args:
        piece: Which part of the step it is, if it is not the whole.

    The window is part of it: a file that was cut short and filled again has other bytes at the same
    offsets, and a server that drops repetitions must not drop those.

    Returns:
        Base64 of 16 bytes, as Fluentd's own ids.
    """
    digest = hashlib.blake2b(f"{source}:{start}:{end.offset}:{piece}".encode() + end.window, digest_size=16)
    return base64.b64encode(digest.digest()).decode("ascii")


class ChunkEncoder:
    """
    Make chunks from steps, as the configuration wants them.

    Args:
        tag: Of every entry.
        require_ack: Whether the message asks for an ack.
        compress: ``gzip`` or ``none``.
        as_json: Forward mode as JSON text instead of PackedForward.
    """

    def __init__(self, tag: str, *, require_ack: bool, compress: str = "none", as_json: bool = False) -> None:
        self._tag, self._require_ack = tag, require_ack
        self._compress, self._as_json = compress, as_json

    def encode(self, source: str, steps: Sequence[Step], *, appended: bytes = b"", ident: str = "") -> Chunk:
        """
        Make one chunk.

        Args:
            source: Identity of the file the steps were read from.
            steps: At least one, in order; a piece of a step goes alone.
            appended: Another message to travel behind the chunk (the drain log).
            ident: The id that it had before; if empty, it is derived.
        """
        if not steps:
            raise ValueError(f"a chunk for tag {self._tag!r} has no entries")
        place, count = steps[0].span, steps[0].count
        piece = f"{place.first}+{count}:" if steps[0].place else ""
        ident = ident or chunk_id(source, place.step_start, steps[-1].end, piece)
        option: dict[str, Any] = {"size": sum(step.count for step in steps)}
        if self._require_ack:
            option["chunk"] = ident
        buffers = (self._json if self._as_json else self._packed_forward)(steps, option)
        if appended:
            buffers += (appended,)
        return Chunk(ident, tuple(steps), buffers, sum(map(len, buffers)), source, appended)

    def split(self, chunk: Chunk) -> list[Chunk]:
        """
        Cut *chunk* in two between its steps, and a single step between its entries; a single entry stays as it is.

        What is appended goes with none of them.
        """
        middle = len(chunk.steps) // 2
        if middle:
            return [self.encode(chunk.source, half) for half in (chunk.steps[:middle], chunk.steps[middle:])]
        if chunk.count == 1:
            return [chunk]
        return [self.encode(chunk.source, [piece]) for piece in self._pieces(chunk.steps[0])]

    def _pieces(self, step: Step) -> list[Step]:
        whole, entries = step.span, bounds(step.entries, as_json=self._as_json)
        sizes = [entry.line_size + 1 for entry in entries]
        # Of lines that were cut, or passed over, nobody knows how many bytes of the file they were.
        is_exact = whole.is_exact or (step.place is None and sum(sizes) == step.size)
        pieces, window = [], b""
        for first, end in shares(len(entries)):
            is_last = whole.is_last and end == len(entries)
            begin = whole.start + sum(sizes[:first]) if is_exact else whole.start
            over = begin + sum(sizes[first:end]) if is_exact else whole.end
            size, position = step.size if is_last else 0, step.end
            if is_exact and not self._as_json:  # JSON may not have a line's own bytes
                lines = b"".join(entry.line + b"\n" for entry in entries[first:end])
                window = (window + lines)[-MARKER_SIZE:]
                size, is_last = over - begin, True
                if over != step.end.offset:
                    position = Position(step.end.generation, over, window)
            place = Place(whole.first + first, whole.step_start, is_last, begin, over, is_exact)
            text = step.entries[entries[first].start : entries[end - 1].end]
            pieces.append(Step(text, end - first, size, position, place))
        return pieces

    def _packed_forward(self, steps: Sequence[Step], option: dict[str, Any]) -> tuple[bytes, ...]:
        entries = [step.entries for step in steps]
        if self._compress == "gzip":
            entries = [squeeze(b"".join(entries))]
            option["compressed"] = "gzip"
        head = b"\x93" + msgpack.packb(self._tag) + struct.pack(">BI", 0xC6, sum(map(len, entries)))
        return (head, *entries, msgpack.packb(option))

    def _json(self, steps: Sequence[Step], option: dict[str, Any]) -> tuple[bytes, ...]:
        head = f"[{json.dumps(self._tag)},[".encode("ascii")
        between = [piece for step in steps for piece in (b",", step.entries)][1:]
        return (head, *between, f"],{json.dumps(option)}]".encode("ascii"))
