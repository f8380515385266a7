"""Servers that do anything at any time, and a sender that must not lose, double or mix up what it delivers."""

from __future__ import annotations

import random
import time

import behaviours
import pytest
from sending import Sending, numbered

SECONDS = 2.5


def moods(rng):
    """A behaviour that is another one, of every kind there is, for each connection."""
    choices = [
        lambda: behaviours.no_ack,
        lambda: behaviours.close_at_once,
        lambda: behaviours.reset_at_once,
        lambda: behaviours.wrong_ack,
        lambda: behaviours.unknown_ack,
        lambda: behaviours.ack_twice,
        lambda: behaviours.garbage,
        lambda: behaviours.ack_in_single_bytes,
        lambda: behaviours.acks_joined(rng.randint(1, 4), backwards=rng.random() < 0.5),
        lambda: behaviours.late_ack(rng.uniform(0.0, 0.3)),
        lambda: behaviours.close_in_ack(rng.randint(0, 5)),
        lambda: behaviours.close_after(rng.randint(0, 20), reset=rng.random() < 0.5),
        lambda: behaviours.close_in_chunk(rng.randint(0, 100_000), reset=rng.random() < 0.5),
        lambda: behaviours.stop_reading(2),
        lambda: behaviours.size_limit(rng.randint(2_000, 100_000), close=rng.random() < 0.5),
    ]
    return lambda connection: rng.choice(choices)()(connection)


def load(sending, rng, first):
    """Queue a chunk of some size that begins with line *first*; its last line."""
    count, size = rng.choice([1, 1, 1, 10, 200]), rng.choice([12, 12, 1000])
    sending.put(*numbered(first, first + count - 1, size), steps=rng.choice([1, 4, 40]))
    return first + count - 1


@pytest.mark.parametrize("seed", range(3))
def test_whatever_servers_do(serve, seed):
    """
    Whatever servers do, every line is delivered once and in order, none that no server has acknowledged; when they
    behave again, all that was queued gets there (S02-S06, S11, S12, S15, S19, S20, S28).
    """
    rng, last = random.Random(seed), 0
    servers = [serve(moods(rng)) for _ in range(3)]
    timeouts = {"ack_response_timeout": 0.2, "send_timeout": 0.3, "reconnect_wait_max": 0.05}
    renewals = {"keepalive_timeout": 1.0, "failback_interval": 0.2}
    with Sending(*servers[:2], secondary=servers[2:], seed=seed, **timeouts, **renewals) as sending:
        end, limit = time.monotonic() + SECONDS, time.monotonic() + 20 * SECONDS
        while (now := time.monotonic()) < end or (sending.sender.connects < 5 and now < limit):
            while len(sending.queue) < 3:
                last = load(sending, rng, last + 1)
            sending.turn(time.monotonic() + 0.01)
        assert sending.sender.connects >= 5, "the servers were too good for this test"
        for server in servers:
            server.restart(behaviours.ack_all)
        sending.until(lambda: not sending.queue and not sending.sender.in_flight, timeout=20.0)

        delivered = [line.rstrip(b".") for line in sending.lines]
        acked = {line.rstrip(b".") for server in servers for line in server.lines(acked=True)}
        assert delivered == [line.rstrip(b".") for line in numbered(1, last)]
        assert acked.issuperset(delivered)
