"""Read a configuration of either kind: TOML, or the shell script of fluent-agent-lite."""

from __future__ import annotations

import os
from collections.abc import Mapping

from fluentlite.config import legacy, toml
from fluentlite.config.model import DEFAULT_CONFIG_PATH, Settings
from fluentlite.config.reading import Reading, absolute
from fluentlite.errors import NotConfiguredError


def load(path: str, environ: Mapping[str, str]) -> Settings:
    """Return the settings alone; otherwise as :func:`read`."""
    return read(path, environ).settings


def read(path: str, environ: Mapping[str, str]) -> Reading:
    """
    Read the configuration at *path*: TOML where its name ends in ``.toml``, otherwise a shell script.

    Args:
        environ: What ``${NAME}`` is taken from, and what a script sees.

    Raises:
        NotConfiguredError: There is no such file.
        ConfigError: With all problems that were found.
    """
    path = absolute(path)
    _check_exists(path)
    return toml.read(path, environ) if path.endswith(".toml") else legacy.read(path, environ)


def _check_exists(path: str) -> None:
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        raise NotConfiguredError(f"{path}: there is no configuration file. {_remedy(path)}") from None
    except OSError:
        return  # it may be there; whoever reads it will say why he cannot


def _remedy(path: str) -> str:
    if os.path.islink(path):
        return f"The name is a symbolic link to {os.readlink(path)}, which is missing: restore that file."
    if path != DEFAULT_CONFIG_PATH:
        return "Correct the name after -c or in FLUENTLITE_CONFIG, or write the file."
    return (
        "`fluentlite install` puts a commented one there to edit; `fluentlite import OLD.conf` prints one made from "
        "that of fluent-agent-lite; -c FILE uses another file."
    )
