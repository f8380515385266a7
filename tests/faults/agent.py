"""The worker as a process, and what can happen to it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .ownlog import OwnLog, Witness
from .process import open_files
from .receptions import Disturbance

_CHILD = Path(__file__).with_name("worker_child.py")


@dataclass(frozen=True, kw_only=True)
class Options:
    """How the worker is run; with *flags* as ``fluentlite agent FLAGS``, else with settings made in Python."""

    primary: Sequence[int]
    secondary: Sequence[int] = ()
    flags: Sequence[str] | None = None
    forward: dict[str, Any] = field(default_factory=dict)
    tail: dict[str, Any] = field(default_factory=dict)
    stop_timeout: float = 10.0


class Agent:
    """
    Args:
        directory: For its checkpoint, its log and its standard error.
        path: What it follows.
        witness: Told what happens to the worker, and what it says.
    """

    def __init__(self, directory: Path, path: Path, options: Options, witness: Witness) -> None:
        self._path, self._options, self._witness = path, options, witness
        self._state_dir = directory / "state"
        self._log_path, self._stderr_path = directory / "agent.log", directory / "agent.stderr"
        self._log = OwnLog(self._log_path)
        self._process: subprocess.Popen[bytes] | None = None
        self._successor: subprocess.Popen[bytes] | None = None
        self._frozen_since = 0.0

    # -- verbs ------------------------------------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        return self._process is not None

    @property
    def is_frozen(self) -> bool:
        return bool(self._frozen_since)

    def start(self) -> None:
        """Start it, unless it runs."""
        if self._process is None:
            self._process = self._spawn()

    def start_successor(self) -> None:
        """Start another one beside it, as careless scripts do: it must wait, and take over when this one ends."""
        if self._process is not None and self._successor is None:
            self._successor = self._spawn()

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is None:
            return
        since = self._frozen_since or time.monotonic()
        self._process.kill()
        self._process.wait()
        self._frozen_since = 0.0
        self._has_ended()
        self._witness.evidence.note_restart(Disturbance("agent killed", since, time.monotonic()))
        self.read_log()

    def ask_to_stop(self) -> None:
        """TERM; ``has_stopped`` tells when it is gone."""
        self.thaw()
        if self._process is not None:
            self._process.terminate()

    def has_stopped(self) -> bool:
        """Tell whether it has gone after TERM; it must have done so with status 0."""
        if self._process is None:
            return True
        status = self._process.poll()
        if status is None:
            return False
        # Before it has said something it may be an interpreter that is starting, which TERM just ends.
        is_starting = self.count(f"({self._process.pid}) ") == 0
        is_fine = status == 0 or (is_starting and status == -signal.SIGTERM)
        self._witness.expect(is_fine, f"it ended with status {status}")
        self._has_ended()
        self.read_log()
        return True

    def hang_up(self) -> None:
        """HUP: connect anew."""
        if self._process is not None:
            self._process.send_signal(signal.SIGHUP)

    def freeze(self) -> None:
        """SIGSTOP: the machine is too busy, or asleep."""
        if self._process is not None and not self._frozen_since:
            self._frozen_since = time.monotonic()
            self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        if self._process is not None and self._frozen_since:
            self._process.send_signal(signal.SIGCONT)
            self._frozen_since = 0.0

    def check_alive(self) -> None:
        """Note it if the worker died by itself."""
        if self._process is not None and (status := self._process.poll()) is not None:
            self._has_ended()
            self._witness.expect(False, f"it died with status {status}")
            self._witness.evidence.note_restart(
                Disturbance("agent died", time.monotonic() - 1.0, time.monotonic())
            )

    # -- what can be seen of it -------------------------------------------------------------------------

    def open_files(self) -> set[tuple[int, int]]:
        """Return device and inode of every file that it has open."""
        return open_files(self._process.pid) if self._process else set()

    @property
    def pids(self) -> list[int]:
        return [self._process.pid] if self._process else []

    def count(self, text: str) -> int:
        """Return how often *text* is in its log."""
        return self._log.count(text)

    def read_log(self) -> None:
        """Read what has come into its log."""
        for entry in self._log.read():
            self._witness.hear(entry, self._log.since)

    def problems(self) -> list[str]:
        """Return what it has said on standard error."""
        complaints = self._stderr_path.read_text(errors="replace") if self._stderr_path.exists() else ""
        return [f"standard error: {complaints}"] if complaints else []

    def close(self) -> None:
        while self._process is not None:
            self._process.kill()
            self._process.wait()
            self._has_ended()
        self._log.close()

    # -- inside -----------------------------------------------------------------------------------------

    def _spawn(self) -> subprocess.Popen[bytes]:
        with open(self._stderr_path, "ab") as stderr:
            return subprocess.Popen(self._command(), stderr=stderr, stdin=subprocess.DEVNULL)

    def _has_ended(self) -> None:
        self._process, self._successor = self._successor, None

    def _command(self) -> list[str]:
        options = self._options
        servers = {"primary": list(options.primary), "secondary": list(options.secondary)}
        if options.flags is not None:
            addresses = [f"127.0.0.1:{port}" for port in (*options.primary, *options.secondary)]
            return [
                sys.executable, "-m", "fluentlite", "agent", "-v", "-l", str(self._log_path),
                "--state-dir", str(self._state_dir), *options.flags, "faults", str(self._path), *addresses,
            ]  # fmt: skip
        settings = servers | {
            "path": str(self._path),
            "state_dir": str(self._state_dir),
            "log_file": str(self._log_path),
            "stop_timeout": options.stop_timeout,
            "forward": options.forward,
            "tail": options.tail,
        }
        return [sys.executable, str(_CHILD), json.dumps(settings)]
