"""
The scenario of the master: a start, questions, a reload, a worker that dies, its own log rotated, a stop.

A master that is killed, or ends with a message, is followed by another one at once, while the workers of the first are
still finishing. Nobody kills a worker that has anything to do: so no line may arrive twice, whatever is done to the master.
"""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path
from typing import Any

from faults.configuration import Configuration
from faults.journal import Record
from faults.log import SPAN
from faults.model import Model
from faults.receptions import Evidence, Reception
from faults.writer import LogWriter

from fluentlite.cli import main
from fluentlite.control_client import ask
from fluentlite.core.position import checkpoint_name
from fluentlite.errors import FluentliteError

from .clock import FORWARD, STOP_TIMEOUT, TAIL
from .evidence import MAX_IN_FLIGHT
from .interceptor import Subject
from .point import Point
from .processes import descendants
from .scene import Scene
from .server import BARRIER, WarmServer

ASK_INTERVAL = 0.03
"""Seconds between two questions."""

ANSWERED_WITHIN = 2.0
"""Seconds that a question waits; then it is asked again."""


class AckEvidence(Evidence):
    """Workers are never disturbed: an ack that was sent has been recorded."""

    def __init__(self) -> None:
        super().__init__(MAX_IN_FLIGHT)

    def is_settled(self, reception: Reception) -> bool:
        return reception.acked_at is not None

    def explains(self, receptions: tuple[Reception, ...]) -> bool:
        return sum(map(self.is_settled, receptions)) <= 1


class MasterScene(Scene):
    """A master in the foreground, with two logs."""

    def __init__(self, directory: Path, point: Point | None) -> None:
        super().__init__(directory, point)
        self._run_dir = directory / "run"
        self.models = [Model(AckEvidence(), index * SPAN) for index in range(2)]
        self.server = WarmServer(directory, self._take)
        self._opened: dict[tuple[str, int], Record] = {}
        self._model_of: dict[tuple[str, int], Model] = {}
        paths = [self.logs / "0.log", self.logs / "1.log"]
        self._writers = [
            LogWriter(path, model, random.Random(0)) for path, model in zip(paths, self.models, strict=True)
        ]
        self.config = Configuration(
            directory / "fluentlite.toml",
            master={
                "state_dir": str(self.state_dir),
                "run_dir": str(self._run_dir),
                "log_file": str(self.own_log),
                "log_level": "warning",
                "stop_timeout": STOP_TIMEOUT,
            },
            forward=FORWARD | {"primary": [f"127.0.0.1:{self.server.port}"]},
            tail=dict(TAIL),
            logs={path: {"tag": str(index)} for index, path in enumerate(paths)},
        )
        self.config.write()

    # -- the scenario -----------------------------------------------------------------------------------

    def play(self) -> None:
        first, second = self._writers
        self._write(20)
        self._start()
        self.wait_until_idle("what was there")
        self.config.logs[second.path]["tag"] = "1.changed"
        self.config.write()
        self.wait_for(self._reload, "it was told to reload", ASK_INTERVAL)
        self._write(20)
        self.wait_until_idle("what came after the reload")
        self._end_a_worker()
        self.own_log.rename(self.own_log.with_suffix(".log.1"))
        self._send(signal.SIGUSR1)
        self.wait_for(self.own_log.exists, "its own log was made anew")
        first.rename("shift")
        self._write(20)
        self.wait_until_idle("what came after a rotation")
        self.stop()

    def finish(self) -> None:
        self._start()
        self.wait_until_idle("all")
        self.stop()
        self.look_for_leftovers()

    def look_for_leftovers(self) -> None:
        """Of whoever was killed, nothing may be left for good."""
        names = {checkpoint_name(str(writer.path)) for writer in self._writers}
        left = {path.name for path in self.state_dir.iterdir()} - names
        self.expect(not left, f"left in state_dir: {sorted(left)}")
        left = {path.name for path in self._run_dir.iterdir()}
        self.expect(not left, f"left in run_dir: {sorted(left)}")
        self.wait_for(lambda: not self._processes(), "all its processes ended")

    def _write(self, count: int) -> None:
        for writer in self._writers:
            writer.write(count)

    def _end_a_worker(self) -> None:
        """SIGKILL, as from a kernel that has no memory left; another one follows."""
        ended: set[int] = set()

        def end() -> bool:
            pid = self._workers()[0]["pid"]
            if pid and not ended:
                ended.add(pid)
                os.kill(pid, signal.SIGKILL)
            return bool(ended)

        self.wait_for(end, "there was a worker", ASK_INTERVAL)
        self.wait_for(
            lambda: self._workers()[0]["pid"] not in (*ended, None, 0), "it was followed", ASK_INTERVAL
        )

    def wait_until_idle(self, what: str) -> None:
        self.wait_until_delivered(what)
        self.wait_for(self._is_idle, f"{what} was recorded", ASK_INTERVAL)

    def _is_idle(self) -> bool:
        """Tell whether all is recorded; a lag of 0 alone may have been told before there was anything to read."""
        workers = self._workers()
        sizes = [writer.path.stat().st_size for writer in self._writers]
        return all(map(_is_idle, workers)) and [worker["position"] for worker in workers] == sizes

    # -- lives ------------------------------------------------------------------------------------------

    def _start(self) -> None:
        self.live(lambda: main(["start", "--foreground", "-c", str(self.config.path)]), index=0)

    def succeed(self) -> None:
        self._start()

    def ended(self, subject: Subject) -> None:
        """Its workers may be finishing yet: nothing to wait for."""

    def _send(self, signum: signal.Signals) -> None:
        if self.subject is not None and not self.subject.has_ended():
            self.subject.send(signum)

    def ask(self, command: str) -> dict[str, Any]:
        """Ask who is there; an empty answer if there is nobody, or none that answers now."""
        try:
            return ask(str(self._run_dir), command, ANSWERED_WITHIN)
        except FluentliteError:
            return {}

    def _reload(self) -> bool:
        return bool(self.ask("reload").get("ok"))

    def _workers(self) -> list[dict[str, Any]]:
        """Return what is told of the two workers, both idle or not; something that is not idle if nobody tells."""
        workers: list[dict[str, Any]] = self.ask("status").get("workers", [])
        return sorted(workers, key=lambda worker: worker["path"]) or [{"pid": None}]

    def _processes(self) -> list[int]:
        return [pid for pid in descendants(os.getpid()) if pid != self.server.pid]

    # -- what arrives -----------------------------------------------------------------------------------

    def collect(self) -> None:
        self.server.collect()

    def _take(self, records: list[Record]) -> None:
        """A connection is of the log whose chunks come on it."""
        for record in records:
            if record.kind == "O":
                self._opened[record.connection] = record
            elif record.kind == "C" and record.shape[0] != BARRIER:
                model = self.models[int(record.shape[0].partition(".")[0])]
                if record.connection in self._opened:
                    self._model_of[record.connection] = model
                    model.take([self._opened.pop(record.connection)])
                model.take([record])
            elif record.connection in self._model_of:
                self._model_of[record.connection].take([record])

    def close(self) -> None:
        super().close()
        self.server.close()
        for writer in self._writers:
            writer.close()


def _is_idle(worker: dict[str, Any]) -> bool:
    is_idle = worker.get("state") == "following" and not worker["unacked_chunks"] and not worker["lag_bytes"]
    return bool(is_idle and worker["pid"])
