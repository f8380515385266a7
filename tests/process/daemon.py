"""
A whole fluentlite, run by its real command line, with verbs for what happens to it.

::

    daemon = Daemon(tmp_path, "a", "b", server=arrivals.address)
    daemon.start()
    daemon.append("a", "one line")
    os.kill(daemon.master(), signal.SIGKILL)
    ...
    daemon.close()     # stops it; nothing may be left, and its log may hold no error that was not announced

Everything it has is in one directory. Its processes are known by the files that they hold open there, so those that
nobody knows of any more are found as well.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from clients import eventually
from kernel import open_files, process_state, title

from fluentlite.control_client import ask
from fluentlite.errors import FluentliteError

FLUENTLITE = [sys.executable, "-m", "fluentlite"]

IMPATIENT = {"connect_timeout": 2.0, "reconnect_wait_max": 0.5, "ack_response_timeout": 10.0}
EAGER = {"read_from_head": True, "poll_interval": 0.2, "rotate_wait": 0.5}

WATCHFUL = """
import sys
from fluentlite.core import hang
from fluentlite.master import watch
hang.HUNG_AFTER = 2.0
watch.INTERVAL = 0.5
from fluentlite.cli import main
sys.exit(main())
"""
"""The same agent, whose master looks after everything oftener and has less patience."""

SLOW_DISK = "the disk has not taken the position within"
"""No surprise: other tests write too."""

_ALARMING = re.compile(r"\[(ERROR|CRITICAL)\]|Traceback|^\w*Error\b")


class Result:
    """What a command said: ``status``, ``out``, ``err``."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.status, self.out, self.err = done.returncode, done.stdout, done.stderr

    def __repr__(self) -> str:
        return f"status {self.status}\n-- standard output:\n{self.out}\n-- standard error:\n{self.err}"


