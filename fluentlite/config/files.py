"""The TOML files of a configuration: read, parsed, and followed through ``include``."""

from __future__ import annotations

import glob
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from fluentlite.config.expand import ExpandError, expand
from fluentlite.config.file_kinds import Patterns
from fluentlite.config.kinds import UnfitError
from fluentlite.config.problems import Problems, shown, type_name
from fluentlite.config.textfile import UnreadableError, read_text

_DEEPEST = 10
"""Levels of includes; nobody needs more than two."""

_WHERE = re.compile(r"\s*\(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$")

_HINTS = {
    "Invalid value": 'A text stands in quotes: key = "text".',
    "Cannot overwrite a value": "A key can be set only once in a table; remove one of the lines.",
    "Invalid statement": "A line is a [table], a [[log]] or key = value.",
}


@dataclass(frozen=True, slots=True)
class Document:
    """What one file says, not yet looked at."""

    file: str
    tables: Mapping[str, object]
    """Everything but ``include`` and ``log``."""
    logs: tuple[Mapping[str, object], ...]
    """The [[log]] tables, in order."""


class Files:
    """Reads a file and what it includes, each file once."""

    def __init__(self, environ: Mapping[str, str], problems: Problems) -> None:
        self._environ = environ
        self._problems = problems
        self._seen: set[str] = set()

    def read(self, path: str) -> list[Document]:
        """
        Returns:
            The file at *path*, which is absolute, then the included ones, depth first. Files with problems
            of their own are left out, the problems collected.
        """
        try:
            return self._read(path, ())
        except UnreadableError as exc:
            self._problems.add(path, str(exc))
            return []

    def _read(self, path: str, includers: tuple[str, ...]) -> list[Document]:
        """Raises UnreadableError, so that whoever named the file can be named with it."""
        self._seen.add(os.path.realpath(path))
        text = read_text(path)
        try:
            tables = tomllib.loads(text)
        except (ValueError, RecursionError) as exc:
            self._problems.add(path, _syntax_problem(exc, text))
            return []
        patterns = self._patterns(tables.pop("include", []), path)
        document = Document(path, tables, self._logs(tables.pop("log", []), path))
        return [document, *self._included(patterns, (*includers, path))]

    def _patterns(self, value: object, path: str) -> tuple[str, ...]:
        try:
            expanded = [expand(item, self._environ) for item in value] if _is_texts(value) else value
            return Patterns().read(expanded, os.path.dirname(path))
        except ExpandError as exc:
            self._problems.add(path, f"include = {shown(value)} {exc}")
        except UnfitError as exc:
            for reason in exc.reasons:
                self._problems.add(path, f"include = {shown(value)} {reason}")
        return ()

    def _logs(self, value: object, path: str) -> tuple[dict[str, Any], ...]:
        if isinstance(value, list) and all(isinstance(item, dict) for item in value):
            return tuple(value)
        what = "one table" if isinstance(value, dict) else type_name(value)
        self._problems.add(
            path, f"log is {what}. Write [[log]], with two brackets on each side, for each log."
        )
        return ()

    def _included(self, patterns: tuple[str, ...], files: tuple[str, ...]) -> list[Document]:
        documents = []
        for pattern in patterns:
            for path in _matching(pattern, os.path.dirname(files[-1])):
                try:
                    documents += self._include(path, files)
                except UnreadableError as exc:
                    self._problems.add(files[-1], f"include = {shown(pattern)} names {path}, which {exc}")
        return documents

    def _include(self, path: str, files: tuple[str, ...]) -> list[Document]:
        identity = os.path.realpath(path)
        circle = [file for file in files if os.path.realpath(file) == identity]
        if circle:
            names = " includes ".join([*files[files.index(circle[0]) :], path])
            self._problems.add(
                files[-1], f"include goes round in a circle: {names}. Remove one of these includes."
            )
            return []
        if identity in self._seen:
            return []
        if len(files) > _DEEPEST:
            raise UnreadableError(f"is included more than {_DEEPEST} levels deep. Include it from higher up.")
        return self._read(path, files)


def _matching(pattern: str, directory: str) -> list[str]:
    # Without a wildcard the file is meant to be there; reading it says so when it is not.
    names = sorted(glob.glob(pattern, root_dir=directory)) if glob.has_magic(pattern) else [pattern]
    return [os.path.abspath(os.path.join(directory, name)) for name in names]


def _is_texts(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _syntax_problem(exc: Exception, text: str) -> str:
    """What tomllib says, with the position in front; it quotes keys and characters, never a value."""
    if isinstance(exc, RecursionError):
        return "is nested too deeply to be read. Simplify it."
    if not isinstance(exc, tomllib.TOMLDecodeError):
        return "has a number that is too long to be read. Correct it."
    where = _WHERE.search(str(exc))
    message = str(exc)[: where.start()] if where else str(exc)
    if where and where["line"]:
        line, column = int(where["line"]), int(where["column"])
    else:
        line, column = text.count("\n") + 1, len(text) - text.rfind("\n")
    hint = _HINTS.get(message, "Correct the TOML there.")
    return f"line {line}, column {column}: {message}. {hint}"
