"""The daemon as a process with its workers, and what can happen to it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from .clock import Clock
from .log import Log
from .member import Member, end, is_alive
from .ownlog import OwnLog, is_complaint

FLUENTLITE = [sys.executable, "-m", "fluentlite"]

_ENTRY = re.compile(r"\S+ \[\w+\] \((\d+)\) ")
_STARTED = re.compile(r"(/\S+): worker (\d+) started")
_READY = re.compile(r"fluentlite started, pid (\d+)")
_DIED = re.compile(r"worker (\d+) (.+); the next one starts in")
_OF_A_DEATH = re.compile(
    r": (?:the last worker (?:was killed by SIGKILL|ended with status 0); it is started again|a worker follows it again)"
    r"(?: \(and \d+ times more since the last report\))?$"
)
"""Said once for any number of deaths, each of which is judged by itself."""


class Daemon:
    """
    Args:
        directory: For its own log, and what its commands say.
        config: The file of its configuration, in which *directory*/agent.log is its log.
        is_foreground: Whether it is a child of ours, as of systemd, or forks itself away.
        clock: What it takes for the wall clock, if not that of the machine.

    Attributes:
        surprises: What it should not have done or said.
        ended: Pids of workers that were told to end behind its back.
    """

    def __init__(
        self, directory: Path, config: Path, *, is_foreground: bool, clock: Clock | None = None
    ) -> None:
        self._directory, self._config, self._is_foreground = directory, config, is_foreground
        self._pid_file = directory / "run" / "fluentlite.pid"
        self._clock = clock
        self._log = OwnLog(directory / "agent.log")
        self._logs: dict[str, Log] = {}
        self._log_of_pid: dict[int, Log] = {}
        self._master: psutil.Process | None = None
        self._commands: list[tuple[str, psutil.Popen]] = []
        self._must_live, self._was_killed, self._ready_pid = False, False, 0
        self._workers: list[psutil.Process] = []
        self._frozen_since = 0.0
        self.surprises: list[str] = []
        self.ended: set[int] = set()

    def add(self, log: Log) -> Member:
        """It may follow *log* from now on."""
        member = log.worker = Member(log.witness)
        self._logs[str(log.path)] = log
        return member

    # -- verbs ------------------------------------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        """Whether there is a master, frozen or not, or soon will be."""
        return self._must_live

    @property
    def is_frozen(self) -> bool:
        return bool(self._frozen_since)

    @property
    def is_ready(self) -> bool:
        """Whether it may be told something."""
        return self._master is not None and self._ready_pid == self._master.pid and not self.is_busy

    @property
    def is_busy(self) -> bool:
        """Whether a command is under way."""
        self._settle_commands()
        return bool(self._commands)

    def start(self) -> None:
        """Start it, unless it runs."""
        if self._must_live:
            return
        self._must_live = True
        if self._is_foreground:
            self._master = self._spawn("start", "--foreground")
        else:
            self._command("start")

    def reload(self) -> None:
        """Have it read its configuration again; ``is_busy`` until it has."""
        self._command("reload")

    def hang_up(self) -> None:
        """HUP: the same, said by a signal."""
        self._send(signal.SIGHUP)

    def ask_to_stop(self) -> None:
        """Have it stop; ``has_stopped`` tells when it is gone."""
        self.thaw()
        self._wait_for_commands()
        if self._is_foreground:
            self._send(signal.SIGTERM)
        elif self._must_live:
            self._command("stop")
        self._must_live = False

    def has_stopped(self) -> bool:
        """Tell whether it has gone after it was asked to: with status 0, and all workers with it."""
        if self._master is None:
            return True
        if is_alive(self._master) or self.is_busy:
            return False
        self.read_log()
        if isinstance(self._master, psutil.Popen):
            status = self._master.wait()
            # Until the first line of ours runs, TERM does what it does to every program.
            was_born = self._ready_pid == self._master.pid
            self._expect(
                status == 0 or (status == -signal.SIGTERM and not was_born), f"it ended with status {status}"
            )
        left = [process.pid for process in self._workers if is_alive(process)]
        self._expect(not left, f"it ended before its workers {left}")
        self._master, self._workers = None, []
        return True

    def kill(self) -> None:
        """SIGKILL for the master; its workers notice, and finish."""
        self._wait_for_commands()
        for log in self._logs.values():  # a frozen orphan would keep the log from all others
            log.worker.thaw()
        if self._master is not None:
            end(self._master)
            self._reap()
            self._was_killed = True
        self._master, self._must_live, self._frozen_since = None, False, 0.0
        self.read_log()

    def rotate_log(self, *, by_signal: bool) -> None:
        """Rename its own log; with USR1, or it finds out by itself."""
        self._log.rotate()
        if by_signal:
            self._send(signal.SIGUSR1)

    def freeze(self) -> None:
        """SIGSTOP for the master."""
        if self._master is not None and not self._frozen_since:
            self._frozen_since = time.monotonic()
            self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT for the master and all workers."""
        if self._frozen_since:
            self._send(signal.SIGCONT)
            self._frozen_since = 0.0
        for log in self._logs.values():
            log.worker.thaw()

    def check_alive(self) -> None:
        """Note it if the master died by itself, or if a command failed."""
        self._settle_commands()
        if self._must_live and self._master is not None and not is_alive(self._master):
            self._expect(False, "the master died")
            self._reap()
            self._master, self._must_live = None, False

    # -- what can be seen of it -------------------------------------------------------------------------

    @property
    def pids(self) -> list[int]:
        """Of the master and of the workers."""
        self._workers = [process for process in self._workers if is_alive(process)]
        return [process.pid for process in [self._master] * (self._master is not None) + self._workers]

    def count(self, text: str) -> int:
        """Return how often *text* is in its log."""
        return self._log.count(text)

    def last(self, text: str) -> str:
        """Return the last entry of its log with *text* in it."""
        return self._log.last(text)

    def read_log(self) -> None:
        """Read what has come into its log; what is about one log is for that one's witness."""
        for entry in self._log.read():
            self._hear(entry)

    def problems(self) -> list[str]:
        """Return what it should not have said."""
        self._settle_commands()
        complaints = self._directory / "agent.stderr"
        text = complaints.read_text(errors="replace") if complaints.exists() else ""
        return self.surprises + ([f"standard error: {text}"] if text else [])

    def close(self) -> None:
        """Leave nothing behind: the master first, which would start workers again."""
        for _verb, process in self._commands:
            process.kill()
            process.wait()
        self.read_log()
        with contextlib.suppress(OSError, ValueError, psutil.NoSuchProcess):
            self._master = self._master or psutil.Process(int(self._pid_file.read_text()))
        for process in [self._master] * (self._master is not None) + self._workers:
            end(process)
        self._reap()
        self._log.close()

    # -- inside -----------------------------------------------------------------------------------------

    def _hear(self, entry: str) -> None:
        if self._clock is not None:
            self._clock.hear(entry)
        if match := _STARTED.search(entry):
            log = self._log_of_pid[int(match[2])] = self._logs[match[1]]
            if (process := log.worker.begin(int(match[2]))) is not None:
                self._workers.append(process)
            return
        if match := _READY.search(entry):
            self._ready_pid = int(match[1])
        if match := _DIED.search(entry):
            self._expect(int(match[1]) in self.ended, entry)
        if _OF_A_DEATH.search(entry):
            return
        if self._was_killed and entry.endswith(": the master is gone; the worker finishes"):
            return
        log = self._log_of(entry)
        if log is not None:
            log.witness.hear(entry, self._log.since)
            if "started, tag" in entry:  # so the worker before it has ended
                log.excuse()
        elif is_complaint(entry):
            self.surprises.append(entry)

    def _log_of(self, entry: str) -> Log | None:
        match = _ENTRY.match(entry)
        if match and int(match[1]) in self._log_of_pid:
            return self._log_of_pid[int(match[1])]
        return next((log for path, log in self._logs.items() if f"{path}: " in entry), None)

    def _spawn(self, *words: str) -> psutil.Popen:
        with (
            open(self._directory / "agent.stdout", "ab") as out,
            open(self._directory / "agent.stderr", "ab") as err,
        ):
            # Whoever runs this may have put itself before all others; the daemon takes its turn like them.
            ordinary = ["nice", "-n", str(-os.nice(0))] if os.nice(0) < 0 else []
            command = [*ordinary, *FLUENTLITE, *words, "-c", str(self._config)]
            environment = os.environ | (self._clock.environment if self._clock is not None else {})
            return psutil.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment)

    def _command(self, verb: str) -> None:
        self._commands.append((verb, self._spawn(verb)))

    def _settle_commands(self) -> None:
        for command in [command for command in self._commands if command[1].poll() is not None]:
            self._commands.remove(command)
            self._finish_command(*command)

    def _wait_for_commands(self) -> None:
        while self._commands:
            self._finish_command(*self._commands.pop(0))

    def _finish_command(self, verb: str, process: psutil.Popen) -> None:
        status = process.wait(timeout=60.0)
        self._expect(status == 0, f"{verb} ended with status {status}")
        if verb == "start" and status == 0:
            self._master = psutil.Process(int(self._pid_file.read_text()))

    def _send(self, signum: int) -> None:
        if self._master is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                self._master.send_signal(signum)

    def _reap(self) -> None:
        if isinstance(self._master, psutil.Popen):
            self._master.wait()

    def _expect(self, is_so: bool, problem: str) -> None:
        if not is_so:
            self.surprises.append(problem)
