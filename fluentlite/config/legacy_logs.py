"""The variable LOGS of a configuration of fluent-agent-lite: one line ``TAG PATH`` for each log."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fluentlite.config.kinds import LogPath, Tag, UnfitError
from fluentlite.config.legacy_notes import Notes
from fluentlite.config.problems import shown
from fluentlite.config.rules import identities

_NAMED_AT_MOST = 3


@dataclass(frozen=True, slots=True)
class Entry:
    """One log."""

    tag: str
    """Without TAG_PREFIX."""
    path: str
    line: int
    """Of the script: where it stands, or where LOGS is set."""


def read_logs(text: str, directory: str, notes: Notes) -> list[Entry]:
    """
    Read the value of LOGS; blank lines and comments are passed over, wherever they stand.

    Args:
        directory: Relative paths start here.
    """
    lines = [re.split(r"[ \t]+", line.strip(" \t\r")) for line in text.split("\n")]
    logs = [words for words in lines if words[0] and not words[0].startswith("#")]
    if not logs:
        notes.complain(
            notes.line_of("LOGS"),
            'LOGS has no log, so nothing would be followed. Let it have a line "TAG PATH" for each log.',
        )
    return [entry for words in logs for entry in _entry(words, directory, notes)]


def check_files(entries: Sequence[Entry], log_file: str, notes: Notes) -> None:
    """No file is followed twice, under whatever names, and nobody follows *log_file*, the agent's own (``-``: standard error)."""
    own = set() if log_file == "-" else identities(log_file)
    seen: dict[object, str] = {}
    for entry in entries:
        what = f"{entry.tag} {entry.path}"
        names = identities(entry.path)
        if not names.isdisjoint(own):
            notes.complain(
                entry.line,
                f"the line {shown(what)} of LOGS names the log of fluentlite itself, and following it would never "
                "end. Remove the line, or set another LOG_PATH.",
            )
        for other in [seen[name] for name in names if name in seen][:1]:
            notes.complain(
                entry.line,
                f"the lines {shown(other)} and {shown(what)} of LOGS name one file, of which each line would be "
                "sent twice. Remove one of them.",
            )
        seen |= dict.fromkeys(names - seen.keys(), what)


def tell_of_missing(entries: Sequence[Entry], notes: Notes) -> None:
    """The old agent refused to start without a file, unless forced; we wait for it, and say so."""
    missing = [entry.path for entry in entries if not os.path.exists(entry.path)]
    if missing:
        more = len(missing) - _NAMED_AT_MOST
        names = ", ".join(missing[:_NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")
        text = f"not there yet: {names}. fluentlite waits for what is missing; FORCE_START=yes says that this is meant."
        notes.warn(0, text)


def _entry(words: Sequence[str], directory: str, notes: Notes) -> Iterator[Entry]:
    """One entry, or none if something is wrong with it."""
    whole = " ".join(words)
    line = notes.line_of_log(words)
    if len(words) == 1:
        notes.complain(line, f'the line {shown(whole)} of LOGS has no path after the tag. Write "TAG PATH".')
        return
    if len(words) > 2 and not words[2].startswith("#"):
        notes.warn(
            line,
            f"the line {shown(whole)} of LOGS has more than a tag and a path; as before, {words[1]} is followed and "
            "the rest is overlooked. A path with blanks can only be written in TOML.",
        )
    texts: list[str] = []
    for kind, name, text in ((Tag(), "tag", words[0]), (LogPath(), "path", words[1])):
        try:
            texts.append(str(kind.read(text, directory)))
        except UnfitError as exc:
            for reason in exc.reasons:
                notes.complain(line, f"the {name} {shown(text)} in LOGS {reason}")
    if len(texts) == 2:
        yield Entry(texts[0], texts[1], line)
