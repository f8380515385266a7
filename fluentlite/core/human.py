"""Numbers as people read them at a glance: few digits, a unit, never wider than five columns."""

from __future__ import annotations

_SIZES = ("B", "K", "M", "G", "T", "P", "E")
_COUNTS = ("", "k", "M", "G", "T", "P", "E")
_TIMES = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


def size(count: float) -> str:
    """Bytes, in units of 1024: ``0``, ``512B``, ``1.5K``, ``12M``."""
    return "0" if count < 1 else _scaled(count, 1024, _SIZES)


def count(number: float) -> str:
    """A count: every digit up to 99999, then ``123k``, ``1.2M``."""
    return str(max(0, int(number))) if number < 100_000 else _scaled(number, 1000, _COUNTS)


def plural(number: int, what: str) -> str:
    """``1 log``, ``2 logs``."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def rate(per_second: float) -> str:
    """How many a second: ``0``, ``0.3``, ``42``, ``123k``. What is not nothing is not shown as 0."""
    if 0 < per_second < 9.95:
        return f"{max(0.1, per_second):.1f}"
    return count(round(per_second))


def percent(value: float) -> str:
    """``7%``, rounded."""
    return f"{max(0, round(value))}%"


def duration(seconds: float) -> str:
    """A time with two units, for sentences: ``45s``, ``3m 20s``, ``2d 4h``."""
    rest = max(0, int(seconds))
    first = next((place for place, (_, length) in enumerate(_TIMES) if rest >= length), len(_TIMES) - 1)
    parts = []
    for unit, length in _TIMES[first : first + 2]:
        number, rest = divmod(rest, length)
        parts.append(f"{number}{unit}")
    return " ".join(part for number, part in enumerate(parts) if number == 0 or not part.startswith("0"))


def age(seconds: float) -> str:
    """A time with one unit, for columns: ``99s``, ``99m``, ``47h``, ``12d``."""
    for unit, length, most in (("s", 1, 100), ("m", 60, 100), ("h", 3600, 48)):
        if seconds < most * length:
            return f"{max(0, int(seconds / length))}{unit}"
    return f"{int(seconds / 86400)}d"


def _scaled(number: float, base: int, units: tuple[str, ...]) -> str:
    """Three digits at most, one of them behind the point if there is one before it: ``1.5K``, ``999B``, ``1.0M``."""
    place = 0
    while number >= 999.5 and place < len(units) - 1:
        number /= base
        place += 1
    digits = f"{number:.1f}" if place and number < 9.95 else f"{number:.0f}"
    return digits + units[place]
