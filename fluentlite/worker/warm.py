"""What a worker needs and the master does once, before it forks: what is made there is shared by all workers."""

from __future__ import annotations

import contextlib

import inotify_simple


def warm_up() -> None:
    """Do what every worker would otherwise do by itself."""
    "localhost".encode("idna")  # what looks up a server's name
    with contextlib.suppress(OSError):  # its first use looks for the C library
        inotify_simple.INotify(nonblocking=True).close()
