"""
The scenario of the worker: a busy log with rotations of each kind, everything within half a second.

Whoever is killed, or ends with a message, is followed by another worker at once, as its master would have it.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

from faults.model import Model
from faults.writer import LogWriter

from fluentlite.config.model import ForwardSettings, LogSettings, Server, TailSettings
from fluentlite.core.position import checkpoint_name, newest, split_slots
from fluentlite.daemon import _Work
from fluentlite.logfile import log_descriptors, start_log
from fluentlite.master.plan import Spec
from fluentlite.scoreboard import Scoreboard, Slot

from .clock import FORWARD, STOP_TIMEOUT, TAIL
from .evidence import CallEvidence
from .interceptor import Subject
from .point import Point
from .scene import Scene
from .server import WarmServer


class WorkerScene(Scene):
    """One worker and its log."""

    def __init__(self, directory: Path, point: Point | None) -> None:
        super().__init__(directory, point)
        self._evidence = CallEvidence()
        self._model = Model(self._evidence)
        self.models = [self._model]
        self._server = WarmServer(directory, self._model.take)
        self.path = self.logs / "app.log"
        self.writer = LogWriter(self.path, self._model, random.Random(0))
        self._lifelines: list[int] = []
        self.may_be_left: set[str] = set()
        self._slots: list[Slot] = []

    # -- the scenario -----------------------------------------------------------------------------------

    def play(self) -> None:
        writer = self.writer
        writer.write(30)
        self.start()
        self.wait_until_delivered("what was there")
        writer.write_half()
        self.wait_for(lambda: self._model.delivered >= self._model.due, "its lines came")
        writer.rename("shift")  # tears the half line: its rest begins the next file
        writer.write(5)
        self.wait_until_delivered("what came before and after a rotation")
        for _ in range(3):
            writer.write(150)
        writer.copytruncate("shift")
        writer.write(20)
        self.wait_until_delivered("what was copied and what came then")
        writer.write(100)
        writer.rename("shift")
        writer.write(40)
        self.stop()

    def finish(self) -> None:
        self.start()
        self.wait_until_delivered("all")
        self.stop()
        left = {path.name for path in self.state_dir.iterdir()} - self.may_be_left
        self.expect(left == {checkpoint_name(str(self.path))}, f"left in state_dir: {sorted(left)}")

    # -- lives ------------------------------------------------------------------------------------------

    def start(self) -> None:
        reader, writer = os.pipe()
        self._lifelines.append(writer)
        spec, slot = self._spec(), Scoreboard(1).take()
        self._slots.append(slot)
        start_log(spec.log_file, spec.log_level)  # a worker gets it open from its master
        self.live(lambda: _Work(0)(spec, slot, reader), (reader, *log_descriptors()))
        os.close(reader)

    def _spec(self) -> Spec:
        settings = LogSettings(
            tag="sweep",
            path=str(self.path),
            forward=ForwardSettings(primary=(Server("127.0.0.1", self._server.port),), **FORWARD),
            tail=TailSettings(**TAIL),
        )
        configured = frozenset({checkpoint_name(str(self.path))})
        return Spec(
            settings, str(self.state_dir), STOP_TIMEOUT, None, 0, str(self.own_log), "warning", configured
        )

    def ended(self, subject: Subject) -> None:
        events = None if subject.interceptor is None else subject.interceptor.events
        self._evidence.has_ended(self._server.next_life(), events, subject.status)
        is_lasting = self.point is not None and self.point.is_lasting
        if events is not None and is_lasting and not self._is_recorded():
            # The one loss that is documented: of a new log, when its worker ends before there is room for its position.
            for generation in self._model.generations[:-1]:
                self._model.excuse(generation)

    def _is_recorded(self) -> bool:
        """Tell whether the first sight of the log is in its checkpoint."""
        try:
            data = (self.state_dir / checkpoint_name(str(self.path))).read_bytes()
        except FileNotFoundError:
            return False
        return newest(split_slots(data))[1].is_started

    def succeed(self) -> None:
        if self._is_recorded() and not self.writer.has_half:
            # Its first sight is recorded: what happens while nobody follows it must not be lost.
            self.writer.write(10)
            self.writer.rename("shift")
            self.writer.write(10)
        self.start()

    def said(self) -> list[str]:
        """With what a master would say for its workers."""
        return super().said() + [error for slot in self._slots if (error := slot.read().last_error)]

    # -- the rest ---------------------------------------------------------------------------------------

    def collect(self) -> None:
        self._server.collect()

    def close(self) -> None:
        super().close()
        for fd in self._lifelines:
            os.close(fd)
        self._server.close()
        self.writer.close()


class AdoptScene(WorkerScene):
    """Its path has changed while nobody followed it: a worker that finds its position goes on there, and nowhere else."""

    def play(self) -> None:
        file, link = self.path, self.logs / "link"
        link.symlink_to(file.name)
        self.path, self.is_prelude = link, True
        self.writer.write(30)
        self.start()
        self.wait_until_delivered("what was there")
        self.stop()
        self.writer.write(10)
        self.writer.rename("shift")
        self.writer.write(10)
        self.path, self.is_prelude = file, False
        self.start()
        self.wait_until_delivered("what came while nobody followed it")
        self.writer.write(10)
        self.stop()
        # Who is killed before the old one is gone leaves it: nobody looks for it again.
        self.may_be_left = {checkpoint_name(str(link))}
