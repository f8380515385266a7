"""The lines that are written: each is its number, so what arrives can be judged without keeping it."""

from __future__ import annotations

import re

# Every byte but the newline may stand in a line; most are plain text, as in real logs.
_ODD = b"\x00\r\x1b\x7f\x80\xc3\xff\xfe \xf0\x9f\x98\x80"
_PLAIN = bytes(range(0x21, 0x7F))
_PAYLOAD = (_PLAIN * 3 + _ODD + _PLAIN * 4 + b'"\\' + _PLAIN * 5) * 2
_LONG = _PAYLOAD * 16

LONG_EVERY = 4999
"""One line in so many is about 30 KiB long, half of what the worker reads at a time."""

_NUMBERED = re.compile(rb"(\d{12}) .* (\d{12})", re.DOTALL)


def line(number: int) -> bytes:
    """Return the line with this number, without its newline: the number at both ends, between them 0-150 bytes."""
    if number % LONG_EVERY == LONG_EVERY - 1:
        return b"%012d %s %012d" % (number, _LONG, number)
    start = number * 7919 % 1009
    return b"%012d %s %012d" % (number, _PAYLOAD[start : start + number % 151], number)


def lines(first: int, end: int) -> bytes:
    """Return the lines from *first* to before *end* as a log has them."""
    return b"".join([line(number) + b"\n" for number in range(first, end)])


def number_of(data: bytes) -> int:
    """Return the number of the line that *data* is, byte for byte, or -1."""
    head = data[:12]
    if not head.isdigit():
        return -1
    number = int(head)
    return number if data == line(number) else -1


def describe(data: bytes) -> str:
    """Say what *data*, which is no line, seems to be."""
    kind = "two ends of one line, not all of it" if _is_framed(data) else "no whole line"
    shown = data if len(data) <= 80 else data[:40] + b" ... " + data[-40:]
    return f"{kind}, {len(data)} bytes: {shown!r}"


def _is_framed(data: bytes) -> bool:
    match = _NUMBERED.fullmatch(data)
    return match is not None and match[1] == match[2]
