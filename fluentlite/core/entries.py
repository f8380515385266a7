"""
Lines in, entries of an event stream out, without bytecode per line.

All lines of a chunk share one time, so what stands before a line depends on nothing but its length:
a table from lengths to headers, a slice assignment and a join do the work, all of it in C.
"""

from __future__ import annotations

import codecs
import json
import struct
from typing import Any, Protocol

import msgpack

NANOSECONDS = 1_000_000_000

LATEST = (1 << 32) * NANOSECONDS - 1
"""The last time that has a place in an event, in 2106; a clock beyond that, or before 1970, must stop no log."""

KEPT_SIZE = 4096
"""Bytes of a line from which on its str header is made each time anew: a small part of what it costs."""

FEW = 150
"""Lines of one read below which their headers are put together in three parts, not two."""


def event_time(time_ns: int) -> bytes:
    """
    Encode *time_ns* (nanoseconds since 1970) as msgpack ext type 0, "EventTime"; what it cannot hold becomes the nearest it can.

    Source: Forward Protocol v1, "EventTime Ext Format": fixext8, big-endian uint32 seconds and nanoseconds.
    """
    seconds, nanoseconds = divmod(min(max(0, time_ns), LATEST), NANOSECONDS)
    return struct.pack(">BBII", 0xD7, 0, seconds, nanoseconds)


def integer_time(time_ns: int) -> bytes:
    """Encode *time_ns* as whole seconds, for servers that do not know EventTime (Fluentd 0.12)."""
    return struct.pack(">BI", 0xCE, min(max(0, time_ns), LATEST) // NANOSECONDS)


def str_header(size: int) -> bytes:
    """Return what msgpack puts before a str of *size* bytes, in its shortest form."""
    if size < 32:
        return struct.pack(">B", 0xA0 | size)
    if size < 1 << 8:
        return struct.pack(">BB", 0xD9, size)
    if size < 1 << 16:
        return struct.pack(">BH", 0xDA, size)
    return struct.pack(">BI", 0xDB, size)


class EntryPacker(Protocol):
    """How one chunk's lines become the entries of its event stream."""

    overhead: int
    """Most bytes that an entry has beside its line."""
    separator: bytes
    """What stands between the results of two ``pack`` calls."""

    def begin(self, time_ns: int) -> None:
        """Set the time of all lines that follow."""

    def pack(self, lines: list[bytes]) -> bytes:
        """Return the entries of *lines*, which must not be empty."""

    def message(self, tag: str, time_ns: int, record: dict[str, Any]) -> bytes:
        """Return one event in Message mode, without an ack: for pings and the drain log."""


class StrHeaders(dict[int, bytes]):
    """Length of a line -> str header; those of usual lengths are kept for good."""

    def __missing__(self, size: int) -> bytes:
        header = str_header(size)
        if size < KEPT_SIZE:
            self[size] = header
        return header


STR_HEADERS = StrHeaders()


class LengthHeaders(dict[int, bytes]):
    """Length of a line -> what stands before it: array, time, map, field name, str header."""

    def __init__(self, before: bytes) -> None:
        self._before = before

    def __missing__(self, size: int) -> bytes:
        header = self[size] = self._before + STR_HEADERS[size]
        return header


class MsgpackEntries:
    """Entries ``[time, {field_name: line}]``, one after another; a line travels as str, bytes unchanged."""

    separator = b""

    def __init__(self, field_name: str, *, time_as_integer: bool = False) -> None:
        self._time = integer_time if time_as_integer else event_time
        self._after_time = b"\x81" + msgpack.packb(field_name)
        self.overhead = 1 + 10 + len(self._after_time) + 5
        self.begin(0)

    def begin(self, time_ns: int) -> None:
        self._before = b"\x92" + self._time(time_ns) + self._after_time
        self._headers = LengthHeaders(self._before)

    def pack(self, lines: list[bytes]) -> bytes:
        if len(lines) < FEW:
            # A table for this time would be asked too rarely to be worth making.
            out = [self._before] * (3 * len(lines))
            out[1::3] = map(STR_HEADERS.__getitem__, map(len, lines))
            out[2::3] = lines
        else:
            out = [b""] * (2 * len(lines))
            out[0::2] = map(self._headers.__getitem__, map(len, lines))
            out[1::2] = lines
        return b"".join(out)

    def message(self, tag: str, time_ns: int, record: dict[str, Any]) -> bytes:
        # Paths may hold bytes that are not UTF-8; they travel unchanged.
        packed: bytes = msgpack.packb(tag, unicode_errors="surrogateescape")
        packed_record: bytes = msgpack.packb(record, unicode_errors="surrogateescape")
        return b"\x93" + packed + self._time(time_ns) + packed_record


def _replace_each_byte(error: UnicodeError) -> tuple[str, int]:
    """Put one U+FFFD for each bad byte, where "replace" puts one for several."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\ufffd" * (error.end - error.start), error.end


codecs.register_error("fluentlite.replace", _replace_each_byte)


class JsonEntries:
    """Entries as JSON text ``[seconds,{"field_name":"line"}]``; a byte that is not UTF-8 becomes U+FFFD."""

    separator = b","

    def __init__(self, field_name: str) -> None:
        self._field = json.dumps(field_name)
        self.overhead = len(self._field.encode()) + 32
        self.begin(0)

    def begin(self, time_ns: int) -> None:
        self._head = f"[{time_ns // NANOSECONDS},{{{self._field}:"
        self._between = "}]," + self._head

    def pack(self, lines: list[bytes]) -> bytes:
        # Decoded as one text: a newline is never part of a longer UTF-8 sequence.
        texts = b"\n".join(lines).decode("utf-8", "fluentlite.replace").split("\n")
        values = self._between.join(map(json.encoder.encode_basestring_ascii, texts))
        return (self._head + values + "}]").encode("ascii")

    def message(self, tag: str, time_ns: int, record: dict[str, Any]) -> bytes:
        return json.dumps([tag, time_ns // NANOSECONDS, record]).encode("ascii")
