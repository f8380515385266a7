"""
Finding single entries in a step's packed ones, to cut a step that a server does not take.

Steps do not keep their lines: the path of all others would have to pay for it. This one is rare and may be slow.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import msgpack

PARTS = 8
"""Into how many parts a step is cut: a thousand entries are single ones after four cuts, and each costs a time-out."""


LineT = TypeVar("LineT", bytes, str)


@dataclass(frozen=True, slots=True)
class Entry:
    """Where an entry lies in the entries of its step, and its line, as it was sent."""

    start: int
    end: int
    line: bytes

    @property
    def line_size(self) -> int:
        """Bytes of the line, without a newline."""
        return len(self.line)


def bounds(entries: bytes, *, as_json: bool) -> list[Entry]:
    """
    Find the single entries of an event stream, msgpack or JSON with commas between.

    Raises:
        ValueError: It is none.
    """
    try:
        return list(_json_bounds(entries) if as_json else _msgpack_bounds(entries))
    except (msgpack.UnpackException, TypeError, AttributeError, RecursionError) as exc:
        raise ValueError(f"not an event stream ({str(exc) or type(exc).__name__})") from exc


def shares(count: int) -> list[tuple[int, int]]:
    """Return how *count* entries, two or more, are divided: first and end of each part, none of them empty."""
    parts = min(PARTS, count)
    edges = [count * part // parts for part in range(parts + 1)]
    return list(itertools.pairwise(edges))


def _msgpack_bounds(entries: bytes) -> Iterator[Entry]:
    unpacker = msgpack.Unpacker(raw=True, strict_map_key=False, max_buffer_size=len(entries) + 1)
    unpacker.feed(entries)
    start = 0
    while start < len(entries):
        _time, record = unpacker.unpack()
        end = unpacker.tell()
        yield Entry(start, end, _line(record, bytes))
        start = end


def _json_bounds(entries: bytes) -> Iterator[Entry]:
    text, decoder, start = entries.decode("ascii"), json.JSONDecoder(), 0
    while start < len(text):
        (_time, record), end = decoder.raw_decode(text, start)
        yield Entry(start, end, _line(record, str).encode("utf-8", "surrogatepass"))
        if text[end : end + 1] not in ("", ","):
            raise ValueError("not an event stream (there is no comma between two entries)")
        start = end + 1


def _line(record: object, kind: type[LineT]) -> LineT:
    line = next(iter(record.values()), None) if isinstance(record, dict) and len(record) == 1 else None
    if not isinstance(line, kind):
        raise ValueError("not an event stream (a record is not one line)")
    return line
