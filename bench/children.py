"""Forked processes that do one thing, report to the benchmark, and cost what the kernel says they cost."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import connection
from typing import Any

PATIENCE = 120.0
"""Seconds to wait for a report before something counts as broken."""

_PR_SET_PDEATHSIG = 1  # prctl(2)

Tell = Callable[[object], None]
"""What a child reports with."""


class BenchError(Exception):
    """Something is broken; no figure can be trusted."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a child has cost from its fork to its end; *peak_rss* in bytes."""

    cpu_seconds: float
    peak_rss: int


class Child:
    """
    A process of its own, killed at the end of the ``with`` block if it is still there.

    Args:
        name: For messages.
        run: What it does; it gets a function to report with. Its result does not matter.
    """

    def __init__(self, name: str, run: Callable[[Tell], object]) -> None:
        self.name = name
        self._reports, reports = connection.Pipe(duplex=False)
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _be_child(run, reports)
        reports.close()
        self._pidfd = os.pidfd_open(self.pid)
        self._usage: Usage | None = None

    def receive(self, timeout: float = PATIENCE) -> Any:
        """
        Return the child's next report.

        Raises:
            BenchError: It has ended, or said nothing for *timeout* seconds.
        """
        if not self._reports.poll(timeout):
            raise BenchError(f"{self.name}: nothing happened for {timeout:g} s")
        try:
            return self._reports.recv()
        except EOFError:
            raise BenchError(f"{self.name}: ended too early") from None

    def has_report(self, timeout: float) -> bool:
        """Wait up to *timeout* seconds for a report."""
        return self._reports.poll(timeout)

    def stop(self) -> Usage:
        """Ask it to finish (TERM) and wait until it has."""
        os.kill(self.pid, signal.SIGTERM)
        return self.wait()

    def wait(self, timeout: float = PATIENCE) -> Usage:
        """
        Wait for its end and return what it cost.

        Raises:
            BenchError: It failed, or is still there after *timeout* seconds.
        """
        if not connection.wait([self._pidfd], timeout):
            raise BenchError(f"{self.name}: still running after {timeout:g} s")
        _, status, usage = os.wait4(self.pid, 0)
        self._usage = Usage(usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)
        if code := os.waitstatus_to_exitcode(status):
            raise BenchError(f"{self.name}: exit status {code}")
        return self._usage

    def kill(self) -> None:
        """Make sure that it has ended."""
        if self._usage is None:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):  # it ended and was waited for
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
        os.close(self._pidfd)
        self._reports.close()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.kill()


def _be_child(run: Callable[[Tell], object], reports: connection.Connection) -> None:
    """Run, and never return."""
    status = os.EX_SOFTWARE
    try:
        # Nothing outlives a benchmark that is killed.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, signal.SIG_DFL)
        run(reports.send)
        status = os.EX_OK
    except BaseException:  # noqa: BLE001 - this is the top of a process
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)
