"""
Make chunks of events from messages: Message, Forward, PackedForward, CompressedPackedForward.

Source: Forward Protocol Specification v1, "Carrier Mode", "Option"; Fluent Bit's entries with metadata
as its out_forward sends them.
"""

from __future__ import annotations

import enum
import math
import zlib
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgpack

from fluentlite.core.messages import MAX_ELEMENTS, UNPACK_OPTIONS, EventTime, Message
from fluentlite.core.values import check_values
from fluentlite.errors import RemoteProtocolError

MAX_DECOMPRESSED_BYTES = 64 * 1024 * 1024
"""Most bytes that the entries of one chunk may have after decompression."""
MAX_GZIP_MEMBERS = 1 << 16
"""Most gzip members in one chunk; Fluentd appends one for each batch that it buffers."""
MAX_ID = 1024
"""Most characters or bytes of a chunk's id: it is sent back. Fluentd's have 24, ours about 60."""
GZIP_STEP = 16 * 1024
"""Compressed bytes decompressed at a time; zlib copies the rest of a step at the end of each member."""
GZIP = zlib.MAX_WBITS | 16


class Mode(enum.Enum):
    """The four carrier modes."""

    MESSAGE = "Message"
    FORWARD = "Forward"
    PACKED_FORWARD = "PackedForward"
    COMPRESSED_PACKED_FORWARD = "CompressedPackedForward"


class Reading(enum.Enum):
    """How far entries are looked at."""

    COUNT = "count"
    """Not at all if the option ``size`` tells their number; ``events`` stays empty."""
    DECODE = "decode"
    """All of them; what ``size`` says does not matter, as for Fluentd."""
    VERIFY = "verify"
    """All of them, and ``size`` must be their number."""


class Event(NamedTuple):
    """
    One event without its tag.

    Attributes:
        time: EventTime, or integer seconds since 1970; some clients send seconds as a float.
        record: str is str, with surrogate escapes for bytes that are not UTF-8
            (``value.encode("utf-8", "surrogateescape")`` returns them unchanged); bin is bytes.
    """

    time: EventTime | int | float
    record: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ReceivedChunk:
    """
    What one message carried.

    Attributes:
        count: Number of events.
        size: Bytes of the message on the wire.
        id: What the client wants to have acknowledged; None if it does not ask.
        events: In order; empty when they were only counted.
    """

    tag: str
    mode: Mode
    count: int
    size: int
    id: str | bytes | None
    events: list[Event] = field(default_factory=list, repr=False)


class Option(NamedTuple):
    """The last element of a message, as far as it matters here."""

    size: int | None = None
    chunk: str | bytes | None = None
    gzip: bool = False


def decode_chunk(message: Message, reading: Reading) -> ReceivedChunk:
    """
    Decode one message of an established connection.

    Raises:
        RemoteProtocolError: It is no Forward message; the text says why.
    """
    content = message.content
    if not isinstance(content, list) or not 2 <= len(content) <= 4:
        raise RemoteProtocolError(f"it sent {kind(content)} where a message [tag, ...] was expected")
    carried = _bytes_of(content[1])
    if isinstance(carried, bytes | memoryview):
        mode, option = Mode.PACKED_FORWARD, _option(content[2:])
        if option.gzip:
            mode = Mode.COMPRESSED_PACKED_FORWARD
    elif isinstance(carried, list):
        mode, option = Mode.FORWARD, _option(content[2:])
    else:
        mode, option = Mode.MESSAGE, _option(content[3:])
        carried = [content[1:3]]
    tag = _tag(content[0])
    count, events = _events(carried, option, reading)
    return ReceivedChunk(tag, mode, count, message.size, option.chunk, events)


def gunzip(data: bytes | memoryview, limit: int = MAX_DECOMPRESSED_BYTES) -> bytes:
    """
    Decompress one or more gzip members, one after another.

    Raises:
        RemoteProtocolError: They are no gzip, are cut off, or decompress to more than *limit* bytes.
    """
    view, pieces, size, at, members = memoryview(data), [], 0, 0, 1
    inflater = zlib.decompressobj(wbits=GZIP)
    try:
        while at < len(view):
            if inflater.eof:
                inflater = zlib.decompressobj(wbits=GZIP)
                members += 1
            step = view[at : at + GZIP_STEP]
            pieces.append(inflater.decompress(step, limit - size + 1))
            at += len(step) - len(inflater.unused_data)
            size += len(pieces[-1])
            if size > limit or members > MAX_GZIP_MEMBERS:
                raise RemoteProtocolError(
                    f"it sent entries that decompress to more than {limit} bytes, or more than "
                    f"{MAX_GZIP_MEMBERS} gzip members, the most that is taken"
                )
    except zlib.error as exc:
        raise RemoteProtocolError(f"it sent compressed entries that are no gzip ({exc})") from exc
    if not inflater.eof:
        raise RemoteProtocolError("it sent compressed entries that are cut off")
    return b"".join(pieces)


