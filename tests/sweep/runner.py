"""Running points: each in a process of its own with a session of its own, forked from this warm one, several at a time."""

from __future__ import annotations

import codecs
import importlib
import json
import os
import pkgutil
import selectors
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import fluentlite
from fluentlite.worker.warm import warm_up

from . import clock, seccomp
from .master_scene import MasterScene
from .point import Point
from .processes import end_descendants
from .results import Result
from .scene import Scene
from .start_scene import DaemonScene, StarterScene
from .worker_scene import AdoptScene, WorkerScene

SCENARIOS: dict[str, Callable[[Path, Point | None], Scene]] = {
    "worker": WorkerScene,
    "adopt": AdoptScene,
    "master": MasterScene,
    "starter": StarterScene,
    "daemon": DaemonScene,
}

MOST_SECONDS = 120.0
"""For one point; no scenario waits as long, whatever goes wrong in it."""

MEMORY = "/dev/shm"


@dataclass(frozen=True, slots=True)
class Task:
    """A scenario, and what is done in it; None: it is only counted."""

    scenario: str
    point: Point | None


@dataclass(slots=True)
class _Run:
    task: Task
    pid: int
    started_at: float
    data: bytes = b""


def prepare(change: Callable[[], None] = lambda: None) -> None:
    """
    Make this process warm, as a master is before it forks.

    Args:
        change: Changes fluentlite in memory; tests of the sweep itself do so.
    """
    for module in pkgutil.walk_packages(fluentlite.__path__, "fluentlite."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for encoding in ("utf-8-sig", "idna"):
        codecs.lookup(encoding)
    clock.hurry()
    warm_up()
    change()


def run_all(tasks: Iterable[Task], jobs: int) -> Iterator[tuple[Task, Result]]:
    """Run *tasks*, so many at a time, and give what came of them, in the order in which they end."""
    waiting, running = iter(tasks), selectors.DefaultSelector()
    with running:
        while True:
            while len(running.get_map()) < jobs and (task := next(waiting, None)) is not None:
                reader, pid = _begin(task)
                running.register(reader, selectors.EVENT_READ, _Run(task, pid, time.monotonic()))
            if not running.get_map():
                return
            yield from _ended(running)


def _ended(running: selectors.BaseSelector) -> Iterator[tuple[Task, Result]]:
    ready = {key.fd for key, _ in running.select(1.0)}
    for key in list(running.get_map().values()):
        run: _Run = key.data
        if key.fd in ready and (data := os.read(key.fd, 1 << 20)):
            run.data += data
        elif key.fd in ready or time.monotonic() - run.started_at > MOST_SECONDS:
            running.unregister(key.fd)
            os.close(key.fd)
            yield run.task, _result_of(run)


def _result_of(run: _Run) -> Result:
    end_descendants(run.pid)  # it has ended, or never will
    os.kill(run.pid, signal.SIGKILL)
    os.waitpid(run.pid, 0)
    if not run.data:
        return Result(str(run.task.point or ""), problems=["the scenario itself failed; see above"])
    result = Result(**json.loads(run.data))
    result.seconds = time.monotonic() - run.started_at
    return result


def _begin(task: Task) -> tuple[int, int]:
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        status = 1
        try:
            os.setsid()
            os.close(reader)
            _run_one(task, writer)
            status = 0
        except BaseException:  # noqa: BLE001 - nothing may unwind into the harness
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writer)
    return reader, pid


def _run_one(task: Task, writer: int) -> None:
    seccomp.die_with_parent()
    seccomp.adopt_orphans()
    place = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="fluentlite-sweep-", dir=place) as directory:
        try:
            result = SCENARIOS[task.scenario](Path(directory), task.point).run()
        finally:
            end_descendants(os.getpid())
    with open(writer, "wb") as stream:
        stream.write(json.dumps(result.as_dict()).encode())
