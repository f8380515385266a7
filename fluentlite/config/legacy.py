"""
Read a configuration of fluent-agent-lite: a shell script, sourced by bash.

Its variables mean what they meant there. What the old agent did not know has the variables FLUENTLITE_..., which
it ignores, so that one script can serve both.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from fluentlite.config import legacy_table as table
from fluentlite.config.legacy_script import Understood, understand
from fluentlite.config.model import (
    ForwardSettings,
    LogSettings,
    MasterSettings,
    PingSettings,
    Settings,
    TailSettings,
)
from fluentlite.config.problems import Problems
from fluentlite.config.reading import Reading, absolute
from fluentlite.config.shell import PATIENCE, source
from fluentlite.config.trust import open_trusted
from fluentlite.errors import ConfigError

_LARGEST = 1024 * 1024


def read(path: str, environ: Mapping[str, str], patience: float = PATIENCE) -> Reading:
    """
    Run the script at *path* and read what it set.

    Args:
        environ: What the script sees, but for the variables that it is asked for.
        patience: Seconds that the script may take.

    Raises:
        ConfigError: It must not be run, did not run to its end, or set what cannot be used; with all problems.
    """
    found = run(path, environ, patience)
    return Reading(settings_of(found), (found.path,), found.warnings)


def run(path: str, environ: Mapping[str, str], patience: float = PATIENCE) -> Understood:
    """As :func:`read`, but return what each variable was understood to be."""
    path = absolute(path)
    fd = open_trusted(path)
    try:
        script = _text(path, fd)
        sourced = source(path, fd, table.NAMES, environ, patience)
    finally:
        os.close(fd)
    problems = Problems()
    found = understand(path, script, sourced, problems)
    problems.raise_all()
    return found


def settings_of(found: Understood) -> Settings:
    """The objects that a TOML file of the same meaning would give."""
    values = dict(table.DEFAULTS) | {setting.sets: setting.value for setting in found.settings}

    def section(name: str) -> dict[str, Any]:
        parts = ((target.partition("."), value) for target, value in values.items())
        return {key: value for (owner, _, key), value in parts if owner == name}

    tail = section("tail")
    prefix = tail.pop("tag_prefix", "")
    ping = section("ping")
    drain = section("drain_log")
    return Settings(
        path=found.path,
        master=MasterSettings(**section("master")),
        logs=tuple(
            LogSettings(
                tag=f"{prefix}.{entry.tag}" if prefix else entry.tag,
                path=entry.path,
                forward=ForwardSettings(**section("forward")),
                tail=TailSettings(**tail),
                ping=PingSettings(**ping) if ping else None,
                drain_log_tag=drain.get("tag"),
            )
            for entry in found.logs
        ),
    )


def _text(path: str, fd: int) -> str:
    data = os.pread(fd, _LARGEST + 1, 0)
    if len(data) > _LARGEST:
        raise ConfigError(f"{path}: it is larger than 1 MiB, so it is no configuration. Name the right file.")
    if b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        raise ConfigError(
            f"{path}: line {line} has a NUL byte, so it is no shell script. Save it as plain text."
        )
    return data.decode("utf-8", "surrogateescape")
