"""Problems of a configuration: collected as sentences, so that all of them can be told in one go."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass

from fluentlite.core.display import defuse
from fluentlite.errors import ConfigError

_LONGEST_SHOWN = 80

MOST_TOLD = 100
"""Problems that are told: whoever reads so many starts anew, and a file that is something else has one on each line."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: a file and, as the user would say it, a table of that file."""

    file: str
    table: str = ""
    """``[forward]``, or ``[[log]] number 2 (tag "app")``; empty for the file as a whole."""
    prefix: str = ""
    """What stands before a key of a table within a [[log]]: ``forward.``"""

    @property
    def directory(self) -> str:
        """Relative paths start here."""
        return os.path.dirname(self.file)

    def inside(self, name: str, header: str) -> Place:
        """The place of the table *name* of this one; *header* is how it would be written by itself."""
        if self.table.startswith("[[log]]"):
            return Place(self.file, self.table, f"{self.prefix}{name}.")
        return Place(self.file, f"[{header}]")

    def __str__(self) -> str:
        return f"{self.file}: {self.table}" if self.table else self.file


class Problems:
    """All that was found, in the order of finding, each sentence once."""

    def __init__(self) -> None:
        self._sentences: dict[str, None] = {}
        self._untold = 0

    def add(self, place: object, text: str) -> None:
        """*text* says what is wrong at *place* and what to do about it; it must not hold a secret."""
        if len(self._sentences) < MOST_TOLD:
            self._sentences[printable(f"{place}: {text}")] = None
        else:
            self._untold += 1

    def __len__(self) -> int:
        return len(self._sentences)

    def raise_all(self, kind: type[ConfigError] = ConfigError) -> None:
        """
        Raises:
            ConfigError: If there is any problem, an error of this *kind* with all of them.
        """
        more = [f"There are about {self._untold} more problems. Correct these first."] if self._untold else []
        if self._sentences:
            raise kind(*self._sentences, *more)


def printable(text: str) -> str:
    """*text* on one line, harmless and encodable as UTF-8, whatever bytes a file name or a value brought in."""
    return defuse(text)


def quoted(text: str) -> str:
    """*text* as TOML writes it, whole: the end of a path is what tells it from others."""
    return json.dumps(text, ensure_ascii=False)


def shown(value: object, *, inside: bool = False) -> str:
    """*value* about as TOML writes it, shortened. Tables show nothing of themselves: they may hold secrets."""
    match value:
        case bool():
            text = "true" if value else "false"
        case str():
            text = quoted(value)
        case dict():
            text = "{...}"
        case list() if inside:
            text = "[...]"
        case list():
            text = "[" + ", ".join(shown(item, inside=True) for item in value) + "]"
        case int() if value.bit_length() > 256:  # Python refuses to print the very long ones
            text = "(a very long number)"
        case _:
            text = str(value)
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 4] + " ..."


def type_name(value: object) -> str:
    """What *value* is, in the words of the configuration's documentation."""
    match value:
        case bool():
            return "true or false"
        case str():
            return "a text"
        case int():
            return "a whole number"
        case float():
            return "a fraction"
        case list():
            return "a list"
        case dict():
            return "a table"
    return "a date or time"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``Did you mean "X"?`` when something in *known* resembles *word*, else an empty string."""
    close = difflib.get_close_matches(word[:100].lower(), list(known), n=1, cutoff=0.6)
    return f"Did you mean {shown(close[0])}?" if close else ""
