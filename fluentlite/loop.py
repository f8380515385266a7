"""One selector for everything a worker waits for."""

from __future__ import annotations

import selectors
from collections.abc import Callable

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE

Callback = Callable[[int], None]
"""Called with the events (READ, WRITE or both) that a descriptor is ready for."""


class Loop:
    """Descriptors and what to call when they are ready."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def watch(self, fd: int, callback: Callback, events: int = READ) -> None:
        """Call *callback* whenever *fd* is ready for *events*; replaces what was said of *fd* before."""
        try:
            key = self._selector.get_key(fd)
        except KeyError:
            self._selector.register(fd, events, callback)
            return
        if key.events != events or key.data != callback:
            self._selector.modify(fd, events, callback)

    def unwatch(self, fd: int) -> None:
        """Forget *fd*; before it is closed. Not watched: nothing happens."""
        if fd in self._selector.get_map():
            self._selector.unregister(fd)

    def wait(self, timeout: float | None) -> bool:
        """Wait up to *timeout* seconds (None: for ever) and call what is ready; returns whether anything was."""
        ready = self._selector.select(timeout)
        for key, events in ready:
            current = self._selector.get_map().get(key.fd)
            if current is not None and current.data == key.data:  # not forgotten by a callback before
                key.data(events)
        return bool(ready)

    def close(self) -> None:
        self._selector.close()
