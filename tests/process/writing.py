"""Load: lines appended to several logs while something happens to those who read them."""

from __future__ import annotations

import threading

PERIOD = 0.01
"""Seconds between two writes to each log."""


class Writing:
    """
    ``with Writing(daemon, "a", "b") as writing:`` lines come, at once and until the end of the block.

    Args:
        daemon: Whose logs.
        names: Which logs; each gets numbered lines.
        burst: Lines in one write.
    """

    def __init__(self, daemon, *names, burst=5):
        self._daemon, self._names, self._burst = daemon, names, burst
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._error = None
        self.written = 0
        """Lines in each log by now."""

    def lines(self, name):
        """Every line that was written to the log *name*."""
        return [self._line(name, number) for number in range(self.written)]

    def end(self):
        """Write no more."""
        self._end.set()
        self._thread.join(10)
        assert self._error is None, self._error

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_exc_info):
        self.end()

    def _write(self):
        try:
            while not self._end.wait(PERIOD):
                numbers = range(self.written, self.written + self._burst)
                for name in self._names:
                    self._daemon.append(name, *(self._line(name, number) for number in numbers))
                self.written += self._burst
        except OSError as exc:
            self._error = exc

    def _line(self, name, number):
        return f"{name} {number:07} {'x' * 60}"
