"""What a demo shows: events one below the other, and under them, on a terminal, a table that is drawn again and again."""

from __future__ import annotations

import errno
import sys
from collections.abc import Mapping, Sequence

from fluentlite.core.display import cut, defuse
from fluentlite.core.status_table import Line
from fluentlite.demo.stopped import StoppedError
from fluentlite.terminal import Terminal

_UP, _TO_END_OF_LINE, _TO_END_OF_SCREEN = "\x1b[{}A", "\x1b[K", "\x1b[J"

_PRINTED_ROWS = 20
"""Lines that a table has at most where it is printed again and again."""


class Show(Terminal):
    """Draws where that is possible; elsewhere it only prints."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__(environ)
        self._table: list[Line] = []
        self._height = 0

    def tell(self, text: str = "") -> None:
        """Print *text*, which stays, above the table."""
        told = [Line(defuse(line, ascii_only=self.ascii_only)) for line in text.split("\n")]
        if self.is_screen:
            self._redraw(told)
        else:
            self._put("".join(f"{line.text}\n" for line in told))

    def show(self, table: Sequence[Line], caption: str) -> None:
        """Show *table*, and *caption* below it, instead of the one before; where nothing can be drawn, after it."""
        columns, rows = self.size
        most = rows - 1 if self.is_screen else _PRINTED_ROWS
        fitting = _fitting(table, max(1, most - 4), columns - 1)
        shown = [Line(""), *fitting, Line(""), Line(cut(caption, columns - 1), "title"), Line("")]
        if self.is_screen:
            self._table = shown[-max(1, most) :]
            self._redraw([])
        else:
            self._put("".join(f"{line.text}\n" for line in shown))

    def settle(self) -> None:
        """Let the table stay where it is: the next one comes below. For a terminal that was used by others, or is of another size."""
        self._table, self._height = [], 0

    def _redraw(self, above: Sequence[Line]) -> None:
        up = _UP.format(self._height) if self._height else ""
        lines = "".join(self._text(line) + _TO_END_OF_LINE + "\n" for line in (*above, *self._table))
        self._height = len(self._table)
        self._put(f"{up}\r{lines}{_TO_END_OF_SCREEN}")

    def _put(self, text: str) -> None:
        if sys.stdout is None:  # it was closed: the exit status alone is wanted
            return
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except OSError as exc:
            if exc.errno != errno.EIO:
                raise
            raise StoppedError("the terminal is gone") from exc


def _fitting(lines: Sequence[Line], rows: int, columns: int) -> list[Line]:
    """*lines*, none of them wider than *columns*; if there are more than *rows*, the last one says how many logs it hides."""
    shown = list(lines)
    if len(shown) > rows:
        hidden = sum(line.is_log for line in shown[rows - 1 :])
        shown[rows - 1 :] = [Line(f"... and {hidden} more logs", "head")]
    return [Line(cut(line.text, columns), line.tone) for line in shown]
