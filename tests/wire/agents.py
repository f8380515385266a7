"""The real agent and a FluentServer: what one is told, what the other lets in, and what arrives."""

from __future__ import annotations

import pytest
from clients import eventually
from sending import Worker, forward_settings
from servers import HOST

from fluentlite.config.model import SecuritySettings, Server

LINES = [f"line {number} é" for number in range(3000)]
SECURITY = {"serverHostname": "node.example", "sharedKey": "secret"}
USERS = SECURITY | {"authorize": True, "userDict": {"alice": "wonder"}}


def security(key="secret", username="alice", password="wonder"):
    """What an agent says of itself: unless told otherwise, what USERS let in."""
    return SecuritySettings(
        shared_key=key, self_hostname="client.example", username=username, password=password
    )


WRONG_CREDENTIALS = pytest.mark.parametrize(
    "ours",
    [
        pytest.param(security("wrong"), id="key"),
        pytest.param(security(password="wrong"), id="password"),
        pytest.param(security(username="bob"), id="user"),
    ],
)


def worker_for(server, tmp_path, **forward):
    return Worker(tmp_path, forward_settings([Server(HOST, server.port)], **forward), read_buffer_size=16384)


def write(worker, lines=LINES):
    """Append *lines* to its log; returns the size that this has then."""
    worker.write(*(line.encode() for line in lines))
    return worker.path.stat().st_size


def deliver(worker, lines=LINES):
    """Write *lines*, and wait until all of them are acknowledged and committed."""
    size = write(worker, lines)
    eventually(lambda: worker.position() == size)


def received(server, count=3000):
    """The lines of the next events, all of which must have the agent's tag."""
    events = server.events(count)
    assert {event["tag"] for event in events} == {"app"}
    return [event["record"]["message"] for event in events]


def complaints_of(server, tmp_path, wrong, right):
    """
    With the settings *wrong* nothing is delivered, however often it is tried; with *right* everything arrives.

    Returns:
        What the agent complained of; its errors have the server's name.
    """
    with worker_for(server, tmp_path, reconnect_wait_max=0.05, **wrong) as worker:
        write(worker)
        eventually(lambda: worker.count("trying again in") >= 4)
        worker.stop()
        assert worker.position() == 0
        complaints = worker.complaints()
    assert all(f"{HOST}:{server.port}: " in error for error in errors_in(complaints))

    with worker_for(server, tmp_path, reconnect_wait_max=0.05, **right) as worker:
        assert received(server) == LINES
        worker.stop()
    return complaints


def errors_in(complaints):
    """Those that are errors, of which there must be some."""
    errors = [text for text in complaints if "[ERROR]" in text]
    assert errors
    return errors
