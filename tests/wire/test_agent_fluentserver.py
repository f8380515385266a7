"""The real agent and a server that others wrote: every line arrives there once, and is acknowledged."""

from __future__ import annotations

import subprocess
import sys

import pytest
from agents import (
    LINES,
    SECURITY,
    USERS,
    WRONG_CREDENTIALS,
    complaints_of,
    deliver,
    received,
    security,
    worker_for,
)
from servers import HOST


@pytest.mark.parametrize(
    ("server_security", "forward"),
    [
        pytest.param(None, {}, id="plain"),
        pytest.param(None, {"compress": "gzip"}, id="gzip"),
        pytest.param(None, {"max_in_flight": 32}, id="many-in-flight"),
        pytest.param(None, {"time_as_integer": True}, id="integer-time"),
        pytest.param(SECURITY, {"security": security(username="", password="")}, id="shared-key"),
        pytest.param(USERS, {"security": security()}, id="user"),
        pytest.param(USERS, {"security": security(), "compress": "gzip"}, id="user-gzip"),
    ],
)  # fmt: skip
def test_every_line_arrives_once(start_fluent_server, tmp_path, server_security, forward):
    """Plain, compressed, and behind a handshake: its acks are understood, and each line is there once, in order (S30)."""
    server = start_fluent_server(server_security)
    with worker_for(server, tmp_path, **forward) as worker:
        deliver(worker)
        assert received(server) == LINES
        deliver(worker, ["the last one"])
        assert received(server, 1) == ["the last one"]
        worker.stop()
        assert worker.complaints() == []


def test_without_acks(start_fluent_server, tmp_path):
    """It gets every line without acks as well."""
    server = start_fluent_server()
    with worker_for(server, tmp_path, require_ack_response=False) as worker:
        deliver(worker)
        assert received(server) == LINES
        worker.stop()


@WRONG_CREDENTIALS
def test_wrong_credentials(start_fluent_server, tmp_path, ours):
    """
    Wrong credentials are one error, however often the server refuses, that names server and remedy; nothing is
    committed, and with the right ones everything arrives (S26).
    """
    server = start_fluent_server(USERS)
    [complaint] = complaints_of(server, tmp_path, {"security": ours}, {"security": security()})

    assert "compare shared_key, username and password with its own" in complaint


def test_agent_command(start_fluent_server, tmp_path):
    """``fluentlite agent`` with the old agent's arguments delivers a file, and standard input, and ends with 0."""
    server = start_fluent_server()
    path = tmp_path / "app.log"
    path.write_text("".join(f"{line}\n" for line in LINES))
    flags = ["-l", str(tmp_path / "agent.log"), "--state-dir", str(tmp_path / "state"), "--read-from-head"]
    command = [sys.executable, "-m", "fluentlite", "agent", *flags, "app"]
    with subprocess.Popen([*command, str(path), f"{HOST}:{server.port}"]) as agent:
        try:
            assert received(server) == LINES
        finally:
            agent.terminate()
    assert agent.returncode == 0

    done = subprocess.run([*command, "-", f"{HOST}:{server.port}"], input=b"one\ntwo\n", timeout=20)
    assert done.returncode == 0
    assert received(server, 2) == ["one", "two"]
    assert (tmp_path / "agent.log").read_text() == ""
