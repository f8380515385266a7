"""How many values msgpack bytes hold, counted before any of them is built."""

from __future__ import annotations

from fluentlite.errors import RemoteProtocolError

MAX_VALUES = 1 << 22
"""
Most values of one message, or of the entries of one chunk. One byte can be an empty map, for which Python needs 64 and
the eight of a pointer: 64 MiB of them, 64 KiB when gzipped, would be 5 GB. Fluentd's chunks of 8 MiB have some 100,000.
"""


def check_values(data: bytes | memoryview) -> None:
    """
    Count the values in *data*, msgpack of any depth, if they can be too many at all.

    Raises:
        RemoteProtocolError: They are more than MAX_VALUES.
    """
    if len(data) > MAX_VALUES and _is_more_than(MAX_VALUES, data):
        raise RemoteProtocolError(
            f"it sent more than {MAX_VALUES} values in one message, the most that is taken"
        )


def _is_more_than(most: int, data: bytes | memoryview) -> bool:
    """What is in an array or a map follows its header, as what comes behind it does: depth does not matter."""
    at = count = 0
    end = len(data)
    while at < end:
        first = data[at]
        at += _SIZES[first]
        if first in _LENGTHS:
            at += int.from_bytes(data[at - _LENGTHS[first] : at], "big")
            at += 0xC7 <= first <= 0xC9  # the type of an ext
        count += 1
        if count > most:
            return True
    return False


_LENGTHS = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xC7: 1, 0xC8: 2, 0xC9: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
"""bin, ext and str: bytes of the length that follows."""


def _size(first: int) -> int:
    """Bytes of a value that begins with *first*; of bin, ext and str those before their content; of arrays and maps the header's."""
    if 0xA0 <= first <= 0xBF:
        return 1 + (first & 0x1F)
    if first in _LENGTHS:
        return 1 + _LENGTHS[first]
    return _OTHERS.get(first, 1)


_OTHERS = {
    # float
    0xCA: 5, 0xCB: 9,
    # integers
    0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9, 0xD0: 2, 0xD1: 3, 0xD2: 5, 0xD3: 9,
    # fixext
    0xD4: 3, 0xD5: 4, 0xD6: 6, 0xD7: 10, 0xD8: 18,
    # arrays and maps
    0xDC: 3, 0xDD: 5, 0xDE: 3, 0xDF: 5,
}  # fmt: skip
_SIZES = tuple(map(_size, range(256)))
