"""The real daemon, started and stopped by its commands."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.children import PATIENCE, BenchError

STOP_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command has said on standard output, and the seconds that it took, its interpreter's start among them."""

    text: str
    seconds: float


class Daemon:
    """
    ``fluentlite start`` with a configuration of its own, and ``fluentlite stop`` at the end of the ``with`` block.

    Args:
        logs: What it follows, from the head.
        port: Of the server on this machine.
        directory: For all its files.

    Attributes:
        start_seconds: What ``start`` took, until it had said that the daemon is ready.
    """

    def __init__(self, logs: Iterable[Path], port: int, directory: Path) -> None:
        self._config = directory / "fluentlite.toml"
        self._own_log = directory / "fluentlite.log"
        self._run_dir = tempfile.TemporaryDirectory(prefix="fluentlite-")  # a socket's path must be short
        self._config.write_text(
            f'[master]\nstate_dir = "{directory}/state"\nrun_dir = "{self._run_dir.name}"\nlog_file = "{self._own_log}"\n'
            f'[forward]\nprimary = ["127.0.0.1:{port}"]\n[tail]\nread_from_head = true\n'
            + "".join(f'[[log]]\ntag = "bench.{path.stem}"\npath = "{path}"\n' for path in logs)
        )
        self.start_seconds = 0.0

    def status(self) -> tuple[dict[str, Any], float]:
        """Return what ``status --json`` says, and the seconds that it took."""
        answer = self._run("status", "--json")
        found: dict[str, Any] = json.loads(answer.text)
        return found, answer.seconds

    def wait_for(self, condition: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
        """
        Ask for the status until *condition* holds for the workers in it, and return these.

        Raises:
            BenchError: It does not within ``PATIENCE`` seconds.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            workers: list[dict[str, Any]] = self.status()[0]["workers"]
            if condition(workers):
                return workers
            if time.monotonic() >= deadline:
                raise BenchError(f"the workers do not become what they should be; see {self._own_log}")
            time.sleep(0.05)

    def __enter__(self) -> Daemon:
        self.start_seconds = self._run("start").seconds
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._run("stop", "--timeout", str(STOP_TIMEOUT))
        self._run_dir.cleanup()

    def _run(self, command: str, *arguments: str) -> Answer:
        began = time.monotonic()
        words = [sys.executable, "-m", "fluentlite", command, "-c", str(self._config), *arguments]
        done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE)
        seconds = time.monotonic() - began
        if done.returncode:
            raise BenchError(
                f"fluentlite {command}: exit status {done.returncode}: {done.stderr or done.stdout}"
            )
        return Answer(done.stdout, seconds)
