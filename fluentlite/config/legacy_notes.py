"""What is to be said about a shell configuration, with the line that each sentence is about."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence

from fluentlite.config.model import MasterSettings
from fluentlite.config.problems import Problems, printable, shown

_RUN = re.compile(r"[\w./-]+")
"""What a word of LOGS is looked up by."""


class Notes:
    """Collects problems and warnings; knows which line of the script probably caused a value."""

    def __init__(self, path: str, script: str) -> None:
        self._path = path
        self._lines = script.split("\n")
        self._words: dict[str, list[int]] | None = None
        self._starts: dict[str, int] = {}
        self._complaints: list[tuple[int, str]] = []
        self.warnings: list[str] = []

    def complain(self, line: int, text: str) -> None:
        """*text* says what cannot be used, and the remedy; *line* 0 is the script as a whole."""
        self._complaints.append((line, text))

    def complain_of(self, name: str, value: str, reason: str) -> None:
        """*reason* completes "NAME=VALUE ..."."""
        self.complain(self.line_of(name), f"{name}={shown(value)} {reason}")

    def warn(self, line: int, text: str) -> None:
        self.warnings.append(printable(f"{self._place(line)}: {text}"))

    def warn_of(self, name: str, value: str, what: str) -> None:
        self.warn(self.line_of(name), f"{name}={shown(value)} {what}")

    def report(self, problems: Problems) -> None:
        """Hand over the problems, from the script's top to its bottom."""
        for line, text in sorted(self._complaints, key=lambda complaint: complaint[0]):
            problems.add(self._place(line), text)

    def line_of(self, name: str) -> int:
        """The last line that sets the variable *name*; 0 if none is seen to."""
        if name not in self._starts:
            pattern = re.compile(rf"(?:^|[\s;&|(]){name}\+?=")
            self._starts[name] = max(self._lines_with(pattern), default=0)
        return self._starts[name]

    def line_of_log(self, words: Sequence[str]) -> int:
        """The line with *words* of LOGS, or with the path among them; the one that sets LOGS if they are computed."""
        start = self.line_of("LOGS")
        for part in (words, words[1:2] or words):
            text = r"\s+".join(map(re.escape, part))
            pattern = re.compile(rf"(?<![\w./-]){text}(?![\w./-])")
            for number in self._lines_with_word(part[-1]):
                if number >= start and self._has(number, pattern):
                    return number
        return start

    def _lines_with_word(self, word: str) -> Sequence[int]:
        """The numbers of the lines that may have *word*; looked up, as there may be thousands of logs and of lines."""
        if self._words is None:
            self._words = {}
            for number, line in enumerate(self._lines, 1):
                for run in set(_RUN.findall(line)):
                    self._words.setdefault(run, []).append(number)
        runs = _RUN.findall(word)
        return min(
            (self._words.get(run, ()) for run in runs), key=len, default=range(1, len(self._lines) + 1)
        )

    def _place(self, line: int) -> str:
        return f"{self._path}: line {line}" if line else self._path

    def _lines_with(self, pattern: re.Pattern[str]) -> list[int]:
        """The numbers of the lines with *pattern* that are no comments."""
        return [number for number in range(1, len(self._lines) + 1) if self._has(number, pattern)]

    def _has(self, number: int, pattern: re.Pattern[str]) -> bool:
        line = self._lines[number - 1]
        return bool(pattern.search(line)) and not line.lstrip().startswith("#")


def run_dir_in(script: str) -> str:
    """
    Return the run_dir that the text of a *script* names, without running it; ``stop`` and ``status`` need no more.

    Returns:
        An absolute path; the default where it names none, or none that can be seen without running it.
    """
    found = re.findall(r"^[ \t]*(?:export[ \t]+)?FLUENTLITE_RUN_DIR=(.*)$", script, re.MULTILINE)
    try:
        words = shlex.split(found[-1], comments=True) if found and not set(found[-1]) & set("$`~*?") else []
    except ValueError:  # a quotation that goes on in the next line
        words = []
    return (
        os.path.abspath(os.path.join("/", words[0]))
        if len(words) == 1 and words[0] and "\0" not in words[0]
        else MasterSettings().run_dir
    )