_KINDS: dict[type, str] = {
    dict: "a map",
    list: "an array",
    str: "a str",
    bytes: "a bin",
    memoryview: "a bin",
    int: "an integer",
    float: "a float",
    bool: "a boolean",
    type(None): "nil",
    EventTime: "an EventTime",
}


def kind(value: object) -> str:
    """What *value* is in the words of msgpack; unlike its repr, this is short whatever a peer sent."""
    return _KINDS.get(type(value), "an extension")


def _bytes_of(value: Any) -> Any:
    # Packed entries may be a str as well as a bin: Fluentd's own are.
    return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value


def _tag(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if not isinstance(value, str):
        raise RemoteProtocolError(f"it sent {kind(value)} where a tag was expected")
    return value


def _option(rest: list[Any]) -> Option:
    """Read the option, which is *rest*'s only element if the client sent one."""
    if not rest or rest == [None]:
        return Option()
    if len(rest) > 1 or not isinstance(rest[0], dict):
        raise RemoteProtocolError(f"it sent {kind(rest[-1])} where at most an option, a map, was expected")
    size, chunk, compressed = (rest[0].get(name) for name in ("size", "chunk", "compressed"))
    if size is not None and (type(size) is not int or not 0 <= size <= MAX_ELEMENTS):
        raise RemoteProtocolError(f"it sent an option size that is no number from 0 to {MAX_ELEMENTS}")
    if not isinstance(chunk, str | bytes | None):
        raise RemoteProtocolError(f"it sent {kind(chunk)} as the id of a chunk, where a str was expected")
    if chunk is not None and len(chunk) > MAX_ID:
        raise RemoteProtocolError(f"it sent a chunk whose id is longer than {MAX_ID} characters")
    if compressed not in (None, "text", "gzip", b"text", b"gzip"):
        raise RemoteProtocolError(
            "it sent entries in a compression other than gzip, which is all that is understood"
        )
    return Option(size, chunk, gzip=compressed in ("gzip", b"gzip"))


def _events(
    carried: bytes | memoryview | list[Any], option: Option, reading: Reading
) -> tuple[int, list[Event]]:
    """Return the number of events and, unless they are only counted, the events."""
    if reading is Reading.COUNT and option.size is not None:
        return option.size, []
    if isinstance(carried, bytes | memoryview):
        events = _unpack_events(gunzip(carried) if option.gzip else carried)
    else:
        events = [_event(entry) for entry in carried]
    count = len(events)
    if reading is Reading.VERIFY and option.size not in (None, count):
        raise RemoteProtocolError(
            f"it sent {count} entries, and said that they are {option.size} (option size)"
        )
    return (count, []) if reading is Reading.COUNT else (count, events)


def _unpack_events(stream: bytes | memoryview) -> list[Event]:
    """Unpack entries that stand one after another, without an array around them."""
    check_values(stream)
    unpacker = msgpack.Unpacker(**UNPACK_OPTIONS)
    unpacker.feed(stream)
    events, end = [], 0
    for entry in unpacker:
        events.append(_event(entry))
        end = unpacker.tell()
        if len(events) > MAX_ELEMENTS:
            raise RemoteProtocolError(
                f"it sent a chunk of more than {MAX_ELEMENTS} entries, the most that is taken"
            )
    if end != len(stream):
        raise RemoteProtocolError(
            f"it sent a chunk whose last entry is cut off, {len(stream) - end} bytes after its begin"
        )
    return events


def _event(entry: Any) -> Event:
    if type(entry) is not list or len(entry) != 2:
        raise RemoteProtocolError(f"it sent {kind(entry)} where an entry [time, record] was expected")
    time, record = entry
    if type(time) is list and len(time) == 2:
        time = time[0]  # [[time, metadata], record] of Fluent Bit 2.1 and later
    if type(time) not in (EventTime, int) and not (type(time) is float and math.isfinite(time)):
        raise RemoteProtocolError(f"it sent {kind(time)} as the time of an event")
    if type(record) is not dict:
        raise RemoteProtocolError(f"it sent {kind(record)} as a record, where a map was expected")
    return Event(time, record)
