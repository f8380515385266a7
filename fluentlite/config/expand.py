"""``${NAME}``, ``${NAME:-default}`` and ``${HOSTNAME}`` in the strings of a configuration."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping

_REFERENCE = re.compile(r"(?P<escaped>\$\$\{)|\$\{(?P<inside>[^}]*)(?P<end>\}?)")
_INSIDE = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>.*))?", re.DOTALL)


LONGEST = 1024 * 1024
"""Characters that a text may have when all is replaced: a variable of 100 KB, named a thousand times, would fill the memory."""


class ExpandError(Exception):
    """A reference that cannot be replaced; the text names it, and never a value."""


def expand(text: str, environ: Mapping[str, str]) -> str:
    """
    Replace each ``${NAME}`` of *text* by the value of NAME in *environ*.

    ``${NAME:-default}`` is *default* when NAME is unset or empty, as in a shell. ``${HOSTNAME}`` is this
    host's name also where the environment has none. ``$${`` is a literal ``${``; any other ``$`` is itself.
    What was put in is not looked at again.

    Raises:
        ExpandError: For an unknown NAME, a NAME that cannot be one, a missing brace, a text that becomes too long.
    """
    put_in = 0

    def value_of(reference: re.Match[str]) -> str:
        if reference["escaped"]:
            return "${"
        if not reference["end"]:
            raise ExpandError('has "${" without "}". Close it, or write "$${" for a literal "${".')
        value = _value(reference["inside"], environ)
        nonlocal put_in
        put_in += len(value)
        if put_in > LONGEST:
            raise ExpandError(
                f"is longer than {LONGEST} characters with what its variables hold. Shorten it."
            )
        return value

    return _REFERENCE.sub(value_of, text)


def is_reference(text: str) -> bool:
    """Whether *text* is nothing but one ``${NAME}`` and so holds no value of its own."""
    found = _REFERENCE.fullmatch(text)
    return bool(found and not found["escaped"] and ":-" not in found["inside"])


def hostname(environ: Mapping[str, str]) -> str:
    """What ``${HOSTNAME}`` is."""
    return environ.get("HOSTNAME") or socket.gethostname()


def _value(inside: str, environ: Mapping[str, str]) -> str:
    found = _INSIDE.fullmatch(inside)
    if found is None:
        raise ExpandError(
            'has "${...}" around something that is no name of a variable. '
            'Write "${NAME}", "${NAME:-default}", or "$${" for a literal "${".'
        )
    name, default = found["name"], found["default"]
    if name == "HOSTNAME":
        return hostname(environ)
    value = environ.get(name)
    if default is not None:
        return value or default
    if value is None:
        raise ExpandError(
            f'uses "${{{name}}}", but the environment has no {name}. '
            f'Set it, or give a default: "${{{name}:-default}}".'
        )
    return value
