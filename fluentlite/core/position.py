"""
The content of a checkpoint: where each followed file has to be read on from, as bytes.

A checkpoint file is ``SLOTS`` slots of ``SLOT_SIZE`` bytes, of which the newest whole one counts. A slot is a header (magic with the
version, sequence number, payload length, CRC-32 of these three and of the payload) and a payload in JSON,
so that an operator can read it with ``strings``. A test pins these bytes.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import struct
import zlib
from dataclasses import dataclass
from typing import Any

from fluentlite.core.lines import MARKER_SIZE
from fluentlite.core.rotation import Identity

SLOT_SIZE = 32768
"""Bytes: a path of 4096 may take six times that in JSON, and some generations must fit beside it."""

SLOTS = 4
"""One is known to be on the disk, one is on its way there, and two are written in turn meanwhile."""

MAGIC = b"FLUENTL1"
_MAGIC_ANY_VERSION = MAGIC[:-1]
_HEADER = struct.Struct(">8sQI")
_CHECKSUM = struct.Struct(">I")
_PAYLOAD_AT = _HEADER.size + _CHECKSUM.size
MAX_FINISHED = 8
"""Finished generations that are remembered, so that a start does not take them for missed ones."""
_LONGEST_REASON = 200
"""Characters that are told of why a content is not understood; it may quote 32 KiB."""
CHECKPOINT_SUFFIX = ".checkpoint"
MOST = (1 << 63) - 1
"""The largest offset, size and time that the kernel knows; also of epochs and of a slot's number. Devices and inodes have one bit more."""
_MOST_EPOCH = MOST >> 1  # it can still be counted up
_MOST_IDENTITY = (1 << 64) - 1
_DIGEST = re.compile("[0-9a-f]{16}")
_STRANGE = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(frozen=True, slots=True)
class Marker:
    """A hash of the *size* bytes just before an offset, or of the first ones where the offset is 0."""

    size: int
    digest: str

    @classmethod
    def of(cls, window: bytes) -> Marker:
        return cls(len(window), hashlib.blake2b(window, digest_size=8).hexdigest())


@dataclass(frozen=True, slots=True)
class Point:
    """
    One followed file and the offset it has been delivered to.

    Attributes:
        identity: The file.
        epoch: How often it had been cut short; part of its chunks' ids.
        offset: Bytes from its start.
        marker: Of the bytes before *offset*.
        size: Its size in bytes when it was last looked at.
        mtime_ns: Its last write at that time.
    """

    identity: Identity
    epoch: int
    offset: int
    marker: Marker
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class State:
    """
    All that a checkpoint says.

    Attributes:
        path: The log, as configured.
        is_started: False until the first look at the path has been decided.
        points: Oldest generation first; the last one is the file at the path, if there was one.
        finished: The last generations that were delivered whole, up to their *offset*.
    """

    path: str
    is_started: bool = False
    points: tuple[Point, ...] = ()
    finished: tuple[Point, ...] = ()


