"""Everything a run needs, in one place and one thread: a writer, a worker, servers, the model."""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from .agent import Agent, Options
from .model import Generation, Model
from .receptions import Evidence
from .server import Server
from .settings import MAX_IN_FLIGHT, QUICK
from .writer import LogWriter

STEP = 0.01
"""Seconds between two looks at everything."""

LATE_REOPEN = 0.4
"""Longest time in seconds for which a writer goes on in a renamed file; well below ``rotate_wait``."""

MOST_SILENCE = 10.0
"""Seconds without a new line after which nothing will come any more; longer than all waits of *QUICK* together."""

KEPT_FILES = 6
"""Rotated files that stay in the directory after they have been delivered."""


@dataclass(frozen=True, slots=True)
class Report:
    """The verdict; lists hold sentences."""

    written: int
    delivered: int
    lost: list[str]
    count_lost: int
    excused: int
    explained: int
    count_unexplained: int
    unexplained: list[str]
    torn: int
    wrong: list[str]
    surprises: list[str]
    longest_silence: float

    @property
    def problems(self) -> list[str]:
        """Everything that is a fault."""
        return [
            *(f"lost: {text}" for text in self.lost),
            *(f"doubled: {text}" for text in self.unexplained),
            *(f"wrong: {text}" for text in self.wrong),
            *(f"surprise: {text}" for text in self.surprises),
        ]

    def __str__(self) -> str:
        return (
            f"{self.written} lines written, {self.delivered} delivered, {self.count_lost} lost, "
            f"{self.excused} beyond reach, {self.explained} doubled with an explanation, {self.count_unexplained} without, {self.torn} torn, "
            f"longest silence {self.longest_silence:.1f} s"
        )


