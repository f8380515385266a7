"""Servers to send to, and what may be said about them."""

from __future__ import annotations

import contextlib
import logging
import re
import socket

import pytest
from sending import Names
from servers import HOST, ScriptedServer

EXPECTED = re.compile(
    r"; lines wait in the log until a server takes them( \(and \d+ times more since the last report\))?$"
    r"|: it takes lines again$|: not needed now, .* takes the lines$|: it acknowledges again$"
    r"|: it takes chunks but has acknowledged none of the last 3; "
    r"| was not acknowledged 3 times in a row; sending it in parts$"
    r"|; staying with |: connected anew$|^the record that was tried alone holds up nothing any more$"
    r"|^one record .* was not acknowledged 3 times in a row; it is tried alone now, "
)
"""What a sender may say above the level of information when servers fail."""


@pytest.fixture
def said(caplog):
    """What the sender said so far at a level or above, as a list of texts."""
    caplog.set_level(logging.DEBUG)

    def said(level="WARNING"):
        records = caplog.get_records("call")  # also while the test is being taken down
        return [r.getMessage() for r in records if r.levelno >= logging.getLevelName(level)]

    return said


@pytest.fixture(autouse=True)
def nothing_unexpected(said):
    """Nothing is said but what is to be said of failing servers."""
    yield
    assert [text for text in said() if not EXPECTED.search(text)] == []


@pytest.fixture
def serve():
    """Start servers that are closed after the test; what they were sent must have been understood."""
    servers = []

    def start(*args, **kwargs):
        servers.append(ScriptedServer(*args, **kwargs))
        return servers[-1]

    yield start
    for server in servers:
        server.close()
        assert server.errors == []


@pytest.fixture
def names(tmp_path, monkeypatch):
    """What names resolve to in this process."""
    names = Names(tmp_path / "names.json")
    monkeypatch.setattr(socket, "getaddrinfo", names.getaddrinfo)
    return names


@pytest.fixture
def silent_port():
    """A port that answers nothing to whoever wants to connect: its backlog is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((HOST, 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
