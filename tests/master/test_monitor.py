"""What is seen of real processes: at work, asleep, stopped, dead, and of a pid that has been used again."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

import psutil
import pytest
from clients import eventually
from following import Descriptors

from fluentlite.master.monitor import SHORTEST_SPAN, UNKNOWN, Monitor


class Children:
    """Forked children that are killed and reaped in the end."""

    def __init__(self):
        self.pids = set()

    def fork(self, work=signal.pause):
        pid = os.fork()
        if pid == 0:
            try:
                work()
            finally:
                os._exit(0)
        self.pids.add(pid)
        return pid

    def reap(self, pid):
        os.waitpid(pid, 0)
        self.pids.discard(pid)

    def kill(self, pid):
        os.kill(pid, signal.SIGKILL)
        self.reap(pid)

    def close(self):
        for pid in self.pids:
            os.kill(pid, signal.SIGKILL)
        for pid in list(self.pids):
            self.reap(pid)


@pytest.fixture
def children():
    forked = Children()
    yield forked
    forked.close()


def sampled(pid, monitor=None, now=0.0):
    monitor = Monitor() if monitor is None else monitor
    monitor.sample(now, [pid])
    return monitor.usage(pid)


def spin():
    while True:
        pass


def test_a_sleeping_process(children):
    """A process that waits is in state S, uses memory and no CPU."""
    pid = children.fork()
    eventually(lambda: sampled(pid).state == "S")
    monitor = Monitor()
    sampled(pid, monitor, 0.0)
    usage = sampled(pid, monitor, 10.0)

    assert usage.cpu_percent == 0.0
    resident_pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    assert usage.rss_bytes == resident_pages * os.sysconf("SC_PAGE_SIZE") > 1 << 20


def test_a_busy_process(children):
    """CPU is counted in percent of one core between two samples, and in seconds in all."""
    pid, monitor = children.fork(spin), Monitor()
    first = sampled(pid, monitor, 100.0)
    eventually(lambda: psutil.Process(pid).cpu_times().user >= first.cpu_seconds + 0.2, 60.0)
    usage = sampled(pid, monitor, 102.0)

    assert first.cpu_percent == 0.0
    assert usage.state == "R"
    assert usage.cpu_seconds >= first.cpu_seconds + 0.2
    assert usage.cpu_percent == pytest.approx(50.0 * (usage.cpu_seconds - first.cpu_seconds), abs=0.1)


def test_samples_too_close_keep_the_percentage(children):
    """Two samples within a tenth of a second do not turn one tick of the kernel's clock into 100 %."""
    pid, monitor = children.fork(spin), Monitor()
    sampled(pid, monitor, 0.0)
    eventually(lambda: sampled(pid).cpu_seconds >= 0.1, 60.0)
    busy = sampled(pid, monitor, 1.0).cpu_percent
    eventually(lambda: sampled(pid).cpu_seconds >= 0.3, 60.0)

    assert busy > 0.0
    assert sampled(pid, monitor, 1.0 + SHORTEST_SPAN / 2).cpu_percent == busy
    assert sampled(pid, monitor, 1.5).cpu_percent > 0.0


@pytest.mark.parametrize(("signum", "state"), [(signal.SIGSTOP, "T"), (signal.SIGKILL, "Z")])
def test_the_stopped_and_the_dead_are_told_apart(children, signum, state):
    """A stopped process is T, one that died and waits to be reaped is Z and uses no memory (P14)."""
    pid = children.fork()
    os.kill(pid, signum)
    eventually(lambda: sampled(pid).state == state)

    assert (sampled(pid).rss_bytes == 0) == (state == "Z")


def test_a_worker_that_dies_between_two_samples(children):
    """Nothing is known of a process that has vanished, and nothing is raised."""
    pid, other = children.fork(), children.fork()
    monitor = Monitor()
    monitor.sample(0.0, [pid, other])
    children.kill(pid)
    monitor.sample(1.0, [pid, other])

    assert monitor.usage(pid) == UNKNOWN
    assert monitor.usage(other).rss_bytes > 0


def test_no_descriptor_is_left_to_look_with(children):
    """Of processes that cannot be looked at for want of a descriptor nothing is known until there is one again."""
    pid, monitor = children.fork(), Monitor()
    monitor.sample(0.0, [pid])
    with contextlib.closing(Descriptors(0)) as no_more, no_more:
        monitor.sample(1.0, [pid])
        assert monitor.usage(pid) == UNKNOWN
    monitor.sample(2.0, [pid])

    assert monitor.usage(pid).rss_bytes > 0


def test_who_is_not_sampled_is_forgotten(children):
    """Only what was asked for at the last sample is known."""
    pid, other = children.fork(), children.fork()
    monitor = Monitor()
    monitor.sample(0.0, [pid])
    monitor.sample(1.0, [other])

    assert monitor.usage(pid) == UNKNOWN
    assert monitor.usage(other) != UNKNOWN
    monitor.sample(2.0, [])
    assert monitor.usage(other) == UNKNOWN


def _successor(children, pid, monitor, work):
    """
    Return a child with the pid of one that is dead.

    Where we may not set the kernel's counter of pids, or a stranger was faster, any child will do, to which the
    monitor's memory of the dead one is given: it is in the same place then.
    """
    with contextlib.suppress(OSError):
        for _ in range(100):  # others on this machine fork as well
            Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
            child = children.fork(work)
            if child == pid:
                return child
            children.kill(child)
    child = children.fork(work)
    monitor._watched[child] = monitor._watched.pop(pid)
    monitor._watched[child]._pid = child
    return child


def test_a_pid_that_is_used_again_is_a_new_process(children):
    """What a successor with the same pid has used is not counted as used since the last look at the dead (P08)."""
    pid, monitor = children.fork(), Monitor()
    sampled(pid, monitor, 0.0)
    before = sampled(pid, monitor, 1.0)
    forked = time.monotonic()
    eventually(lambda: time.monotonic() > forked + 0.03)  # the kernel tells creation times to the hundredth
    children.kill(pid)
    successor = _successor(children, pid, monitor, spin)
    eventually(lambda: sampled(successor).cpu_seconds >= 0.5, 60.0)
    after = sampled(successor, monitor, 2.0)

    assert before.cpu_seconds < 0.5 <= after.cpu_seconds
    assert after.cpu_percent == 0.0
    eventually(lambda: sampled(successor).cpu_seconds >= after.cpu_seconds + 0.1, 60.0)
    assert sampled(successor, monitor, 3.0).cpu_percent >= 10.0
