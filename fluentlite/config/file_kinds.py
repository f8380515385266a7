"""Values that are files: one that holds servers, one that holds a secret, more of the configuration."""

from __future__ import annotations

from dataclasses import dataclass

from fluentlite.config.kinds import Kind, Path, UnfitError
from fluentlite.config.model import Server
from fluentlite.config.problems import type_name
from fluentlite.config.servers import HOW_TO_WRITE, parse_server_list
from fluentlite.config.textfile import UnreadableError, read_text


@dataclass(frozen=True, slots=True)
class ServersFile(Kind):
    """The path of a file that lists servers; what it becomes are the servers."""

    def read(self, value: object, directory: str) -> tuple[Server, ...]:
        path = Path().read(value, directory)
        try:
            servers, reasons = parse_server_list(read_text(path))
        except UnreadableError as exc:
            raise UnfitError(f"names {path}, which {exc}") from exc
        if reasons:
            raise UnfitError(*(f"names {path}, of which {reason}. {HOW_TO_WRITE}" for reason in reasons))
        if not servers:
            raise UnfitError(f"names {path}, which lists no server. Write one per line.")
        return tuple(servers)


@dataclass(frozen=True, slots=True)
class SecretFile(Kind):
    """
    The path of a file that holds one secret and nothing else; what it becomes is the secret.

    A path that is not absolute is in no reason: it may be the secret itself, written in the wrong place.
    """

    def read(self, value: object, directory: str) -> str:
        path = self.path(value, directory)
        named = f"names {path}" if self.can_be_shown(value) else "names a file"
        try:
            text = read_text(path).rstrip("\r\n")
        except UnreadableError as exc:
            raise UnfitError(f"{named}, which {exc}") from exc
        if not text:
            raise UnfitError(f"{named}, which is empty. Write the secret into it.")
        if "\n" in text:
            raise UnfitError(f"{named}, which has several lines. It must hold the secret and nothing else.")
        return text

    def path(self, value: object, directory: str) -> str:
        """The file itself, absolute; raises UnfitError."""
        return Path().read(value, directory)

    def can_be_shown(self, value: object) -> bool:
        return not isinstance(value, str) or value.startswith("/")


@dataclass(frozen=True, slots=True)
class Patterns(Kind):
    """A list of paths, wildcards allowed; each remains as it was written."""

    def read(self, value: object, directory: str) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise UnfitError(f'is {type_name(value)}, not a list. Write a list such as ["conf.d/*.toml"].')
        for entry in value:
            Path().read(entry, directory)
        return tuple(value)
