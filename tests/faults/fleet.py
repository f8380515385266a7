"""The daemon with its logs: everything that its runs need, in one place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import network
from .agent import Options
from .clock import Clock
from .configuration import Configuration
from .daemon import Daemon
from .log import Log
from .receptions import Disturbance
from .scene import Report, Scene
from .server import Server
from .settings import MAX_IN_FLIGHT, QUICK
from .statedisk import StateDisk

MOST_SILENCE = 45.0
"""Seconds; a worker that died young again and again comes back after at most 30."""


class Fleet(Scene):
    """
    Args:
        directory: Empty; everything happens in it.
        count: Logs. They are ``log0``, ``log1``, ... in one directory: some names begin with another's.
        options: Of all workers.
        seed: Decides where half lines are cut.
        rate: Lines per second that are written to each log while time passes.
        is_secondary: Whether the second server is a secondary, and not one that nobody knows of yet.
        ack_delay: See ``sink``.
        is_foreground: See ``Daemon``.
        has_network: Whether each server is in a network namespace; we must be in one, see ``network``.
        has_disk: Whether ``state_dir`` is a disk of its own; needs root.
        has_clock: Whether the daemon has a wall clock of its own.

    Attributes:
        lines: To the servers, if there are namespaces.
        disk: Of the daemon; *clock* too, if it has its own.

    The first server is up, the daemon is not running.
    """

    agent: Daemon

    def __init__(
        self,
        directory: Path,
        *,
        count: int = 20,
        options: Options = QUICK,
        seed: int = 0,
        rate: float = 200.0,
        is_secondary: bool = False,
        ack_delay: float = 0.0,
        is_foreground: bool = True,
        has_network: bool = False,
        has_disk: bool = False,
        has_clock: bool = False,
    ) -> None:
        self._seed = seed
        self._places = directory / "logs"
        self._places.mkdir()
        self.lines = [network.Line(n, name, self._note) for n, name in enumerate("ab")] if has_network else []
        self.disk = StateDisk(directory / "state") if has_disk else None
        self.clock = Clock(directory / "clock") if has_clock else None
        lines = self.lines or (None, None)
        servers = [
            Server(directory, name, self._note, ack_delay, line)
            for name, line in zip("ab", lines, strict=True)
        ]
        self.configuration = Configuration(
            directory / "fluentlite.toml",
            master={
                "state_dir": str(directory / "state"),
                "run_dir": str(directory / "run"),
                "log_file": str(directory / "agent.log"),
                "log_level": "debug",
                "stop_timeout": options.stop_timeout,
            },
            forward=dict(options.forward),
            tail=dict(options.tail),
        )
        agent = Daemon(directory, self.configuration.path, is_foreground=is_foreground, clock=self.clock)
        super().__init__(agent, [], servers, rate)
        self.send_to(servers[0], secondary=servers[1] if is_secondary else None)
        for _ in range(count):
            self.add_log()
        self.configuration.write()

    def __exit__(self, *_: Any) -> None:
        super().__exit__(*_)
        if self.disk is not None:
            self.disk.close()

    def _note(self, disturbance: Disturbance) -> None:
        for log in self.logs:
            log.evidence.note(disturbance)

    def log_with(self, tag: str) -> Log:
        """Return the log whose lines come with *tag*: a number, and perhaps something after a dot."""
        return self.logs[int(tag.partition(".")[0])]

    # -- the configuration ------------------------------------------------------------------------------

    def add_log(self) -> Log:
        """Make another log; it is in the configuration that is written next."""
        index = len(self.logs)
        log = Log(self._places / f"log{index}", index, MAX_IN_FLIGHT, self._seed)
        self.agent.add(log)
        self.logs.append(log)
        self.configuration.logs[log.path] = {"tag": f"{index}"}
        return log

    def send_to(self, *primaries: Server, secondary: Server | None = None) -> None:
        """Have the next configuration name these servers."""
        secondaries = [secondary] if secondary is not None else []
        for kind, servers in (("primary", primaries), ("secondary", secondaries)):
            self.configuration.forward[kind] = [server.address for server in servers]

    def is_followed(self, log: Log) -> bool:
        """Tell whether *log* is in the configuration."""
        return log.path not in self.configuration.removed

    def is_served(self, log: Log) -> bool:
        """As every scene; and the log must be followed, and the server be one that the daemon knows."""
        return (
            self.agent.is_running
            and not self.agent.is_frozen
            and not log.worker.is_frozen
            and self.is_followed(log)
            and any(server.is_up and self._is_known(server) for server in self.servers)
        )

    def _is_known(self, server: Server) -> bool:
        return any(server.address in self.configuration.forward[kind] for kind in ("primary", "secondary"))

    def reload(self, *, by_signal: bool = False) -> None:
        """Write the configuration and have the daemon read it; writing goes on until it has."""
        self.configuration.write()
        if by_signal:
            read = self.agent.count("configuration read again")
            self.agent.hang_up()
            self.wait(
                lambda: self.agent.count("configuration read again") > read, "it reloaded", writing=True
            )
        else:
            self.agent.reload()
            self.wait(lambda: not self.agent.is_busy, "the reload ended", timeout=60.0, writing=True)

    def all_go_to(self, server: Server) -> bool:
        """Tell whether the last chunk of every log came to *server*."""
        return all(log.last_server == server.name for log in self.logs)

    # -- processes --------------------------------------------------------------------------------------

    def start_agent(self) -> None:
        """Start it and wait until it has seen the logs, and may be told something."""
        super().start_agent()
        self.wait(lambda: self.agent.is_ready, "the daemon was ready")

    def kill_agent(self) -> None:
        """SIGKILL for the master; what its workers had not read of nameless files is known when others start."""
        self.agent.kill()

    def kill_worker(self, log: Log) -> None:
        """SIGKILL for the worker of *log*."""
        self.agent.read_log()
        self.agent.ended.add(log.worker.pid)
        log.worker.kill()

    def terminate_worker(self, log: Log) -> None:
        """TERM for the worker of *log*."""
        self.agent.read_log()
        self.agent.ended.add(log.worker.pid)
        log.worker.terminate()

    def kill_everything(self) -> None:
        """SIGKILL for all processes, as when the machine goes down: none sees another one die."""
        self.agent.freeze()
        for log in self.logs:
            self.kill_worker(log)
        self.agent.kill()

    # -- the end ----------------------------------------------------------------------------------------

    def states(self) -> dict[str, bool]:
        """Return what can be down, and whether it is well."""
        workers = {log.path.name: not log.worker.is_frozen and self.is_followed(log) for log in self.logs}
        disk = {"state disk": not self.disk.is_full} if self.disk is not None else {}
        return super().states() | workers | disk

    def mend(self, *, writing: bool = False) -> None:
        """Have everything run, and every log followed."""
        was_running, has_removed = self.agent.is_running, bool(self.configuration.removed)
        self.configuration.removed.clear()
        self.configuration.write()
        if self.disk is not None:
            self.disk.free()
        super().mend(writing=writing)
        if was_running and has_removed:
            self.wait(lambda: self.agent.is_ready, "the daemon was ready", writing=writing)
            self.reload()

    def finish(self, *, most_silence: float = MOST_SILENCE) -> Report:
        """As every scene; and the daemon must know at its end that everything is delivered."""
        report = super().finish(most_silence=most_silence)
        self.agent.read_log()
        said = self.agent.last("[NOTICE]")
        if not report.problems and not said.endswith("stopped; everything is delivered"):
            report.problems.append(f"surprise: at the end it said {said}")
        return report
