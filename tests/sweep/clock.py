"""How the agent waits while it is swept: everything that takes seconds in earnest takes a fraction of one here."""

from __future__ import annotations

from fluentlite.core import restart, retry
from fluentlite.master import control, watch
from fluentlite.worker import checkpoint, opening, warm

FORWARD = {
    "connect_timeout": 1.0,
    "ack_response_timeout": 1.0,
    "send_timeout": 1.0,
    "reconnect_wait_max": 0.5,
    "failback_interval": 60.0,
    "max_in_flight": 4,
}

TAIL = {"read_from_head": True, "rotate_wait": 0.15, "poll_interval": 0.2, "read_buffer_size": 4096}

STOP_TIMEOUT = 3.0


def hurry() -> None:
    """Shorten what no setting shortens; in the process from which all others are forked."""
    checkpoint.SYNC_INTERVAL = 0.1
    opening.RETRY_INTERVAL = 0.1
    restart.LONGEST_WAIT = 0.05
    control.PAUSE = 0.1
    retry.FIRST_WAIT = 0.05
    watch.INTERVAL = 0.5
    warm.ROUNDS = 1
