"""Standard output as a terminal: its size, whether it knows colours, and a screen that is drawn again and again."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence

from fluentlite.core.display import width
from fluentlite.core.status_table import Line, clipped

_STDOUT = 1

_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"
"""The alternate screen, no cursor, and lines that are too long end at the edge."""

_LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l"
_HOME, _TO_END_OF_LINE, _TO_END_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"

_DEFAULT_SIZE = os.terminal_size((100, 24))


class Terminal:
    """
    Args:
        environ: ``NO_COLOR`` switches colours off, ``TERM=dumb`` everything that is not plain text.

    Attributes:
        is_screen: It can be drawn on. Otherwise it is a file, a pipe or a terminal that can only print.
        ascii_only: It cannot show anything else.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        is_terminal = sys.stdout is not None and sys.stdout.isatty()
        self.is_screen = is_terminal and environ.get("TERM", "dumb") != "dumb"
        self._has_colours = self.is_screen and not environ.get("NO_COLOR")
        encoding = sys.stdout.encoding if sys.stdout is not None else ""
        self.ascii_only = encoding.lower().replace("-", "") != "utf8"

    @property
    def size(self) -> os.terminal_size:
        """Columns and lines, now."""
        try:
            size = os.get_terminal_size(_STDOUT)
        except OSError:
            return _DEFAULT_SIZE
        return size if size.columns and size.lines else _DEFAULT_SIZE  # a serial line does not know its own

    def print(self, lines: Sequence[Line]) -> None:
        """
        Raises:
            BrokenPipeError: Nobody reads.
        """
        for line in lines:
            print(self._text(line))
        sys.stdout.flush()

    @contextlib.contextmanager
    def screen(self) -> Iterator[None]:
        """Have the screen for ``draw``, and give it back as it was."""
        try:
            self._write(_ENTER)
            yield
        finally:
            with contextlib.suppress(OSError):  # it has been closed, and we with it
                self._write(_LEAVE)

    def draw(self, lines: Sequence[Line]) -> None:
        """
        Show *lines* in place of what is there, as many as there is room for.

        Everything is overwritten, and only what is left over is erased: nothing flickers.
        """
        columns, rows = self.size
        shown = clipped(lines, rows, columns)
        # Behind a line that fills its row the cursor still stands on its last letter: nothing is erased there.
        ends = ("" if width(line.text) >= columns else _TO_END_OF_LINE for line in shown)
        text = "\r\n".join(self._text(line) + end for line, end in zip(shown, ends, strict=True))
        self._write(_HOME + text + ("\r\n" + _TO_END_OF_SCREEN if len(shown) < rows else ""))

    def _text(self, line: Line) -> str:
        return line.painted() if self._has_colours else line.text

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()
