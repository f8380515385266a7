"""
What every worker says of itself, in memory that it shares with the master.

A worker writes, the master reads, and neither waits for the other. A score has two places that are written
in turn, each with a sequence number and a checksum: whenever the writer is killed, one of them is whole.
"""

from __future__ import annotations

import math
import mmap
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

ScoreState = Literal[
    "starting", "following", "catching_up", "waiting_for_file", "connecting", "stopping", "restarting"
]

STATES: tuple[ScoreState, ...] = get_args(ScoreState)

SLOT_SIZE = 2048
"""Bytes of one slot: the heartbeat, and two places for a score."""

SERVER_SIZE, ERROR_SIZE = 270, 600
"""Most bytes of a server's name with its port, and of an error; what is longer is cut."""

READ_ATTEMPTS = 3

_HEARTBEAT_SIZE = 16
_PLACE_SIZE = (SLOT_SIZE - _HEARTBEAT_SIZE) // 2
_HEAD = struct.Struct("=QIH")  # sequence number, checksum of the rest, its size
_NUMBERS = struct.Struct(
    "=BQQQQLdQLQH"
)  # those of a score from its state on, and the size of the server's name
_NUMBER_NAMES = (
    "lines", "bytes", "chunks", "lag_bytes", "unacked_chunks", "oldest_unacked", "position", "reconnects", "resent_chunks",
)  # fmt: skip

_NOTHING = (0, bytes(_NUMBERS.size))
"""Sequence number and body of a place that was never written: those of ``Score()``."""


@dataclass(frozen=True, slots=True)
class Score:
    """
    What a worker says of itself. All numbers begin with 0 in each worker.

    Attributes:
        heartbeat: When it last turned, in ``time.monotonic()`` seconds; 0.0 before the first turn.
        state: One of ``STATES``.
        server: ``host:port`` of the server in use, or an empty string.
        lines, bytes, chunks: Delivered.
        lag_bytes: In whole lines that are not delivered.
        unacked_chunks: Sent and not acknowledged.
        oldest_unacked: When the oldest of these was first sent, in ``time.monotonic()`` seconds; 0.0 if there is none.
        position: Offset up to which the oldest unfinished generation is delivered.
        reconnects: Connections made after the first.
        resent_chunks: Chunks sent more than once.
        last_error: What is wrong now, with reason and remedy, or an empty string.
    """

    heartbeat: float = 0.0
    state: ScoreState = "starting"
    server: str = ""
    lines: int = 0
    bytes: int = 0
    chunks: int = 0
    lag_bytes: int = 0
    unacked_chunks: int = 0
    oldest_unacked: float = 0.0
    position: int = 0
    reconnects: int = 0
    resent_chunks: int = 0
    last_error: str = ""


