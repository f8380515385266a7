"""What reading a configuration gives, of whatever kind it is."""

from __future__ import annotations

from dataclasses import dataclass

from fluentlite.config.kinds import Path, UnfitError
from fluentlite.config.model import Settings
from fluentlite.config.problems import shown
from fluentlite.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Reading:
    """A configuration and where it came from."""

    settings: Settings
    files: tuple[str, ...]
    """All files read, the main one first; lists of servers are not among them."""
    warnings: tuple[str, ...] = ()
    """What the user should know although the configuration can be used; complete sentences."""


def absolute(path: str) -> str:
    """
    Return the *path* of a configuration made absolute.

    Raises:
        ConfigError: If it cannot be the path of a file.
    """
    try:
        return Path().read(path, "")
    except UnfitError as exc:
        raise ConfigError(
            *(f"The configuration's path {shown(path)} {reason}" for reason in exc.reasons)
        ) from exc
