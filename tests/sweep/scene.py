"""What the scenes of worker and master share: a directory, a server, one life after another, waiting, the verdict."""

from __future__ import annotations

import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from faults.model import Model

from .interceptor import Subject
from .point import Point
from .results import Result

PATIENCE = 10.0
"""Seconds after which something that does not happen never will."""

MOST_OUTAGE = 0.7
"""Seconds after which whoever waits for a disk is started again: what fails does so until then."""

MOST_SAID = 3000
"""Bytes of what was said that are repeated with a problem."""

STEP = 0.002
"""Seconds between two looks."""

MOST_SUCCESSORS = 3
"""Lives that may end without being told to: only the first one is disturbed, but its orphans may be in the way."""

BUG = os.EX_SOFTWARE
"""Exit status of whoever ends because of an error in it."""


class StuckError(Exception):
    """Something did not happen."""


class Scene(ABC):
    """
    Args:
        directory: Empty; everything happens in it.
        point: What is done to the first life.

    Attributes:
        problems: What should not be.
        is_prelude: The first life has not begun yet.
    """

    models: list[Model]

    def __init__(self, directory: Path, point: Point | None) -> None:
        self.directory, self.point = directory, point
        self.logs, self.state_dir = directory / "logs", directory / "state"
        self.logs.mkdir()
        self.own_log, self.stderr = directory / "agent.log", directory / "stderr"
        self.subject: Subject | None = None
        self.watched: Subject | None = None
        self.problems: list[str] = []
        self.is_prelude = False
        self._end, self._is_stopping, self._successors = "", False, 0

    def run(self) -> Result:
        """Play it, and judge."""
        try:
            self.play()
            self.finish()
        except StuckError as exc:
            self.problems.append(f"hang: {exc}")
        finally:
            self.close()
        return self._result()

    @abstractmethod
    def play(self) -> None:
        """What happens, up to an orderly end."""

    @abstractmethod
    def finish(self) -> None:
        """One more life, that nobody disturbs, delivers the rest."""

    @abstractmethod
    def collect(self) -> None:
        """Take what has arrived."""

    @abstractmethod
    def ended(self, subject: Subject) -> None:
        """A life has ended; the next one has not begun."""

    @abstractmethod
    def succeed(self) -> None:
        """It was not told to end: have another one follow it."""

    def close(self) -> None:
        """Leave nothing behind."""
        if self.subject is not None and not self.subject.has_ended():
            self.subject.send(signal.SIGKILL)
            os.waitpid(self.subject.pid, 0)

    # -- lives ------------------------------------------------------------------------------------------

    def live(self, run: Callable[[], int], keep: tuple[int, ...] = (), *, index: int | None = None) -> None:
        """Begin a life; the first one is watched, and the point is done to it; *index* is Interceptor's."""
        is_first = self.watched is None and not self.is_prelude
        self.subject = Subject(
            run, str(self.stderr), keep, is_watched=is_first, point=self.point if is_first else None,
            index=index,
        )  # fmt: skip
        if is_first:
            self.watched = self.subject

    def stop(self) -> None:
        """TERM, and wait until it is gone, for whatever reason."""
        subject = self.subject
        assert subject is not None
        self._is_stopping = True
        if not subject.has_ended():
            subject.send(signal.SIGTERM)
        self.wait_for(subject.has_ended, "it left after TERM")
        self._is_stopping = False
        self._has_ended(subject, is_told=True)

    def look_after_it(self) -> None:
        """Who has ended without being told to has a successor."""
        subject = self.subject
        if subject is not None and not self._is_stopping and subject.has_ended():
            self._has_ended(subject, is_told=False)
            self._successors += 1
            if self._successors > MOST_SUCCESSORS:
                raise StuckError("one life lasted")
            self.succeed()

    def _has_ended(self, subject: Subject, *, is_told: bool) -> None:
        was_killed = self.was_killed(subject)
        if was_killed:
            is_fine = subject.status == -signal.SIGKILL
        elif subject.status == 0:
            is_fine = is_told
        else:  # only because of what was done to it
            is_fine = subject.was_hit and self.gave_up(subject)
        self.expect(is_fine, f"it ended with status {subject.status}")
        if subject is self.watched:
            self._end = "killed" if was_killed else f"ended with {subject.status}"
        self.ended(subject)
        self.subject = None

    def was_killed(self, subject: Subject) -> bool:
        """Tell whether its point was reached, and is a kill."""
        return subject.was_hit and self.point is not None and self.point.is_kill

    def gave_up(self, subject: Subject) -> bool:
        """Tell whether it ended by itself, with a word: neither by a signal nor because of an error in it."""
        return 0 < (subject.status or 0) != BUG and self._has_said_something()

    def _waits_for_a_restart(self) -> bool:
        """Tell whether it may wait: something fails for the rest of its life."""
        is_for_ever = self.point is not None and not self.point.count
        return is_for_ever and self.subject is self.watched and self._has_said_something()

    def _has_said_something(self) -> bool:
        return bool(self.said())

    # -- waiting ----------------------------------------------------------------------------------------

    def wait_until_delivered(self, what: str) -> None:
        self.wait_for(lambda: all(model.is_complete for model in self.models), f"{what} arrived")

    def wait_for(self, condition: Callable[[], bool], what: str, step: float = STEP) -> None:
        """Let time pass until *condition*, looking every *step* seconds; who ends meanwhile has a successor."""
        deadline = time.monotonic() + PATIENCE
        restart_at = time.monotonic() + MOST_OUTAGE
        self.collect()
        while not condition():
            if time.monotonic() > deadline:
                raise StuckError(f"it never happened that {what}")
            if time.monotonic() > restart_at and self._waits_for_a_restart():
                self.stop()
                self.succeed()
            time.sleep(step)
            self.look_after_it()
            self.collect()

    # -- the verdict ------------------------------------------------------------------------------------

    def expect(self, is_so: bool, problem: str) -> None:
        if not is_so:
            self.problems.append(problem)

    def said(self) -> list[str]:
        """Return all that it has said, wherever."""
        files = [*self.directory.glob(f"{self.own_log.name}*"), self.stderr]
        texts = [path.read_text(errors="replace") for path in files if path.exists()]
        return [text for text in texts if text]

    def _result(self) -> Result:
        doubled = [model.doubled() for model in self.models]
        for model, (_explained, _unexplained, examples) in zip(self.models, doubled, strict=True):
            self.problems += [f"lost: {text}" for text in model.lost()]
            self.problems += [f"doubled: {text}" for text in examples]
            self.problems += [f"wrong: {text}" for text in model.wrong]
        said = self.said()
        if any("Traceback" in text or "[CRITICAL]" in text for text in said):
            self.problems.append("a bug is told")
        if self.problems:
            self.problems += [text[-MOST_SAID:] for text in said]
        watched = self.watched
        interceptor = watched.interceptor if watched is not None else None
        return Result(
            point="" if self.point is None else str(self.point),
            was_reached=watched is not None and watched.was_hit,
            end=self._end,
            counts=dict(interceptor.counts) if interceptor else {},
            fallible=interceptor.fallible if interceptor else {},
            lost=sum(model.count_lost() for model in self.models),
            explained=sum(explained for explained, _, _ in doubled),
            unexplained=sum(unexplained for _, unexplained, _ in doubled),
            problems=self.problems,
        )
