"""``fluentlite import``: print a configuration of fluent-agent-lite as TOML."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import BinaryIO

from fluentlite.config import legacy
from fluentlite.config.to_toml import render
from fluentlite.errors import ConfigError

HELP = """\
Usage: fluentlite import OLD.conf

Runs OLD.conf, the shell configuration of fluent-agent-lite, as each start with it does, and prints the TOML that
means the same. Comments say what differs, and what the script computed on this host. Changes nothing itself.

  fluentlite import /etc/fluent-agent-lite.conf > /etc/fluentlite/fluentlite.toml
  fluentlite check

Exit status: 0, or 1 if OLD.conf cannot be used."""


def run_import(path: str, environ: Mapping[str, str], out: BinaryIO) -> int:
    """
    Print the script at *path* as TOML, in UTF-8 whatever the terminal's encoding.

    Returns:
        The exit status, 0.

    Raises:
        ConfigError: The script cannot be used.
    """
    if path.endswith(".toml"):
        raise ConfigError(f"{path}: it is TOML by its name already. Use it as it is: -c {path}")
    out.write(render(legacy.run(path, environ), socket.gethostname()).encode())
    out.flush()
    return 0
