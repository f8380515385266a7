"""Logs, servers and an agent between them; time passes here, in one thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Protocol, Self

from .journal import Record
from .log import Log
from .server import Server

STEP = 0.01
"""Seconds between two looks at everything."""

EVIDENCE_MARGIN = 60.0
"""Seconds for which more is remembered of what happened than of the lines: longer than anything is on its way."""

MOST_SILENCE = 10.0
"""Seconds without a new line after which nothing will come any more; longer than all waits of *QUICK* together."""


@dataclass(frozen=True, slots=True)
class Report:
    """The verdict on all logs together."""

    written: int
    delivered: int
    count_lost: int
    excused: int
    explained: int
    count_unexplained: int
    torn: int
    longest_silence: float
    """Seconds without a line of one log while lines waited, its agent ran and a server could be reached."""
    problems: list[str]
    """Everything that is a fault."""

    def __str__(self) -> str:
        return (
            f"{self.written} lines written, {self.delivered} delivered, {self.count_lost} lost, "
            f"{self.excused} beyond reach, {self.explained} doubled with an explanation, {self.count_unexplained} without, {self.torn} torn, "
            f"longest silence {self.longest_silence:.1f} s"
        )


class Runnable(Protocol):
    """What follows the logs: one worker, or the daemon."""

    def start(self) -> None: ...

    def ask_to_stop(self) -> None: ...

    def has_stopped(self) -> bool: ...

    def kill(self) -> None: ...

    def thaw(self) -> None: ...

    def check_alive(self) -> None: ...

    def read_log(self) -> None: ...

    def count(self, text: str) -> int: ...

    def problems(self) -> list[str]: ...

    def close(self) -> None: ...


class Scene:
    """
    Args:
        agent: Not running yet.
        servers: The first one is brought up.
        rate: Lines per second that are written to each log while time passes.

    Attributes:
        step: Seconds between two looks at everything, and so between two writes.
        patience: Factor of the seconds that things may take: here others may keep the machine busy for a long time.
    """

    def __init__(self, agent: Any, logs: list[Log], servers: list[Server], rate: float) -> None:
        self.agent, self.logs, self.servers, self.rate = agent, logs, servers, rate
        self.step, self.patience = STEP, 1.0
        self._swept_at = 0.0
        self._log_of: dict[tuple[str, int], Log] = {}
        self._opened: dict[tuple[str, int], Record] = {}
        self.servers[0].up()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        for log in self.logs:
            log.writer.close()
        self.agent.close()
        for server in self.servers:
            server.close()

    # -- time -------------------------------------------------------------------------------------------

    def run_for(self, seconds: float) -> None:
        """Let time pass; the writers write."""
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            self._tick(now, self.rate)
            time.sleep(max(0.0, min(now + self.step, end) - time.monotonic()))

    def wait(
        self, condition: Callable[[], bool], what: str, *, timeout: float = 20.0, writing: bool = False
    ) -> None:
        """Let time pass until *condition*; the writers write only if *writing*."""
        timeout *= self.patience
        deadline = time.monotonic() + timeout
        while not condition():
            now = time.monotonic()
            if now > deadline:
                said = [
                    *(text for log in self.logs for text in log.witness.problems()),
                    *self.agent.problems(),
                ]
                raise AssertionError(f"within {timeout:g} s it never happened that {what}; {said[:5]}")
            self._tick(now, self.rate if writing else 0.0)
            time.sleep(self.step)

    def run_idle(self, seconds: float) -> None:
        """Let time pass; nothing is written."""
        end = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() >= end, "time passed", timeout=seconds + 20.0)

    def _tick(self, now: float, rate: float) -> None:
        for log in self.logs:
            log.tick(now, rate)
            if not self.is_served(log):
                log.model.hush(now)
        self.collect()
        if now - self._swept_at > 0.5:
            self._swept_at = now
            self.sweep(now)

    def is_served(self, log: Log) -> bool:
        """Tell whether lines of *log* should arrive now: who follows it runs, and a server can be reached."""
        return not self.agent.is_frozen and self.agent.is_running and any(s.is_up for s in self.servers)

    def sweep(self, now: float) -> None:
        """Read the agent's log, note what is complete, and remove old files."""
        self.agent.check_alive()
        self.agent.read_log()
        for log in self.logs:
            log.sweep(now)

    # -- what arrives -----------------------------------------------------------------------------------

    def collect(self) -> None:
        """Read the journals."""
        records = [record for server in self.servers for record in server.read()]
        for record in sorted(records, key=attrgetter("time")):
            self._hand_on(record)

    def log_with(self, tag: str) -> Log:
        """Return the log whose lines come with *tag*."""
        return self.logs[0]

    def _hand_on(self, record: Record) -> None:
        """A connection is of the log whose chunks come on it; until the first it is nobody's."""
        if record.kind == "O":
            self._opened[record.connection] = record
            return
        if record.kind == "C":
            log = self.log_with(record.shape[0])
            if (opened := self._opened.pop(record.connection, None)) is not None:
                self._log_of[record.connection] = log
                log.model.take([opened])
            elif self._log_of[record.connection] is not log:
                log.witness.expect(False, f"{record.connection} brings lines of several logs")
                return
            log.shape, log.last_server = record.shape, record.server
        if (known := self._log_of.get(record.connection)) is not None:
            known.model.take([record])
        if record.kind == "E":
            self._opened.pop(record.connection, None)
            self._log_of.pop(record.connection, None)

    def kill_server(self, server: Server) -> None:
        """SIGKILL; what it journaled counts."""
        journal = server.down()
        self.collect()
        for log in self.logs:
            log.model.sink_died(journal, time.monotonic())
        for keys in (self._opened, self._log_of):
            for key in [key for key in keys if key[0] == journal]:
                del keys[key]

    # -- the agent --------------------------------------------------------------------------------------

    def start_agent(self) -> None:
        """Start it and wait until it has seen the logs: what is rotated before its first sight is not its own."""
        self.agent.start()
        self.wait(lambda: all(log.holds_log() for log in self.logs), "the logs were opened")

    def stop_agent(self, *, writing: bool = True) -> None:
        """TERM, and wait; writing goes on."""
        self.agent.ask_to_stop()
        self.wait(self.agent.has_stopped, "the agent left after TERM", writing=writing)
        self._excuse()

    def kill_agent(self) -> None:
        """SIGKILL."""
        self.agent.kill()
        self._excuse()

    def _excuse(self) -> None:
        for log in self.logs:
            log.excuse()

    # -- the end ----------------------------------------------------------------------------------------

    def states(self) -> dict[str, bool]:
        """Return what can be down, and whether it is well."""
        agent = {"agent": self.agent.is_running and not self.agent.is_frozen}
        return agent | {server.name: server.is_up for server in self.servers}

    def mend(self, *, writing: bool = False) -> None:
        """Have everything run; the writers write meanwhile only if *writing*."""
        self.agent.thaw()
        for server in self.servers:
            server.up()
        self.agent.start()

    def forget(self, before: float) -> None:
        """
        Judge and forget what was complete *before* then (monotonic), and what happened before all that is left began.

        What came twice is judged as long as its generation is remembered, so what explains it must be, too.
        """
        for log in self.logs:
            log.model.forget(before)
            log.evidence.forget(log.model.generations[0].began_at - EVIDENCE_MARGIN)

    def finish(self, *, most_silence: float = MOST_SILENCE) -> Report:
        """Mend everything, wait until all has arrived, restart the agent once more, and judge."""
        for log in self.logs:
            log.settle()
        self.mend()
        self._wait_for_all(most_silence)
        self.stop_agent(writing=False)
        self._look_again()
        return self.report()

    @property
    def delivered(self) -> int:
        """Whole lines that have arrived, each counted once."""
        return sum(log.model.delivered for log in self.logs)

    def _wait_for_all(self, most_silence: float) -> None:
        """Wait as long as lines come; the report says what is missing."""
        deadline, delivered = time.monotonic() + most_silence, self.delivered
        while not all(log.model.is_complete for log in self.logs) and time.monotonic() < deadline:
            self.run_idle(STEP)
            if self.delivered > delivered:
                deadline, delivered = time.monotonic() + most_silence, self.delivered

    def _look_again(self) -> None:
        """An agent that is started once more finds nothing to send."""
        expected = self.agent.count("started, tag") + len(self.logs)
        self.agent.start()
        self.wait(lambda: self.agent.count("started, tag") >= expected, "all started again")
        self.run_idle(0.7)
        self.stop_agent(writing=False)
        self.collect()

    def report(self) -> Report:
        """Judge as of now."""
        for log in self.logs:
            log.model.note_silence(time.monotonic())
        models = [log.model for log in self.logs]
        doubled = [model.doubled() for model in models]
        problems = [f"{log.path.name}: {problem}" for log in self.logs for problem in log.problems()]
        return Report(
            written=sum(model.due for model in models),
            delivered=self.delivered,
            count_lost=sum(model.count_lost() for model in models),
            excused=sum(model.count_excused() for model in models),
            explained=sum(explained for explained, _, _ in doubled),
            count_unexplained=sum(unexplained for _, unexplained, _ in doubled),
            torn=sum(model.torn for model in models),
            longest_silence=max(model.longest_silence for model in models),
            problems=problems + [f"surprise: {text}" for text in self.agent.problems()],
        )
