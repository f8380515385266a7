"""What a value may be: one class per kind, for the values of a TOML file and of the agent's flags alike."""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass

from fluentlite.config.model import Server
from fluentlite.config.problems import did_you_mean, shown, type_name
from fluentlite.config.servers import HOW_TO_WRITE, parse_host, parse_server


class UnfitError(Exception):
    """A value that its key cannot take; each of *reasons* completes "KEY = VALUE ..." and says the remedy."""

    def __init__(self, *reasons: str) -> None:
        super().__init__(*reasons)
        self.reasons = reasons


class Kind(ABC):
    """One kind of value."""

    @abstractmethod
    def read(self, value: object, directory: str) -> object:
        """
        Args:
            value: As tomllib returned it, its ``${NAME}`` already replaced.
            directory: Relative paths start here.

        Returns:
            The value as the settings hold it.

        Raises:
            UnfitError: If it is none of this kind.
        """

    def from_text(self, text: str) -> object:
        """The value that *text*, the argument of a flag, stands for; still to be given to :meth:`read`."""
        return text


@dataclass(frozen=True, slots=True)
class Flag(Kind):
    """true or false."""

    def read(self, value: object, directory: str) -> bool:  # noqa: ARG002
        if isinstance(value, bool):
            return value
        raise UnfitError(f"is {type_name(value)}. Write true or false, without quotes.")