class Slot:
    """
    One worker's place on the scoreboard.

    The worker's process calls ``write`` and ``beat``, the master's ``read`` and ``clear``.

    Args:
        memory: ``SLOT_SIZE`` bytes, shared.
    """

    def __init__(self, memory: memoryview) -> None:
        self._heartbeat = memory[:8].cast("d")
        self._places = [
            memory[begin : begin + _PLACE_SIZE] for begin in (_HEARTBEAT_SIZE, _HEARTBEAT_SIZE + _PLACE_SIZE)
        ]
        self._texts: tuple[tuple[str, str], bytes, int] = (("", ""), b"", 0)
        self._sequence = 0
        self._written = b""
        self._read = _NOTHING

    def beat(self, now: float) -> None:
        """The worker is alive. Eight aligned bytes are written at once: no other checks are needed."""
        self._heartbeat[0] = now

    def write(self, score: Score) -> None:
        """Say *score*; the place that was not written last is overwritten."""
        self.beat(score.heartbeat)
        body = self._encode(score)
        if body == self._written:
            return
        self._written = body
        self._sequence += 1
        place = self._places[self._sequence % 2]
        place[_HEAD.size : _HEAD.size + len(body)] = body
        place[: _HEAD.size] = _HEAD.pack(self._sequence, zlib.crc32(body, self._sequence), len(body))

    def read(self) -> Score:
        """Return what was written last; never a part of it, whatever the writer is doing or was killed at."""
        for _ in range(READ_ATTEMPTS):
            found = max(filter(None, map(_read_place, self._places)), default=None)
            if found is not None and found[0] >= self._read[0]:
                self._read = found
                break
        heartbeat = self._heartbeat[0]
        return _decode(heartbeat if math.isfinite(heartbeat) else 0.0, self._read[1])

    def clear(self) -> None:
        """Forget everything: it is another worker's now."""
        self._heartbeat[0] = 0.0
        for place in self._places:
            place[:] = bytes(_PLACE_SIZE)
        self._sequence, self._written, self._read = 0, b"", _NOTHING

    def _encode(self, score: Score) -> bytes:
        texts = (score.server, score.last_error)
        if texts != self._texts[0]:
            server, error = _cut(score.server, SERVER_SIZE), _cut(score.last_error, ERROR_SIZE)
            self._texts = (texts, server + error, len(server))
        _, encoded, server_size = self._texts
        return (
            _NUMBERS.pack(
                STATES.index(score.state), score.lines, score.bytes, score.chunks, score.lag_bytes,
                score.unacked_chunks, score.oldest_unacked, score.position, score.reconnects, score.resent_chunks,
                server_size,
            )
            + encoded
        )  # fmt: skip


class Scoreboard:
    """
    The slots of all workers. Made by the master, before it forks; a worker that is forked later finds in its
    memory all slots that were taken before.

    Args:
        capacity: Slots of one region; another one is made when all are taken.
    """

    def __init__(self, capacity: int = 1024) -> None:
        self._capacity = capacity
        self._free: list[Slot] = []

    def take(self) -> Slot:
        """Return a slot that nobody uses, cleared."""
        if not self._free:
            self._add_region()
        slot = self._free.pop()
        slot.clear()
        return slot

    def free(self, slot: Slot) -> None:
        """Give *slot* back; its worker is gone."""
        self._free.append(slot)

    def _add_region(self) -> None:
        region = memoryview(mmap.mmap(-1, self._capacity * SLOT_SIZE))  # anonymous, shared, of zeros
        begins = reversed(range(0, len(region), SLOT_SIZE))
        self._free += [Slot(region[begin : begin + SLOT_SIZE]) for begin in begins]


def _read_place(place: memoryview) -> tuple[int, bytes] | None:
    """
    Return sequence number and body, or None: it was never written, is just being written, or makes no sense: workers run
    as another user, and the master must stand whatever they write.
    """
    data = bytes(place)
    sequence, checksum, size = _HEAD.unpack_from(data)
    body = data[_HEAD.size : _HEAD.size + size]
    if not sequence or len(body) < _NUMBERS.size or zlib.crc32(body, sequence) != checksum:
        return None
    numbers = _NUMBERS.unpack_from(body)
    if numbers[0] >= len(STATES) or not all(map(math.isfinite, numbers)):
        return None  # no worker of ours says that
    return sequence, body


def _decode(heartbeat: float, body: bytes) -> Score:
    numbers: Sequence[Any] = _NUMBERS.unpack_from(body)
    server_end = _NUMBERS.size + numbers[-1]
    server, error = body[_NUMBERS.size : server_end], body[server_end:]
    values: dict[str, Any] = dict(zip(_NUMBER_NAMES, numbers[1:], strict=False))
    values["server"], values["last_error"] = server.decode(errors="replace"), error.decode(errors="replace")
    return Score(heartbeat, STATES[numbers[0]], **values)


def _cut(text: str, size: int) -> bytes:
    """Encode *text* in at most *size* bytes; what is cut is marked so."""
    encoded = text.encode(errors="backslashreplace")
    if len(encoded) <= size:
        return encoded
    return encoded[: size - 3].decode(errors="ignore").encode() + b"..."
