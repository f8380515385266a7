"""A process under test, and the thread that is asked about each of its calls."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fluentlite.saying import silence
from fluentlite.signals import fork_child

from . import seccomp
from .calls import NUMBERS, SELECTIVE, can_fail, number_of
from .point import ALWAYS, Point


@dataclass(frozen=True, slots=True)
class Event:
    """
    A call that was about to be made.

    Attributes:
        time: Monotonic seconds; the call itself was made later than that.
        call: Its name.
        first: Its first argument, a descriptor most often.
        is_failed: It was not made, but failed.
    """

    time: float
    call: str
    first: int
    is_failed: bool = False


class Interceptor:
    """
    Lets calls happen, counts those of one process, and does to one of them what *point* says.

    Args:
        pid: Of the process under test; it offers the listener.
        point: None: only count.
        index: Which process counts, in the order in which they make their first calls; *pid* is 0. None: there is
            only one, with all its threads.

    Attributes:
        counts: Calls so far, by name.
        events: All of them, in order.
        fallible: Which of the selective ones can fail.
        has_acted: The point was reached.
    """

    def __init__(self, pid: int, desk: seccomp.Desk, point: Point | None, index: int | None) -> None:
        self._pid, self._desk, self._point, self._index = pid, desk, point, index
        self._seen, self._is_over = [pid], False
        self.counts: Counter[str] = Counter()
        self.events: list[Event] = []
        self.fallible: dict[str, list[int]] = {call: [] for call in SELECTIVE}
        self.has_acted = False
        self._listener = desk.take()
        threading.Thread(target=self._run, daemon=True).start()

    def stop_counting(self) -> None:
        """From now on all calls just happen."""
        self._is_over = True

    def _run(self) -> None:
        poller = select.poll()
        poller.register(self._listener, select.POLLIN)
        while True:
            if any(events & select.POLLHUP for _fd, events in poller.poll()):
                break  # no process has the filter any more
            notice = seccomp.receive(self._listener)
            if notice is not None:
                self._decide(notice)
        os.close(self._listener)

    def _decide(self, notice: seccomp.Notice) -> None:
        if not self._desk.has_begun or self._is_over or not self._is_counted(notice.thread):
            seccomp.answer(self._listener, notice)
            return
        call = NUMBERS[notice.number]
        self.counts[call] += 1
        is_hit = self._point is not None and self._point.hits(call, self.counts[call])
        if call in SELECTIVE:
            if can_fail(call, notice.arguments, self._is_file):
                self.fallible[call].append(self.counts[call])
            elif self._point is not None and self._point.action not in ALWAYS:
                is_hit = False
        self.events.append(Event(time.monotonic(), call, notice.arguments[0], is_hit))
        if not is_hit or self._point is None:
            seccomp.answer(self._listener, notice)
            return
        self.has_acted = True
        if self._point.is_kill:
            os.kill(self._pid, signal.SIGKILL)
        else:
            seccomp.answer(self._listener, notice, number_of(self._point.action))

    def _is_counted(self, thread: int) -> bool:
        if self._index is None:
            return True
        if thread not in self._seen:
            self._seen.append(thread)
            if len(self._seen) == self._index + 1:
                self._pid = thread
        return self._seen.index(thread) == self._index

    def _is_file(self, descriptor: int) -> bool:
        try:
            return os.readlink(f"/proc/{self._pid}/fd/{descriptor}").startswith("/")
        except OSError:  # killed meanwhile, or no descriptor of anything
            return False


class Subject:
    """
    One life of a process under test.

    Args:
        run: What it does; returns its exit status.
        stderr: A file to append to.
        keep: Descriptors that stay open in it.
        is_watched: Whether its calls are counted at all.

    Attributes:
        interceptor: None if it is not watched.
        status: How it ended: an exit status, or a signal's number, negative. None while it lives.
    """

    def __init__(
        self,
        run: Callable[[], int],
        stderr: str,
        keep: tuple[int, ...] = (),
        *,
        is_watched: bool = False,
        point: Point | None = None,
        index: int | None = None,
    ) -> None:
        self.status: int | None = None
        self.interceptor: Interceptor | None = None
        desk = seccomp.Desk() if is_watched else None
        far_end = () if desk is None else (desk.far_end,)
        self.pid = fork_child(lambda: _live(run, stderr, desk), (*keep, *far_end))
        if desk is not None:
            self.interceptor = Interceptor(self.pid, desk, point, index)

    @property
    def was_hit(self) -> bool:
        """Whether its point was reached."""
        return self.interceptor is not None and self.interceptor.has_acted

    def has_ended(self) -> bool:
        """Tell whether it is gone."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = os.waitstatus_to_exitcode(status) if pid else None
        return self.status is not None

    def send(self, signum: signal.Signals) -> None:
        """Send it a signal, unless it is known to be gone."""
        if self.status is None:
            os.kill(self.pid, signum)


def _live(run: Callable[[], int], stderr: str, desk: seccomp.Desk | None) -> int:
    seccomp.die_with_parent()
    descriptor = os.open(stderr, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    silence(1)
    if desk is not None:
        _restart_calls()
        seccomp.give_away(desk, NUMBERS)
        desk.begin()
    return run()


def _restart_calls() -> None:
    """
    Have no call end because a signal came while it waited for its watcher: also those would that never wait by themselves.

    What EINTR does is found out by the points that have it.
    """
    set_handler = signal.signal

    def set_restarting_handler(signum: int, handler: Any) -> Any:
        before = set_handler(signum, handler)
        signal.siginterrupt(signum, False)
        return before

    signal.signal = set_restarting_handler
