"""One worker with its log: everything that its runs need, in one place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from .agent import Agent, Options
from .log import Log
from .scene import Scene
from .server import Server
from .settings import MAX_IN_FLIGHT, QUICK


class Stage(Scene):
    """
    Args:
        directory: Empty; everything happens in it.
        options: Of the worker; its servers are filled in.
        seed: Decides where half lines are cut.
        rate: Lines per second that are written while time passes.
        secondary: Whether there is a second server, as a secondary.
        ack_delay: See ``sink``.
        targets: Make the log a symbolic link into so many directories.

    The first server is up, the worker is not running.
    """

    agent: Agent

    def __init__(
        self,
        directory: Path,
        *,
        options: Options = QUICK,
        seed: int = 0,
        rate: float = 2000.0,
        secondary: bool = False,
        ack_delay: float = 0.0,
        targets: int = 0,
    ) -> None:
        places = [directory / "logs", *(directory / f"r{number}" for number in range(targets))]
        for place in places:
            place.mkdir()
        max_in_flight = options.forward.get("max_in_flight", MAX_IN_FLIGHT)
        log = Log(places[0] / "app.log", 0, max_in_flight, seed, tuple(places[1:]))
        servers = [
            Server(directory, name, log.evidence.note, ack_delay) for name in ("ab" if secondary else "a")
        ]
        ports = [server.port for server in servers]
        options = replace(options, primary=ports[:1], secondary=ports[1:])
        agent = log.worker = Agent(directory, log.path, options, log.witness)
        super().__init__(agent, [log], servers, rate)
        self.log, self.is_link = log, log.is_link
        self.model, self.writer, self.evidence = log.model, log.writer, log.evidence
        self.holds_log, self.has_seen_all = log.holds_log, log.has_seen_all
