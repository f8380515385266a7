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
from dataclasses import dataclass
from typing import Any

import msgpack

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
class Step:
    """Entries made from one read: *count* of them, from lines that end at *end*; *size* bytes of the file."""

    entries: bytes
    count: int
    size: int
    end: Position


@dataclass(frozen=True, slots=True)
class Chunk:
    """
    Unit of send, ack and retry; its bytes never change.

    Attributes:
        id: What the server echoes as its ack.
        steps: What it is made of, in order; kept so that a refused chunk can be cut in two.
        buffers: The message, in pieces for ``sendmsg``.
        size: Bytes of the message.
        source: Identity of the file, part of the id.
    """

    id: str
    steps: tuple[Step, ...]
    buffers: tuple[bytes, ...]
    size: int
    source: str

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
        """The position once this chunk has been delivered."""
        return self.steps[-1].end


def chunk_id(source: str, start: int, end: Position) -> str:
    """
    Derive a chunk's id from where its bytes are, so that the same bytes read again have the same id.

    The window is part of it: a file that was cut short and filled again has other bytes at the same
    offsets, and a server that drops repetitions must not drop those.

    Returns:
        Base64 of 16 bytes, as Fluentd's own ids.
    """
    digest = hashlib.blake2b(f"{source}:{start}:{end.offset}:".encode() + end.window, digest_size=16)
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

    def encode(self, source: str, steps: Sequence[Step], *, appended: bytes = b"") -> Chunk:
        """
        Make one chunk.

        Args:
            source: Identity of the file the steps were read from.
            steps: At least one, in order.
            appended: Another message to travel behind the chunk (the drain log).
        """
        if not steps:
            raise ValueError(f"a chunk for tag {self._tag!r} has no entries")
        ident = chunk_id(source, steps[0].end.offset - steps[0].size, steps[-1].end)
        option: dict[str, Any] = {"size": sum(step.count for step in steps)}
        if self._require_ack:
            option["chunk"] = ident
        buffers = (self._json if self._as_json else self._packed_forward)(steps, option)
        if appended:
            buffers += (appended,)
        return Chunk(ident, tuple(steps), buffers, sum(map(len, buffers)), source)

    def split(self, chunk: Chunk) -> list[Chunk]:
        """Cut *chunk* in two between its steps; one that has a single step stays as it is."""
        middle = len(chunk.steps) // 2
        if not middle:
            return [chunk]
        return [self.encode(chunk.source, half) for half in (chunk.steps[:middle], chunk.steps[middle:])]

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
