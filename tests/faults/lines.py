"""
The lines that are written: each is its number, so what arrives can be judged without keeping it.

A hundred thousand of them a second are made and compared in blocks: all lines whose numbers have the same digits but
the last three are joined from pieces that exist already.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate

# Every byte but the newline may stand in a line; most are plain text, as in real logs.
_ODD = b"\x00\r\x1b\x7f\x80\xc3\xff\xfe \xf0\x9f\x98\x80"
_PLAIN = bytes(range(0x21, 0x7F))
_PAYLOAD = (_PLAIN * 3 + _ODD + _PLAIN * 4 + b'"\\' + _PLAIN * 5) * 2
_LONG = _PAYLOAD * 16

_BLOCK = 1000
"""Lines of a block: as many as three digits can tell apart."""

_KINDS = 7
"""Kinds of blocks, in turn: what is in a line repeats itself after so many."""

_LONG_ONE = 4998
"""One line in ``_KINDS * _BLOCK`` is about 30 KiB long, half of what the worker reads at a time."""

_NUMBERED = re.compile(rb"(\d{12}) .* (\d{12})", re.DOTALL)

Run = tuple[int, int, bytes]
"""Whole lines with successive numbers: the first one, how many, nothing. Or -1, 1 and something that is no line."""


def line(number: int) -> bytes:
    """Return the line with this number, without its newline: the number at both ends, between them 0-150 bytes."""
    return b"%012d %s %012d" % (number, _between(number % (_KINDS * _BLOCK)), number)


def lines(first: int, end: int) -> bytes:
    """Return the lines from *first* to before *end* as a log has them."""
    parts = []
    while first < end:
        index, start = divmod(first, _BLOCK)
        stop = min(start + end - first, _BLOCK)
        ends = _pieces(index % _KINDS)[1]
        parts.append(_block(index)[ends[start] : ends[stop]])
        first += stop - start
    return b"".join(parts)


def runs_of(data: Sequence[bytes]) -> list[Run]:
    """Return what *data* are, line by line and byte for byte: lines with successive numbers, or no lines."""
    if data and (first := _claimed(data[0])) >= 0:
        joined = b"%s\n" % b"\n".join(data)
        # There is a newline for each line and no other one, so lines that are equal joined are equal.
        if joined == lines(first, first + len(data)):
            return [(first, len(data), b"")]
    return _runs_line_by_line(data)


def number_of(data: bytes) -> int:
    """Return the number of the line that *data* is, byte for byte, or -1."""
    number = _claimed(data)
    return number if number >= 0 and data == line(number) else -1


def describe(data: bytes) -> str:
    """Say what *data*, which is no line, seems to be."""
    kind = "two ends of one line, not all of it" if _is_framed(data) else "no whole line"
    shown = data if len(data) <= 80 else data[:40] + b" ... " + data[-40:]
    return f"{kind}, {len(data)} bytes: {shown!r}"


# -- inside -------------------------------------------------------------------------------------------------


def _between(place: int) -> bytes:
    """What stands between the numbers of a line at this *place* of the kinds of blocks."""
    if place == _LONG_ONE:
        return _LONG
    start = place * 7919 % 1009
    return _PAYLOAD[start : start + place % 151]


@lru_cache(maxsize=_KINDS)
def _pieces(kind: int) -> tuple[list[bytes], list[int]]:
    """Return what stands between the first nine digits of the numbers in a block, and where its lines end."""
    pieces = [b""]
    for index in range(_BLOCK):
        pieces += [b"%03d %s " % (index, _between(kind * _BLOCK + index)), b"%03d\n" % index]
    sizes = [18 + len(head) + len(tail) for head, tail in zip(pieces[1::2], pieces[2::2], strict=True)]
    return pieces, [0, *accumulate(sizes)]


@lru_cache(maxsize=64)
def _block(index: int) -> bytes:
    return (b"%09d" % index).join(_pieces(index % _KINDS)[0])


def _claimed(data: bytes) -> int:
    """Return the number at the beginning of *data*, or -1."""
    head = data[:12]
    return int(head) if len(head) == 12 and head.isdigit() else -1


def _runs_line_by_line(data: Sequence[bytes]) -> list[Run]:
    runs: list[Run] = []
    for item in data:
        number = number_of(item)
        if number < 0:
            runs.append((-1, 1, item))
        elif runs and runs[-1][0] >= 0 and sum(runs[-1][:2]) == number:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1, b"")
        else:
            runs.append((number, 1, b""))
    return runs


def _is_framed(data: bytes) -> bool:
    match = _NUMBERED.fullmatch(data)
    return match is not None and match[1] == match[2]