class Stage:
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
        self.rng = random.Random(seed)
        self.rate = rate
        self.evidence = Evidence(options.forward.get("max_in_flight", MAX_IN_FLIGHT))
        self.model = Model(self.evidence)
        names = "ab" if secondary else "a"
        self.servers = [Server(directory, name, self.evidence, ack_delay) for name in names]
        ports = [server.port for server in self.servers]
        logs = [directory / "logs", *(directory / f"r{number}" for number in range(targets))]
        for place in logs:
            place.mkdir()
        path = logs[0] / "app.log"
        self.writer = LogWriter(path, self.model, self.rng, tuple(logs[1:]))
        self.agent = Agent(
            directory, path, replace(options, primary=ports[:1], secondary=ports[1:]), self.evidence
        )
        self.is_link = bool(targets)
        self._written_at = time.monotonic()
        self._due = 0.0
        self._swept_at = 0.0
        self.servers[0].up()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self.writer.close()
        self.agent.close()
        for server in self.servers:
            server.close()

    # -- time -------------------------------------------------------------------------------------------

    def run_for(self, seconds: float) -> None:
        """Let time pass; the writer writes."""
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            self._tick(now, is_writing=True)
            time.sleep(min(STEP, max(0.0, end - time.monotonic())))

    def wait(
        self, condition: Callable[[], bool], what: str, *, timeout: float = 20.0, writing: bool = False
    ) -> None:
        """Let time pass until *condition*; the writer writes only if *writing*."""
        deadline = time.monotonic() + timeout
        while not condition():
            now = time.monotonic()
            if now > deadline:
                raise AssertionError(f"within {timeout:g} s it never happened that {what}")
            self._tick(now, is_writing=writing)
            time.sleep(STEP)

    def _tick(self, now: float, *, is_writing: bool) -> None:
        passed, self._written_at = min(now - self._written_at, 0.2), now
        if is_writing:
            self._due += passed * self.rate
            count, self._due = int(self._due), self._due % 1
            self.writer.write(count)
            if count and self.rng.random() < 0.3:
                self.writer.write_half()
        self.writer.tick(now)
        self.collect()
        if now - self._swept_at > 0.5:
            self._swept_at = now
            self.sweep(now)

    def collect(self) -> None:
        """Read the journals."""
        self.model.take([record for server in self.servers for record in server.read()])

    def sweep(self, now: float) -> None:
        """Note what is complete, remove old files, read the worker's log."""
        self.agent.check_alive()
        self.agent.read_log()
        open_files = self.agent.open_files()
        for generation in self.model.generations:
            if not generation.is_complete:
                generation.complete_since = None
            elif generation.complete_since is None:
                generation.complete_since = now
        rotated = [g for g in self.model.generations[:-1] if g.name]
        for generation in rotated[: max(0, len(rotated) - KEPT_FILES)]:
            since = generation.complete_since
            # What the worker may not have noted yet stays: it would rightly complain of its loss.
            if since is not None and now - since > 2.0 and self.agent.is_running:
                with contextlib.suppress(FileNotFoundError):
                    result = os.stat(generation.name)
                    if (result.st_dev, result.st_ino) not in open_files:
                        self.writer.remove(generation)

    # -- the worker -------------------------------------------------------------------------------------

    def start_agent(self) -> None:
        """Start the worker and wait until it has seen the log: what is rotated before its first sight is not its own."""
        self.agent.start()
        self.wait(self.holds_log, "the worker opened the log")

    def holds_log(self) -> bool:
        """Tell whether the worker has the file open that is written to."""
        return self.writer.generation.identity in self.agent.open_files()

    def has_seen_all(self) -> bool:
        """Tell whether the worker knows the file at the path: no generation would go unseen if it were rotated now."""
        return not self.writer.is_late and not self.agent.is_frozen and self.holds_log()

    def stop_agent(self, *, writing: bool = True) -> None:
        """TERM, and wait; writing goes on."""
        self.agent.ask_to_stop()
        self.wait(self.agent.has_stopped, "the worker left after TERM", writing=writing)
        self._excuse()

    def kill_agent(self) -> None:
        """SIGKILL."""
        self.agent.kill()
        self._excuse()

    def kill_server(self, server: Server) -> None:
        """SIGKILL; what it journaled counts."""
        journal = server.down()
        self.collect()
        self.model.sink_died(journal, time.monotonic())

    def _excuse(self) -> None:
        """The worker has ended: files without a name ended with it."""
        now = time.monotonic()
        for generation in self._unreachable():
            if generation.complete_since is None or now - generation.complete_since < 2.0:
                self.agent.may_miss_files = True
                self.model.excuse(generation)

    def _unreachable(self) -> Iterator[Generation]:
        """Generations whose file no later start can find."""
        for generation in self.model.generations[:-1]:
            is_left = self.is_link and os.path.dirname(generation.name) != os.path.dirname(
                os.path.realpath(self.writer.path)
            )
            if not generation.name or is_left:
                yield generation

    # -- the end ----------------------------------------------------------------------------------------

    def finish(self, *, most_silence: float = MOST_SILENCE) -> Report:
        """Mend everything, wait until all has arrived, restart the worker once more, and judge."""
        self.writer.write(0)
        if self.writer.is_late:
            self.writer.reopen()
        self.agent.thaw()
        for server in self.servers:
            server.up()
        self.agent.start()
        self._wait_for_all(most_silence)
        self.stop_agent(writing=False)
        self._look_again()
        return self.report()

    def _wait_for_all(self, most_silence: float) -> None:
        """Wait as long as lines come; the report says what is missing."""
        deadline, delivered = time.monotonic() + most_silence, self.model.delivered
        while not self.model.is_complete and time.monotonic() < deadline:
            self.run_idle(STEP)
            if self.model.delivered > delivered:
                deadline, delivered = time.monotonic() + most_silence, self.model.delivered

    def _look_again(self) -> None:
        """A worker that is started once more finds nothing to send."""
        started = self.agent.count("started, tag")
        self.agent.start()
        self.wait(lambda: self.agent.count("started, tag") > started, "the worker started again")
        self.run_idle(0.7)
        self.stop_agent(writing=False)
        self.collect()

    def run_idle(self, seconds: float) -> None:
        """Let time pass; nothing is written."""
        end = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() >= end, "time passed", timeout=seconds + 20.0)

    def report(self) -> Report:
        """Judge as of now."""
        model = self.model
        explained, count_unexplained, unexplained = model.doubled()
        return Report(
            model.due, model.delivered, model.lost(), model.count_lost(), model.count_excused(), explained,
            count_unexplained, unexplained, model.torn, model.wrong, self.agent.problems(), model.longest_silence,
        )  # fmt: skip
