"""How the worker is configured while faults are made."""

from __future__ import annotations

import random
from dataclasses import replace

from .agent import Options

MAX_IN_FLIGHT = 4

QUICK = Options(
    primary=(),
    forward={
        "ack_response_timeout": 2.0,
        "connect_timeout": 1.0,
        "send_timeout": 2.0,
        "reconnect_wait_max": 0.5,
        "failback_interval": 1.0,
        "max_in_flight": MAX_IN_FLIGHT,
    },
    tail={"read_from_head": True, "rotate_wait": 1.0, "poll_interval": 0.5, "read_buffer_size": 1 << 17},
    stop_timeout=5.0,
)
"""Short waits and small chunks: more can go wrong in a second."""


def variant(seed: int) -> Options:
    """Return *QUICK* with other limits: chunks small and large, few and many, compressed; connections of two seconds."""
    rng = random.Random(seed)
    forward = {
        "max_in_flight": rng.choice((1, 4, 4, 16)),
        "compress": rng.choice(("none", "none", "gzip")),
        "keepalive_timeout": rng.choice((2.0, 1800.0)),
    }
    tail = {"read_buffer_size": rng.choice((1 << 14, 1 << 17, 1 << 20))}
    return replace(QUICK, forward=QUICK.forward | forward, tail=QUICK.tail | tail)