class Daemon:
    """
    Args:
        directory: Configuration, logs, state, run directory and its own log go in there.
        logs: Names; each is a tag and, with ``.log``, a file in ``logs/``.
        server: The address of a primary.
        master: Keys of ``[master]`` that are not as they always are here.

    Attributes:
        config: The configuration as nested dictionaries; change it, then ``write_config``.
        log_path: Its own log.
    """

    def __init__(
        self,
        directory: Path,
        *logs: str,
        server: str,
        forward: Mapping[str, Any] | None = None,
        tail: Mapping[str, Any] | None = None,
        **master: Any,
    ) -> None:
        self.directory = directory
        self.logs_dir, self.state_dir, self.run_dir = (directory / name for name in ("logs", "state", "run"))
        self.log_path, self.config_path = directory / "fluentlite.log", directory / "fluentlite.toml"
        self.logs_dir.mkdir(exist_ok=True)
        paths = {"state_dir": self.state_dir, "run_dir": self.run_dir, "log_file": self.log_path}
        self.config: dict[str, Any] = {
            "master": {key: str(path) for key, path in paths.items()}
            | {"log_level": "info", "stop_timeout": 5.0}
            | master,
            "forward": {"primary": [server], **IMPATIENT, **(forward or {})},
            "tail": {**EAGER, **(tail or {})},
            "log": [{"tag": name, "path": str(self.path(name))} for name in logs],
        }
        self.write_config()
        self._announced: list[str] = []

    # -- its files --------------------------------------------------------------------------------------

    def path(self, name: str) -> Path:
        """The log file *name*."""
        return self.logs_dir / f"{name}.log"

    def append(self, name: str, *lines: str) -> None:
        """Append whole lines to a log, in one write."""
        with open(self.path(name), "ab", opener=lambda path, flags: os.open(path, flags, 0o644)) as file:
            file.write("".join(f"{line}\n" for line in lines).encode())

    def write_config(self) -> None:
        """Put ``config`` in place, as an editor does: nobody sees half of it."""
        new = self.config_path.with_suffix(".new")
        new.write_text(toml(self.config))
        new.rename(self.config_path)

    def said(self) -> str:
        """Its own log, with what was rotated away."""
        paths = sorted(self.directory.glob("fluentlite.log*"), reverse=True)
        return "".join(path.read_text(errors="replace") for path in paths if path.is_file())

    def wait_until_said(self, pattern: str, timeout: float = 10.0) -> re.Match[str]:
        """Wait until its own log has *pattern*; return the match."""
        found: list[re.Match[str]] = []

        def look() -> bool:
            found.extend(re.finditer(pattern, self.said()))
            return bool(found)

        self.eventually(look, timeout)
        return found[0]

    def announce(self, *patterns: str) -> None:
        """Errors of these patterns in its log are what the test wants to see."""
        self._announced += patterns

    # -- its commands -----------------------------------------------------------------------------------

    def command(self, *words: object) -> list[str]:
        """The command line; the second word and all that follow come after ``-c FILE``."""
        first, *rest = words or ("start",)
        return [*FLUENTLITE, str(first), "-c", str(self.config_path), *map(str, rest)]

    def run(self, *words: object, timeout: float = 60.0, **how: Any) -> Result:
        """Run a command to its end. Its output is a pipe, as in a script: who keeps it open makes this wait."""
        how = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | how
        return Result(subprocess.run(self.command(*words), text=True, timeout=timeout, **how))

    def start(self, **how: Any) -> None:
        """Start it; it must say that it runs."""
        result = self.run("start", **how)
        assert result.status == 0, f"{result}\n{self.said()}"

    def start_watchful(self) -> None:
        """Start it with a master that looks after everything twice a second."""
        command = [sys.executable, "-c", WATCHFUL, *self.command("start")[len(FLUENTLITE) :]]
        subprocess.run(command, check=True, timeout=60, stdin=subprocess.DEVNULL)

    def stop(self, *words: object) -> Result:
        """Stop it; nothing may be left."""
        result = self.run("stop", *words)
        assert (result.status, self.processes()) == (0, []), f"{result}\n{self.described(self.processes())}"
        return result

    def status(self) -> dict[str, Any]:
        """What ``status --json`` says."""
        result = self.run("status", "--json")
        assert result.status == 0, result
        return json.loads(result.out)

    # -- its processes ----------------------------------------------------------------------------------

    def ask(self, command: str = "status", timeout: float = 10.0) -> dict[str, Any]:
        """The same answer from the control socket, without a process of its own."""
        return ask(str(self.run_dir), command, timeout)

    def master(self) -> int:
        """The master's pid."""
        return self.ask()["master"]["pid"]

    def row(self, tag: str) -> dict[str, Any]:
        """What the status says of the log with *tag*."""
        return next(row for row in self.ask()["workers"] if row["tag"] == tag)

    def workers(self) -> dict[str, int]:
        """The pids of the living workers, by tag."""
        return {row["tag"]: row["pid"] for row in self.ask()["workers"] if row["pid"]}

    def worker(self, tag: str) -> int:
        return self.workers()[tag]

    def is_running(self) -> bool:
        """Whether somebody answers at the control socket."""
        try:
            self.ask(timeout=2.0)
        except FluentliteError:
            return False
        return True

    def wait_for_workers(
        self, count: int | None = None, timeout: float = 20.0, but: Any = ()
    ) -> dict[str, int]:
        """Wait until every log (or *count* of them) has a worker that works, whose pid is none of *but*."""
        wanted = len(self.config["log"]) if count is None else count

        def all_work() -> bool:
            rows = self.ask()["workers"]
            fresh = [row for row in rows if row["pid"] and row["pid"] not in but]
            return len(fresh) == wanted and all(
                row["state"] not in ("starting", "restarting") for row in fresh
            )

        self.eventually(all_work, timeout)
        return self.workers()

    def eventually(self, condition: Callable[[], object], timeout: float = 10.0) -> None:
        """Wait until *condition* is true, or fail with everything that the daemon said."""
        try:
            eventually(condition, timeout)
        except AssertionError as exc:
            raise AssertionError(f"{exc}\n{self.described(self.processes())}\n{self.said()}") from None

    def processes(self) -> list[int]:
        """Every process, of ours or orphaned, that has something open in the directory."""
        mine = os.getpid()
        return [
            pid
            for pid in map(int, filter(str.isdigit, os.listdir("/proc")))
            if pid != mine and self._is_ours(pid)
        ]

    def _is_ours(self, pid: int) -> bool:
        return any(target.startswith(f"{self.directory}/") for target in open_files(pid).values())

    def described(self, pids: list[int]) -> str:
        """What *pids* are, for the message of a failed test."""
        return "\n".join(
            f"{pid} {process_state(pid)} {title(pid)} {sorted(open_files(pid).values())}" for pid in pids
        )

    # -- the end ----------------------------------------------------------------------------------------

    def kill(self) -> None:
        """SIGKILL for everything that is left; for the end of a test that failed, too."""
        while pids := self.processes():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)

    def close(self) -> None:
        """Stop it if it runs. Nothing may be left of it, and its log may hold no error that was not announced."""
        try:
            if self.is_running():
                os.kill(self.master(), signal.SIGTERM)
            with contextlib.suppress(AssertionError):
                eventually(lambda: not self.processes(), 15.0)
            left = self.described(self.processes())
        finally:
            self.kill()
        assert left == "", f"left behind:\n{left}\n{self.said()}"
        assert self.surprises() == [], self.said()

    def surprises(self) -> list[str]:
        """What its log says and no test has announced."""
        announced = re.compile("|".join([SLOW_DISK, *self._announced]))
        return [
            line for line in self.said().splitlines() if _ALARMING.search(line) and not announced.search(line)
        ]


def toml(config: Mapping[str, Any]) -> str:
    """*config* as TOML: values that are dictionaries are tables, lists of dictionaries are arrays of tables."""
    return "\n".join(_toml_lines(config, ""))


def _toml_lines(table: Mapping[str, Any], name: str) -> list[str]:
    lines = [
        f"{key} = {json.dumps(value)}"  # strings, numbers, booleans and lists of strings are the same in both
        for key, value in table.items()
        if not isinstance(value, dict) and not _is_array_of_tables(value)
    ]
    for key, value in table.items():
        if isinstance(value, dict):
            lines += [f"[{name}{key}]", *_toml_lines(value, f"{name}{key}.")]
        elif _is_array_of_tables(value):
            for entry in value:
                lines += [f"[[{name}{key}]]", *_toml_lines(entry, f"{name}{key}.")]
    return lines


def _is_array_of_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)
