"""A shell configuration, once understood, as the TOML that means the same."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from fluentlite.config import schema
from fluentlite.config.legacy_logs import Entry
from fluentlite.config.legacy_script import Setting, Understood
from fluentlite.config.legacy_table import DEFAULTS
from fluentlite.config.problems import Problems, printable, quoted

_WHY_DEFAULTS = {
    "forward.reconnect_wait_max": "As long as fluent-agent-lite would wait. With 60.0, the default, delivery goes on "
    "sooner after an outage.",
    "forward.time_as_integer": "Whole seconds, as fluent-agent-lite sent them. false sends nanoseconds, which Fluentd "
    "understands since 0.14.",
}
"""What is said of a value that the script did not set but that holds for it."""


def render(found: Understood, host: str) -> str:
    """
    Args:
        host: The name of this host, what ``${HOSTNAME}`` becomes.

    Returns:
        The text of a TOML file that gives the same settings; comments say what differs and what was computed.

    Raises:
        ConfigError: Something in it, such as a path, is no UTF-8, which TOML has to be.
    """
    _check_encoding(found)
    lines = [*_head(found, host)]
    for header in schema.HEADERS:
        lines += _table(header, found, host)
    for entry in found.logs:
        lines += _log(entry, found, host)
    return "\n".join(lines) + "\n"


def _check_encoding(found: Understood) -> None:
    problems = Problems()
    texts = [(item.variable, str(item.written)) for item in found.settings]
    texts += [("LOGS", f"{entry.tag} {entry.path}") for entry in found.logs]
    for name, text in texts:
        if any("\ud800" <= char <= "\udfff" for char in text):
            problems.add(
                found.path,
                f"{name} has {quoted(text)}, which is not UTF-8 and cannot be written in TOML. Rename the file, or keep "
                "the script.",
            )
    problems.raise_all()


def _head(found: Understood, host: str) -> Iterator[str]:
    yield f"# {printable(found.path)} as it was understood on {printable(host)}, printed by `fluentlite import`."
    yield "#"
    yield "# The script ran at each start. This file holds what it had set in the end: what it computed is marked, and what"
    yield "# else it did, such as writing files, has to be done by something else from now on."
    yield "#"
    yield "# What differs from fluent-agent-lite, whichever of the two files is used:"
    for difference in _differences(found):
        yield f"# - {difference}"
    for warning in found.warnings:
        yield f"# WARNING: {warning}"


def _differences(found: Understood) -> Iterator[str]:
    given = {item.sets for item in found.settings}
    if "forward.require_ack_response" not in given:
        yield "The servers acknowledge each chunk. Fluentd before 0.12 cannot; it needs require_ack_response = false."
    yield "After a stop, reading goes on where it ended. Only a log seen for the first time begins at its end."
    yield "A log that is not there is waited for, with and without FORCE_START."
    if "master.log_file" not in given:
        yield "/tmp/fluent-agent.log is not written any more, but log_file of [master], which has a safer default."  # noqa: S108 - only named
    if found.ignored:
        yield f"{' and '.join(found.ignored)}: without meaning now."


def _table(header: str, found: Understood, host: str) -> list[str]:
    name = header.strip("[]")
    settings = [item for item in found.settings if item.key.rpartition(".")[0] == name]
    given = {item.sets for item in found.settings}
    lines = [line for item in settings for line in _setting(item, found.script, host)]
    for key, value in DEFAULTS.items():
        if key.startswith(f"{name}.") and key not in given:
            lines += [f"# {_WHY_DEFAULTS[key]}", f"{key.rpartition('.')[2]} = {_value(value)}"]
    return ["", header, *lines] if lines else []


def _setting(item: Setting, script: str, host: str) -> Iterator[str]:
    yield from _computed([item.text], script, host)
    if item.key.endswith("_file") and item.key.startswith("forward."):
        yield "# Read at each start and reload. If the script wrote it, keep it by hand from now on."
    yield f"{item.key.rpartition('.')[2]} = {_value(item.written)}  # {item.variable}"


def _log(entry: Entry, found: Understood, host: str) -> Iterator[str]:
    yield ""
    yield "[[log]]"
    yield from _computed([entry.tag, entry.path], found.script, host)
    yield f"tag = {_value(entry.tag)}"
    yield f"path = {_value(entry.path)}"


def _computed(texts: Sequence[str], script: str, host: str) -> Iterator[str]:
    """Mark what does not stand in the script: a command or a variable made it."""
    made = [text for text in texts if text not in script]
    if made:
        name = re.compile(rf"(?<![A-Za-z0-9]){re.escape(host)}(?![A-Za-z0-9])")
        wider = [name.sub("${HOSTNAME}", _value(text)) for text in made if host and name.search(text)]
        hint = f" With the name of whatever host reads it: {', '.join(wider)}." if wider else ""
        yield printable(f"# Computed by the script on this host: {', '.join(map(_value, made))}.{hint}")


def _value(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            # ${...} would be replaced; and DEL is the one control character that JSON leaves as it is.
            return quoted(value.replace("${", "$${")).replace("\x7f", "\\u007f")
        case list():
            return "[" + ", ".join(map(_value, value)) + "]"
        case _:
            return repr(value)