@dataclass(frozen=True, slots=True)
class Integer(Kind):
    """A whole number of *unit*."""

    minimum: int
    maximum: int
    unit: str = ""

    def read(self, value: object, directory: str) -> int:  # noqa: ARG002
        if isinstance(value, bool) or not isinstance(value, int):
            raise UnfitError(
                f"is {type_name(value)}, not a whole number. {self._wanted()}{_unquoted(value)}."
            )
        if not self.minimum <= value <= self.maximum:
            raise UnfitError(f"is out of range. {self._wanted()}.")
        return value

    def from_text(self, text: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
            raise UnfitError(f"is not a whole number. {self._wanted()}.")
        return int(text)

    def _wanted(self) -> str:
        return f"Write a whole number from {self.minimum} to {self.maximum} {self.unit}".rstrip()


@dataclass(frozen=True, slots=True)
class Number(Kind):
    """A number of *unit*, whole or not; ``or_zero`` when 0 has a meaning of its own below *minimum*."""

    minimum: float
    maximum: float
    unit: str = "seconds"
    or_zero: bool = False

    def read(self, value: object, directory: str) -> float:  # noqa: ARG002
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UnfitError(f"is {type_name(value)}, not a number. {self._wanted()}{_unquoted(value)}.")
        # NaN compares false with everything, so it is out of range as well.
        if not (self.minimum <= value <= self.maximum or (self.or_zero and value == 0)):
            raise UnfitError(f"is out of range. {self._wanted()}.")
        return float(value)

    def from_text(self, text: str) -> float:
        try:
            return float(text)
        except ValueError:
            raise UnfitError(f"is not a number. {self._wanted()}.") from None

    def raised(self, value: float) -> float:
        """The minimum in place of what is below it, as fluent-agent-lite had it; what :meth:`from_text` returned."""
        return self.minimum if value < self.minimum and not (self.or_zero and value == 0) else value

    def _wanted(self) -> str:
        zero = "0, or " if self.or_zero else ""
        return f"Write {zero}a number from {self.minimum:g} to {self.maximum:.10g} {self.unit}".rstrip()


@dataclass(frozen=True, slots=True)
class Choice(Kind):
    """One of some words."""

    words: tuple[str, ...]

    def read(self, value: object, directory: str) -> str:  # noqa: ARG002
        if isinstance(value, str) and value in self.words:
            return value
        hint = did_you_mean(value, self.words) if isinstance(value, str) else ""
        raise UnfitError(f"is unknown. Write one of {', '.join(map(shown, self.words))}. {hint}".rstrip())


@dataclass(frozen=True, slots=True)
class Text(Kind):
    """A text that can be sent as UTF-8. Its value is in no reason, so it may be a secret."""

    may_be_empty: bool = False

    def read(self, value: object, directory: str) -> str:  # noqa: ARG002
        text = _text(value)
        if not text and not self.may_be_empty:
            raise UnfitError("is empty. Give it a value, or remove the key.")
        return text


@dataclass(frozen=True, slots=True)
class Tag(Kind):
    """A tag or the prefix of tags: no blanks, which would end it in a <match> of Fluentd."""

    may_be_empty: bool = False

    def read(self, value: object, directory: str) -> str:  # noqa: ARG002
        text = _text(value)
        if not text and not self.may_be_empty:
            raise UnfitError('is empty, so no server could route it. Write a tag such as "nginx.access".')
        if any(char.isspace() or not char.isprintable() for char in text):
            raise UnfitError(
                "has a blank or control character, which no <match> of a server matches. Remove it."
            )
        return text


@dataclass(frozen=True, slots=True)
class Path(Kind):
    """The path of a file or directory; what it becomes is absolute, or stays empty where that is allowed."""

    may_be_empty: bool = False

    def read(self, value: object, directory: str) -> str:
        text = _text(value, may_be_bytes=True)
        if not text and self.may_be_empty:
            return ""
        if not text:
            raise UnfitError("is empty. Write a path.")
        if "\0" in text:
            raise UnfitError("has a NUL character, which no path can have. Remove it.")
        if text.startswith("~"):
            raise UnfitError(
                'begins with "~", which only a shell replaces. Write "${HOME}" or the whole path.'
            )
        try:
            return os.path.abspath(os.path.join(directory, text))
        except FileNotFoundError:
            raise UnfitError("is relative to a directory that is gone. Write an absolute path.") from None


@dataclass(frozen=True, slots=True)
class OwnLog(Kind):
    """The path of our own log; ``-`` is standard error."""

    def read(self, value: object, directory: str) -> str:
        return "-" if value == "-" else Path().read(value, directory)


@dataclass(frozen=True, slots=True)
class LogPath(Kind):
    """The path of one log file to follow."""

    def read(self, value: object, directory: str) -> str:
        if value == "-":
            raise UnfitError(
                "is standard input, which only the command `fluentlite agent` reads. Write the path of a file."
            )
        path = Path().read(value, directory)
        if ("*" in path or "?" in path) and not os.path.lexists(path):
            raise UnfitError("has a wildcard, but a log is one file. Name each file by itself.")
        return path


@dataclass(frozen=True, slots=True)
class Servers(Kind):
    """A list of servers."""

    may_be_empty: bool = True

    def read(self, value: object, directory: str) -> tuple[Server, ...]:  # noqa: ARG002
        if not isinstance(value, list):
            raise UnfitError(
                f'is {type_name(value)}, not a list. Write a list such as ["fluentd.example:24224"].'
            )
        if not value and not self.may_be_empty:
            raise UnfitError(
                'is empty, so there is nowhere to send to. Write a list such as ["fluentd.example"].'
            )
        servers, reasons = [], []
        for entry in value:
            try:
                servers.append(parse_server(entry if isinstance(entry, str) else ""))
            except ValueError as exc:
                reason = exc if isinstance(entry, str) else "that is not a text"
                reasons.append(f"has the server {shown(entry, inside=True)}, but {reason}. {HOW_TO_WRITE}")
        if reasons:
            raise UnfitError(*reasons)
        return tuple(servers)


@dataclass(frozen=True, slots=True)
class HostName(Kind):
    """The name or address of a host, or nothing."""

    def read(self, value: object, directory: str) -> str:  # noqa: ARG002
        text = _text(value)
        try:
            return parse_host(text) if text else ""
        except ValueError:
            raise UnfitError('is no name of a host. Write one such as "logs.example".') from None


def _unquoted(value: object) -> str:
    return ", without quotes" if isinstance(value, str) else ""


def _text(value: object, *, may_be_bytes: bool = False) -> str:
    if not isinstance(value, str):
        raise UnfitError(f"is {type_name(value)}, not a text. Put it in quotes.")
    try:
        os.fsencode(value) if may_be_bytes else value.encode()
    except UnicodeEncodeError:
        raise UnfitError("cannot be written as UTF-8. Correct it, or the variable it comes from.") from None
    return value
