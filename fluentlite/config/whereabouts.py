"""Where a running master is found, even when its configuration has become unusable since it started."""

from __future__ import annotations

import contextlib
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace

from fluentlite.config import toml
from fluentlite.config.expand import ExpandError, expand
from fluentlite.config.kinds import Path, UnfitError
from fluentlite.config.legacy_notes import run_dir_in
from fluentlite.config.model import MasterSettings
from fluentlite.config.textfile import UnreadableError, read_text
from fluentlite.errors import ConfigError

_LINE = re.compile(r"^[ \t]*run_dir[ \t]*=.*$", re.MULTILINE)


def find_master(path: str, environ: Mapping[str, str]) -> tuple[MasterSettings, str]:
    """
    Return what the configuration at *path* says of the master; nothing else in it needs to be right.

    A shell configuration is not run for this: its text tells the run_dir.

    Returns:
        The settings, of which run_dir is as good as can be had, and a warning or an empty string.
    """
    default = MasterSettings()
    if not path.endswith(".toml"):
        with contextlib.suppress(UnreadableError):  # whoever may not read it looks where most are
            return replace(default, run_dir=run_dir_in(read_text(path))), ""
        return default, _warning(path, default)
    try:
        return toml.read(path, environ).settings.master, ""
    except ConfigError:
        run_dir = _run_dir_in(path, environ)
    if run_dir:
        return replace(default, run_dir=run_dir), ""
    return default, _warning(path, default)


def _warning(path: str, default: MasterSettings) -> str:
    return f"{path} cannot be read, so fluentlite is looked for in {default.run_dir}; fluentlite check says what is wrong"


def _run_dir_in(path: str, environ: Mapping[str, str]) -> str:
    """Return run_dir as *path* itself has it, or an empty string; the rest may be no TOML at all."""
    try:
        text = read_text(path)
        found = _LINE.search(text)
        if found is None:
            return ""
        run_dir = tomllib.loads(found[0])["run_dir"]
        return Path().read(expand(run_dir, environ), os.path.dirname(path))
    except (UnreadableError, UnfitError, ExpandError, ValueError, TypeError, RecursionError):
        return ""
