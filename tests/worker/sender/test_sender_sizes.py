"""Servers that take no large chunks, with a real worker and real sockets: it costs something once, and not each time."""

from __future__ import annotations

import time

import behaviours
import pytest
from clients import eventually
from sending import Sending, Worker, forward_settings, numbered, size_of

LIMIT = 200_000
LINES = numbered(1, 40_000, size=200)


@pytest.mark.parametrize("close", [True, False], ids=["closes", "says-nothing"])
def test_a_log_of_many_large_chunks(serve, tmp_path, close):
    """A log of eight megabytes arrives, each line once, at a server with a limit of 200 KB; seven tries show where that is (S28)."""
    server = serve(behaviours.size_limit(LIMIT, close=close))
    forward = forward_settings([server], ack_response_timeout=0.5, reconnect_wait_max=0.05)
    with Worker(tmp_path, forward) as worker:
        worker.write(*LINES)
        eventually(lambda: worker.position() == size_of(LINES), timeout=60.0)
        worker.stop()
    assert sorted(server.lines(acked=True)) == LINES
    failed = [one for one in server.chunks if len(one.message) > LIMIT]
    assert 3 <= len({one.id for one in failed}) <= 6, "others are not even tried"
    assert len(server.connections) <= 12


def test_hup_forgets(serve):
    """When the operator has raised the limit, HUP or a reload let chunks have their size again at once (S28)."""
    server = serve(behaviours.size_limit(2500, close=True))
    with Sending(server) as sending:
        sending.put(*numbered(1, 80, size=100), steps=8)
        sending.until(lambda: len(sending.lines) == 80)
        assert sending.sender.most_bytes < 2500
        sending.sender.reconnect(time.monotonic())
        assert sending.sender.most_bytes > 1 << 30
