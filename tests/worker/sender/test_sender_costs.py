"""What connections leave behind, and what waiting costs."""

from __future__ import annotations

import os
import threading
import time

import behaviours
import pytest
from behaviours import ack_all
from clients import eventually
from sending import Sending, large_lines, numbered
from servers import HOST

from fluentlite.config.model import SecuritySettings, Server

NAME = Server("logs.test", 1)


def test_no_descriptor_leaks(serve, names):
    """After 200 connections by name the process has as many descriptors and threads as before (S08)."""

    def one_ack(connection):
        connection.ack(connection.next_chunk())

    server = serve(one_ack)
    names[NAME.host] = [(HOST, server.port)]
    with Sending(NAME, max_in_flight=1) as sending:
        sending.deliver(b"first")
        sending.until(lambda: sending.sender.connects == 2)
        descriptors, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
        for line in numbered(1, 200):
            sending.deliver(line)
        sending.until(lambda: sending.sender.connects >= 200 and sending.sender.is_connected)

        eventually(lambda: len(os.listdir("/proc/self/fd")) <= descriptors)
        eventually(lambda: threading.active_count() <= threads)


@pytest.mark.parametrize(
    "state",
    [
        "idle",
        "resolving",
        "connecting",
        "waiting for HELO",
        "waiting to try again",
        "waiting for an ack",
        "writing to a server that does not read",
        "renewing, no answer",
        "renewed, an ack is outstanding",
    ],
)
def test_waiting_costs_nothing(serve, names, silent_port, state):
    """While the sender waits, for whatever it is, it does not turn and uses no processor time (S08)."""
    primary, settings = serve(), {}
    if state == "resolving":
        names[NAME.host] = None
    elif state in ("connecting", "renewing, no answer"):
        names[NAME.host] = [(HOST, silent_port if state == "connecting" else primary.port)]
    elif state == "waiting for HELO":
        primary.behave(behaviours.hold)
        settings["security"] = SecuritySettings(shared_key="k", self_hostname="h")
    elif state == "waiting to try again":
        primary.stop()
        settings |= {"reconnect_wait_max": 60.0, "reconnect_wait_incr_rate": 100.0}
    elif state in ("waiting for an ack", "renewed, an ack is outstanding"):
        primary.behave([behaviours.no_ack, ack_all])
    elif state.startswith("writing"):
        primary.behave(behaviours.stop_reading())
    by_name = state in ("resolving", "connecting", "renewing, no answer")
    try:
        with Sending(NAME if by_name else primary, **settings) as sending:
            sending.put(*large_lines() if state.startswith("writing") else [b"a"], steps=1)
            sending.run(0.6)
            if state.startswith("renew"):
                names[NAME.host] = [(HOST, silent_port)]
                sending.sender.reconnect(time.monotonic())
                sending.run(0.1)
            turns = sending.turns
            assert sending.run(0.6) < 0.06
            assert sending.turns - turns < 10
            assert len(sending.delivered) == (state in ("idle", "renewing, no answer"))
    finally:
        names[NAME.host] = []