def checkpoint_name(log_path: str) -> str:
    """Return the name of a log's checkpoint: the log's own, for the reader, and a hash of its path."""
    name = _STRANGE.sub("_", log_path.rpartition("/")[2])[:64]
    digest = hashlib.blake2b(log_path.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
    return f"{name}-{digest}{CHECKPOINT_SUFFIX}"


class SlotError(ValueError):
    """A slot holds no usable state."""


class NewerVersionError(SlotError):
    """A slot was written by a later version of fluentlite."""


def encode_slot(sequence: int, state: State) -> bytes:
    """
    Encode one slot; at most ``SLOT_SIZE`` bytes.

    Where there are more generations than fit, the newest ones are left out: they have not been begun, and a
    start finds them again by name and age.
    """
    payload = _payload(state, list(state.points))
    if len(payload) + _PAYLOAD_AT > SLOT_SIZE:
        room = SLOT_SIZE - _PAYLOAD_AT - len(_payload(state, []))
        ends = itertools.accumulate(len(_dumps(_row(point))) + 1 for point in state.points)
        payload = _payload(
            state, [point for point, end in zip(state.points, ends, strict=False) if end <= room]
        )
    header = _HEADER.pack(MAGIC, sequence, len(payload))
    return header + _checksum(header, payload) + payload


def decode_slot(slot: bytes) -> tuple[int, State]:
    """
    Decode one slot.

    Raises:
        NewerVersionError: It is whole but of a version that is not known here.
        SlotError: Anything else that is not a whole slot; the text says what.
    """
    if len(slot) < _PAYLOAD_AT:
        raise SlotError("it is cut short")
    magic, sequence, length = _HEADER.unpack_from(slot)
    header, checksum = slot[: _HEADER.size], slot[_HEADER.size : _PAYLOAD_AT]
    payload = slot[_PAYLOAD_AT : _PAYLOAD_AT + length]
    if not magic.startswith(_MAGIC_ANY_VERSION):
        raise SlotError("it is empty" if not slot.strip(b"\0") else "it does not begin as a checkpoint does")
    if sequence > MOST:
        raise SlotError(f"its number is {sequence}")
    if len(payload) != length or _checksum(header, payload) != checksum:
        raise SlotError("its checksum does not match")
    if magic != MAGIC:
        raise NewerVersionError(f"it is of format {magic[-1:].decode('ascii', 'replace')}")
    try:
        return sequence, _state(json.loads(payload))
    except (ValueError, TypeError, KeyError, IndexError, RecursionError) as exc:
        raise SlotError(f"its content is not understood ({str(exc)[:_LONGEST_REASON]})") from exc


def split_slots(data: bytes) -> list[bytes]:
    """Return the slots of a checkpoint file; there may be fewer of them than ``SLOTS``, in one of an earlier version."""
    return [data[begin : begin + SLOT_SIZE] for begin in range(0, max(1, len(data)), SLOT_SIZE)]


def newest(slots: list[bytes]) -> tuple[int, State, list[str]]:
    """
    Choose among the slots of one file.

    Returns:
        The highest sequence number with its state, and what was wrong with the others.

    Raises:
        NewerVersionError: One of them was written by a later version.
        SlotError: None of them is usable.
    """
    best: tuple[int, State] | None = None
    problems = []
    for slot in slots:
        try:
            found = decode_slot(slot)
        except NewerVersionError:
            raise
        except SlotError as exc:
            problems.append(str(exc))
            continue
        if best is None or found[0] > best[0]:
            best = found
    if best is None:
        raise SlotError("; ".join(problems))
    return (*best, problems)


def _checksum(header: bytes, payload: bytes) -> bytes:
    return _CHECKSUM.pack(zlib.crc32(payload, zlib.crc32(header)))


def _payload(state: State, points: list[Point]) -> bytes:
    document = {
        "path": state.path,
        "started": state.is_started,
        "points": [_row(point) for point in points],
        "finished": [_row(point) for point in state.finished[-MAX_FINISHED:]],
    }
    return _dumps(document)


def _dumps(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def _row(p: Point) -> list[int | str]:
    return [
        p.identity.device,
        p.identity.inode,
        p.epoch,
        p.offset,
        p.marker.size,
        p.marker.digest,
        p.size,
        p.mtime_ns,
    ]


def _state(document: Any) -> State:
    if not isinstance(document["started"], bool):
        raise TypeError("started is not a boolean")
    points, finished = (tuple(map(_point, document[key])) for key in ("points", "finished"))
    return State(_path(document["path"]), document["started"], points, finished)


def _point(row: Any) -> Point:
    device, inode, epoch, offset, marker_size, digest, size, mtime_ns = row
    return Point(
        identity=Identity(_int(device, _MOST_IDENTITY), _int(inode, _MOST_IDENTITY)),
        epoch=_int(epoch, _MOST_EPOCH),
        offset=_int(offset),
        marker=_marker(marker_size, digest),
        size=_int(size),
        mtime_ns=_time(mtime_ns),
    )


def _marker(size: object, digest: object) -> Marker:
    """As many bytes as a marker says are read from the log when it is compared."""
    if not _DIGEST.fullmatch(_str(digest)):
        raise ValueError(f"{digest!a} is no digest")
    return Marker(_int(size, MARKER_SIZE), _str(digest))


def _int(value: object, most: int = MOST) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise TypeError(f"{value!a} is not a whole number up to {most}")
    return value


def _path(value: object) -> str:
    """A path as the system could have given it: bytes that are no UTF-8 are surrogates, and there is no NUL."""
    path = _str(value)
    if b"\0" in path.encode("utf-8", "surrogateescape"):
        raise ValueError("its path has a NUL character")
    return path


def _time(value: object) -> int:
    """Nanoseconds since 1970; files may be older than that."""
    return value if isinstance(value, int) and value < 0 else _int(value)


def _str(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!a} is not a string")
    return value
