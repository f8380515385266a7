"""The daemon of a demo, run by its real commands."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from fluentlite.control_client import ask
from fluentlite.core.snapshot import Snapshot, read_snapshot
from fluentlite.errors import FluentliteError

_STATUS_PATIENCE = 2.0
_LAST_LINES = 30

CONFIGURATION = """\
# What the demo runs with; etc/fluentlite.toml explains every key.
[master]
state_dir = "state"
run_dir = "run"
log_file = "fluentlite.log"
log_level = "info"

[forward]
primary = ["{server}"]
reconnect_wait_max = 1.0

[tail]
read_from_head = true
max_line_size = {max_line_size}
"""

LOG = """
[[log]]
tag = "{tag}"
path = "{path}"
"""

_LONGEST_LINE = 32 * 1024 * 1024
"""Bytes; half of what the embedded server takes in one message."""


class Daemon:
    """
    Args:
        directory: Where it has everything.
        server: ``host:port`` of its primary.
        lifeline: Inherited by its commands.
        wait: Called again and again while a command runs; lets everything else go on.
    """

    def __init__(self, directory: str, server: str, lifeline: int, wait: Callable[[], None]) -> None:
        self._directory, self._server, self._lifeline, self._wait = directory, server, lifeline, wait
        self.config = os.path.join(directory, "fluentlite.toml")
        self._environ = dict(os.environ)

    def configure(self, logs: Mapping[str, str]) -> None:
        """Put a configuration in place: a ``[[log]]`` for each tag, with its path."""
        text = CONFIGURATION.format(server=self._server, max_line_size=_LONGEST_LINE)
        for number, (tag, path) in enumerate(logs.items()):
            # From the environment: TOML is UTF-8, and the name of a file may be any bytes.
            self._environ[f"DEMO_LOG_{number}"] = path
            text += LOG.format(tag=tag, path=f"${{DEMO_LOG_{number}}}")
        Path(f"{self.config}.new").write_text(text)
        os.rename(f"{self.config}.new", self.config)

    def run(self, command: str) -> str:
        """
        Run ``fluentlite`` *command*.

        Returns:
            What it said.

        Raises:
            FluentliteError: It failed; with what it said.
        """
        with tempfile.TemporaryFile(dir=self._directory) as output:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "fluentlite", command, "-c", self.config],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environ,
                pass_fds=[self._lifeline],
                start_new_session=True,  # Ctrl-C is for the demo, which ends the daemon in its own way
            )
            while process.poll() is None:
                self._wait()
            output.seek(0)
            said = output.read().decode(errors="replace").strip()
        if process.returncode:
            raise FluentliteError(f"fluentlite {command} failed:\n{said}\n{self.last_words()}".rstrip())
        return said

    def status(self) -> Snapshot:
        """
        Raises:
            FluentliteError: There is no answer.
        """
        return read_snapshot(ask(os.path.join(self._directory, "run"), "status", _STATUS_PATIENCE))

    def last_words(self) -> str:
        """The end of its own log."""
        try:
            text = Path(self._directory, "fluentlite.log").read_text(errors="backslashreplace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-_LAST_LINES:])
