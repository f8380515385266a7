"""One call in a thread of its own, for what may hang: a disk, a resolver."""

from __future__ import annotations

import _thread
from collections.abc import Callable


class Background:
    """
    Calls *call* at once. It must not raise; nobody would hear of it.

    ``threading.Thread`` does the same with thirty functions and five objects, whose pages each of a thousand
    idle workers would have to itself. Like a daemon thread it does not keep the process from ending.

    Raises:
        RuntimeError: There can be no more threads now.
    """

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call
        self._running = _thread.allocate_lock()
        self._running.acquire()
        _thread.start_new_thread(self._run, ())

    @property
    def is_over(self) -> bool:
        return not self._running.locked()

    def wait(self, timeout: float) -> bool:
        """Wait up to *timeout* seconds for its end; returns whether it has ended."""
        if not self._running.acquire(timeout=timeout):
            return False
        self._running.release()
        return True

    def _run(self) -> None:
        try:
            self._call()
        finally:
            self._running.release()
