"""A terminal without glass: what stands on it after what was written to it."""

from __future__ import annotations

import re

_PART = re.compile(r"\x1b\[(\??)([0-9;]*)([A-Za-z])|\r|\n|[^\x1b\r\n]")


class Screen:
    """
    Knows what we use, and fails on anything else.

    Attributes:
        modes: The private modes that are on: 1049 the alternate screen, 25 the cursor, 7 wrapping.
        frames: How often the cursor went home.
    """

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self.cells = [[" "] * columns for _ in range(rows)]
        self.row = self.column = self.frames = 0
        self.modes = {25, 7}
        self._rest = ""

    @property
    def text(self) -> str:
        return "\n".join("".join(row).rstrip() for row in self.cells).rstrip()

    def feed(self, text: str) -> None:
        """Take what was written; an escape sequence may come in two parts."""
        text = self._rest + text
        end = text.rfind("\x1b")
        complete = end < 0 or re.match(r"\x1b\[\??[0-9;]*[A-Za-z]", text[end:])
        text, self._rest = (text, "") if complete else (text[:end], text[end:])
        at = 0
        for part in _PART.finditer(text):
            assert part.start() == at, f"not understood: {text[at : at + 20]!r}"
            at = part.end()
            self._take(part)
        assert at == len(text), f"not understood: {text[at : at + 20]!r}"

    def _take(self, part: re.Match[str]) -> None:
        if part[3] is not None:
            self._control(part[1], part[2], part[3])
        elif part[0] == "\r":
            self.column = 0
        elif part[0] == "\n":
            assert self.row < self.rows - 1 or 1049 not in self.modes, "it scrolled"
            if self.row == self.rows - 1:
                self.cells = [*self.cells[1:], [" "] * self.columns]
            self.row = min(self.row + 1, self.rows - 1)
        else:
            self.cells[self.row][min(self.column, self.columns - 1)] = part[0]
            self.column = min(self.column + 1, self.columns)

    def _control(self, private: str, parameters: str, final: str) -> None:
        at = min(self.column, self.columns - 1)  # behind the last letter it still stands on it
        match private + parameters + final:
            case "H":
                self.row = self.column = 0
                self.frames += 1
            case "K":
                self.cells[self.row][at:] = [" "] * (self.columns - at)
            case "J" | "2J":
                if parameters == "2":
                    self.row = at = 0
                self.cells[self.row][at:] = [" "] * (self.columns - at)
                for row in self.cells[self.row + 1 :]:
                    row[:] = [" "] * self.columns
            case "?1049h" | "?25h" | "?7h":
                self.modes.add(int(parameters))
            case "?1049l" | "?25l" | "?7l":
                self.modes.discard(int(parameters))
            case _:
                assert final == "m", f"not understood: {private}{parameters}{final}"
