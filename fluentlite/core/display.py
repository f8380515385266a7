"""
Text for a terminal: how wide it is, cut and wrapped by columns, and harmless whatever is in it.

Names of files and tags come from anywhere. What could move the cursor, change colours, reverse the reading
direction or pile up on its neighbours is shown as an escape such as ``\\x1b``.
"""

from __future__ import annotations

import unicodedata

_MARKS_AT_MOST = 2
"""Combining marks on one letter; what has more is no writing but a prank."""

_MARK = "Mn"

_UNSAFE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Me"}
"""
Categories of what is escaped: controls, invisible formats (among them those that change the direction),
lone surrogates (bytes that were not UTF-8), characters of unknown width, separators of lines, enclosing marks.
"""

_VARIATION_SELECTORS = range(0xFE00, 0xFE10)
"""Marks that change how wide the character before them is."""

_REGIONAL_INDICATORS = range(0x1F1E6, 0x1F200)
"""Two of them are a flag; terminals disagree on how wide one is."""


def defuse(text: str, *, ascii_only: bool = False) -> str:
    """
    Return *text* on one line and without anything that does more than take up columns.

    Args:
        ascii_only: The terminal knows nothing else.
    """
    if text.isascii() and text.isprintable():
        return text
    shown: list[str] = []
    marks = _MARKS_AT_MOST  # none may stand at the beginning: it would go onto what is before it
    for char in text:
        is_mark = unicodedata.category(char) == _MARK
        marks = marks + 1 if is_mark else 0
        is_unsafe = unicodedata.category(char) in _UNSAFE or ord(char) in _VARIATION_SELECTORS
        if is_unsafe or marks > _MARKS_AT_MOST or (ascii_only and not char.isascii()):
            shown.append(_escape(char))
            marks = _MARKS_AT_MOST if is_mark else 0
        else:
            shown.append(char)
    return "".join(shown)


def width(text: str) -> int:
    """The columns that *text*, defused, takes; rather too many than too few."""
    return len(text) if text.isascii() else sum(map(_char_width, text))


def fit(text: str, columns: int, *, right: bool = False, middle: bool = False) -> str:
    """Bring *text*, defused, to exactly *columns*: cut as by :func:`cut`, or filled with spaces."""
    shown = cut(text, columns, middle=middle)
    fill = " " * (columns - width(shown))
    return fill + shown if right else shown + fill


def cut(text: str, columns: int, *, middle: bool = False) -> str:
    """
    Cut *text*, defused, to at most *columns*; a ``~`` stands for what is missing.

    Args:
        middle: Leave out the middle, not the end: names often differ at their ends only.
    """
    if width(text) <= columns:
        return text
    tail = _tail(text, (columns - 1) // 2) if middle else ""
    return _head(text, columns - 1 - width(tail)) + "~" + tail


def wrap(text: str, columns: int, indent: str = "") -> list[str]:
    """Break *text*, defused, between words into lines of at most *columns*; what has no space is broken anywhere."""
    room = columns - len(indent)
    lines: list[str] = []
    line = ""
    for word in text.split(" "):
        joined = f"{line} {word}" if line else word
        if width(joined) <= room:
            line = joined
            continue
        if line:
            lines.append(line)
        line = word
        while width(line) > room:
            head = _head(line, room)
            lines.append(head)
            line = line[len(head) :]
    return [indent + line for line in (*lines, line) if line]


def _char_width(char: str) -> int:
    if char.isascii():
        return 1
    if unicodedata.category(char) == _MARK:
        return 0
    is_wide = unicodedata.east_asian_width(char) in "WF" or ord(char) in _REGIONAL_INDICATORS
    return 2 if is_wide else 1


def _head(text: str, columns: int) -> str:
    """The longest beginning of *text* that fits, with the marks of its last letter."""
    taken = 0
    for place, char in enumerate(text):
        taken += _char_width(char)
        if taken > columns:
            return text[:place]
    return text


def _tail(text: str, columns: int) -> str:
    """The longest end of *text* that fits; it begins with a letter, not with the marks of the one before it."""
    taken, start = 0, len(text)
    for place in range(len(text) - 1, -1, -1):
        taken += _char_width(text[place])
        if taken > columns:
            break
        if _char_width(text[place]):
            start = place
    return text[start:]


def _escape(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was not UTF-8, as Python keeps it
        code -= 0xDC00
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
