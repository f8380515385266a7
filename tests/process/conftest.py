"""Daemons and servers that are gone when their test has ended, however it ends."""

from __future__ import annotations

import contextlib

import pytest
from arrivals import Arrivals
from daemon import Daemon
from receiving import receive

__all__ = ["receive"]


@pytest.fixture
def arrivals():
    """A good server."""
    with Arrivals() as server:
        yield server
        assert server.problems == []


@pytest.fixture
def make_daemon(tmp_path, arrivals):
    """Make a :class:`Daemon` that delivers to ``arrivals``; it is closed, and judged, at the end."""
    with contextlib.ExitStack() as stack:

        def make(*logs, directory=None, **how):
            directory = directory or tmp_path / "agent"
            directory.mkdir(exist_ok=True)
            daemon = Daemon(directory, *logs, **{"server": arrivals.address} | how)
            stack.callback(daemon.close)
            return daemon

        yield make


@pytest.fixture
def daemon(make_daemon):
    """One that follows the logs ``a`` and ``b``, started."""
    made = make_daemon("a", "b")
    made.start()
    return made
