"""
A wall clock that jumps, for a Python program that is not told: put this directory first in its PYTHONPATH.

Python runs this before anything of the program. The file that FAULTS_CLOCK names holds by how many nanoseconds the clock
is wrong, and it may be changed at any time. Waits and the monotonic clock stay as they are, as when an administrator or
NTP sets the clock. The preload library that fakes the time of any program (libfaketime 0.9.10) is of no use here: under
it ``time.sleep`` fails with EINVAL, and processes that are killed leave semaphores behind.
"""

from __future__ import annotations

import mmap
import os
import time

with open(os.environ["FAULTS_CLOCK"], "rb") as file:
    _wrong_by = memoryview(mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)).cast("q")

_real_time_ns, _real_clock_gettime, _real_clock_gettime_ns = (
    time.time_ns,
    time.clock_gettime,
    time.clock_gettime_ns,
)


def _time_ns() -> int:
    return _real_time_ns() + _wrong_by[0]


def _time() -> float:
    return _time_ns() / 1e9


class _OfNow:
    """Stands for a function of a time in seconds that is now unless it is given; like that one, it is no method."""

    def __init__(self, function):
        self._function = function

    def __call__(self, seconds=None):
        return self._function(_time() if seconds is None else seconds)


def _strftime(text, when=None, *, _real=time.strftime):
    return _real(text, time.localtime() if when is None else when)


time.time, time.time_ns, time.strftime = _time, _time_ns, _strftime
time.localtime, time.gmtime, time.ctime = map(_OfNow, (time.localtime, time.gmtime, time.ctime))
time.clock_gettime = lambda clock: _time() if clock == time.CLOCK_REALTIME else _real_clock_gettime(clock)
time.clock_gettime_ns = lambda clock: (
    _time_ns() if clock == time.CLOCK_REALTIME else _real_clock_gettime_ns(clock)
)
