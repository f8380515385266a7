"""The worker as a process, and what can happen to it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .receptions import Disturbance, Evidence

_CHILD = Path(__file__).with_name("worker_child.py")

EXPECTED = re.compile(
    "|".join(
        (
            r"lines wait in the log until a server takes them",
            r"it takes lines again|not needed now, .* takes the lines|it acknowledges again",
            r"it takes chunks but has acknowledged none of the last",
            r"was not acknowledged \d+ times in a row; sending it in two parts",
            r"stopped with \d+ chunks unacknowledged; they are sent again at the next start",
        )
    )
)
"""What a worker may say above the level of information when servers fail."""

GONE = re.compile(r"inode \d+ is gone|cut short; \d+ bytes had not been read and are in no copy")
"""What it has to say when a file vanished that it had not read; expected where the model excuses something."""

_LEVEL = re.compile(r"\[(WARNING|ERROR|CRITICAL)\]")
_TIMED_OUT = re.compile(r"no ack within|it did not take a chunk within|no answer|no handshake within")


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
        evidence: Told what happens to the worker.
    """

    def __init__(self, directory: Path, path: Path, options: Options, evidence: Evidence) -> None:
        self._path, self._options, self._evidence = path, options, evidence
        self._state_dir = directory / "state"
        self.log_path, self._stderr_path = directory / "agent.log", directory / "agent.stderr"
        self._process: subprocess.Popen[bytes] | None = None
        self._successor: subprocess.Popen[bytes] | None = None
        self._log_read = 0
        self._frozen_since = 0.0
        self.surprises: list[str] = []
        self.may_miss_files = False
        """Whether the model has excused something, so that the worker may complain."""
        self._missed: list[str] = []

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
        self._note_restart(Disturbance("agent killed", since, time.monotonic()))
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
        self._expect(is_fine, f"it ended with status {status}")
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
            self._expect(False, f"it died with status {status}")
            self._note_restart(Disturbance("agent died", time.monotonic() - 1.0, time.monotonic()))

    # -- what can be seen of it -------------------------------------------------------------------------

    def open_files(self) -> set[tuple[int, int]]:
        """Return device and inode of every file that it has open; the kernel's word, not the worker's."""
        found: set[tuple[int, int]] = set()
        if self._process is None:
            return found
        try:
            names = os.listdir(f"/proc/{self._process.pid}/fd")
        except OSError:
            return found
        for name in names:
            try:
                result = os.stat(f"/proc/{self._process.pid}/fd/{name}")
            except OSError:  # closed meanwhile
                continue
            found.add((result.st_dev, result.st_ino))
        return found

    def resident_size(self) -> int:
        """Return the bytes of memory that it holds, 0 if it does not run."""
        if self._process is None:
            return 0
        try:
            pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            return 0
        return pages * os.sysconf("SC_PAGE_SIZE")

    def count(self, text: str) -> int:
        """Return in how many lines of its log *text* is."""
        try:
            return self.log_path.read_text(errors="replace").count(text)
        except FileNotFoundError:
            return 0

    def read_log(self) -> None:
        """Read what has come into its log: surprises, and what explains a repetition."""
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as stream:
                stream.seek(self._log_read)
                text = stream.read()
        except FileNotFoundError:
            return
        whole = text[: text.rfind("\n") + 1]
        self._log_read += len(whole.encode("utf-8", errors="replace"))
        for entry in whole.splitlines():
            self._judge(entry)

    def problems(self) -> list[str]:
        """Return every surprise in its log and on its standard error."""
        self.read_log()
        complaints = self._stderr_path.read_text(errors="replace") if self._stderr_path.exists() else ""
        missed = [] if self.may_miss_files else self._missed
        return self.surprises + missed + ([f"standard error: {complaints}"] if complaints else [])

    def close(self) -> None:
        while self._process is not None:
            self._process.kill()
            self._process.wait()
            self._has_ended()

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
                sys.executable, "-m", "fluentlite", "agent", "-v", "-l", str(self.log_path),
                "--state-dir", str(self._state_dir), *options.flags, "faults", str(self._path), *addresses,
            ]  # fmt: skip
        settings = servers | {
            "path": str(self._path),
            "state_dir": str(self._state_dir),
            "log_file": str(self.log_path),
            "stop_timeout": options.stop_timeout,
            "forward": options.forward,
            "tail": options.tail,
        }
        return [sys.executable, str(_CHILD), json.dumps(settings)]

    def _judge(self, entry: str) -> None:
        now = time.monotonic()
        if _TIMED_OUT.search(entry):
            self._evidence.disturbances.append(Disturbance("the worker saw a time-out", now - 1.0, now))
        if "chunks unacknowledged" in entry:
            self._note_restart(Disturbance("agent gave up waiting", now - 1.0, now))
        if "sending it in two parts" in entry:
            self._evidence.splits.append(now)
        if GONE.search(entry):
            self._missed.append(entry)
        elif "Traceback" in entry or (_LEVEL.search(entry) and not EXPECTED.search(entry)):
            self.surprises.append(entry)

    def _note_restart(self, disturbance: Disturbance) -> None:
        self._evidence.disturbances.append(disturbance)
        self._evidence.restarts.append(disturbance.end)

    def _expect(self, is_so: bool, problem: str) -> None:
        if not is_so:
            self.surprises.append(problem)
