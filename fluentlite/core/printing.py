"""Events as people and programs read them: JSON lines, or the log lines as they were."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import msgpack

from fluentlite.core.decode import Event, ReceivedChunk
from fluentlite.core.messages import EventTime
from fluentlite.errors import RemoteProtocolError

MAX_PRINTED_DEPTH = 100
"""Most levels of a record that is printed as JSON."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def json_lines(chunk: ReceivedChunk) -> bytes:
    """
    Print each event as ``{"tag": ..., "time": seconds, "record": {...}}`` and a newline, in UTF-8.

    The time has nine decimals if it came as EventTime. Each byte that is not UTF-8 becomes U+FFFD;
    a number that JSON does not know (NaN) becomes null.

    Raises:
        RemoteProtocolError: A record has more than MAX_PRINTED_DEPTH levels.
    """
    head = f'{{"tag":{_encode(chunk.tag)},"time":'
    text = "".join([f'{head}{_time(time)},"record":{_json(record)}}}\n' for time, record in chunk.events])
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _SURROGATE.sub("\ufffd", text).encode()


def raw_lines(chunk: ReceivedChunk, field_name: str) -> bytes:
    """
    Print the value of *field_name* of each event and a newline, bytes unchanged.

    Events without the field print nothing; a value that is no string is printed as JSON.
    """
    return b"".join([value + b"\n" for value in field_values(chunk.events, field_name)])


def field_values(events: list[Event], field_name: str) -> list[bytes]:
    """Return the bytes of *field_name* of those events that have it."""
    return [_bytes(event.record[field_name]) for event in events if field_name in event.record]


def _time(time: EventTime | int | float) -> str:
    return f"{time.seconds}.{time.nanoseconds:09d}" if isinstance(time, EventTime) else repr(time)


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    return (value if isinstance(value, str) else _json(value)).encode("utf-8", "surrogateescape")


def _json(value: Any) -> str:
    try:
        return _encode(value)
    except (TypeError, ValueError, RecursionError):
        return _encode(_printable(value, MAX_PRINTED_DEPTH))


def _printable(value: Any, levels: int) -> Any:
    """Put something that JSON knows for what it does not: bin, ext, NaN, keys that are bin."""
    if not levels:
        raise RemoteProtocolError(
            f"it sent a record of more than {MAX_PRINTED_DEPTH} levels, too many to print"
        )
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, dict):
        return {_printable(key, levels): _printable(item, levels - 1) for key, item in value.items()}
    if isinstance(value, msgpack.ExtType | msgpack.Timestamp):
        return repr(value)
    if isinstance(value, list):
        return [_printable(item, levels - 1) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
