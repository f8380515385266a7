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


def test_hup_tries_again(serve):
    """When the operator has raised the limit, HUP or a reload let a chunk have its full size at once (S28)."""
    server = serve(behaviours.size_limit(25_000, close=True))
    with Sending(server) as sending:
        sending.put(*numbered(1, 80, size=1000), steps=8)
        sending.until(lambda: len(sending.lines) == 80)
        assert sending.sender.most_bytes < 25_000
        sending.sender.reconnect(time.monotonic())
        assert sending.sender.most_bytes > 1 << 30


@pytest.mark.parametrize(
    ("size", "limit"), [(12, 100_000), (200, 30_000)], ids=["short lines", "a low limit"]
)
def test_entries_that_are_larger_than_their_lines(serve, tmp_path, size, limit):
    """Chunks fit also where an entry is much larger than its line, and where a single read would be too large (S28)."""
    server = serve(behaviours.size_limit(limit, close=True))
    lines = [b"%0*d" % (size - 1, number) for number in range(4_000_000 // size)]
    with Worker(tmp_path, forward_settings([server], reconnect_wait_max=0.05)) as worker:
        worker.write(*lines)
        eventually(lambda: worker.position() == size_of(lines), timeout=60.0)
        worker.stop()
    assert sorted(server.lines(acked=True)) == lines
    failed = [one for one in server.chunks if len(one.message) > limit]
    assert len({one.id for one in failed}) <= 16, "others are not even tried"


def test_long_lines_in_a_row(serve, tmp_path):
    """
    Lines too long for the server, one behind the other: no one of them can be the witness of another, so what comes
    behind them is read for that (S28, S36).
    """
    server = serve(behaviours.size_limit(LIMIT, close=True))
    lines = numbered(1, 2000, size=200)
    lines[1000:1000] = numbered(3001, 3006, size=LIMIT + 100_000)
    with Worker(tmp_path, forward_settings([server], reconnect_wait_max=0.02)) as worker:
        worker.write(*lines)
        eventually(lambda: worker.position() == size_of(lines), timeout=60.0)
        worker.stop()
    assert sorted(server.lines(acked=True)) == [line for line in lines if len(line) < LIMIT]
    assert len(list((tmp_path / "state" / "dead-letters").glob("*.letter"))) == 6
