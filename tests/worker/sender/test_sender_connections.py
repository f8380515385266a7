"""One connection: when it is given up, when it is renewed, and what it says about its server's health."""

from __future__ import annotations

import time
from itertools import pairwise

import behaviours
import pytest
from behaviours import ack_all
from sending import Sending, ServerProcess, large_lines, numbered, timed

from fluentlite.config.model import SecuritySettings
from fluentlite.core.server_session import ServerSecurity

# -- a connection that is closed while idle -----------------------------------------------------------


@pytest.mark.parametrize("reset", [False, True], ids=["end-of-file", "reset"])
def test_connection_closed_while_idle(serve, said, reset):
    """A connection that the server closes while nothing is in flight is replaced at once; nothing is sent twice (S08)."""
    server = serve([behaviours.close_when_idle(0.05, reset=reset), ack_all])
    with Sending(server) as sending:
        sending.deliver(b"a")
        sending.until(lambda: sending.sender.connects == 2)
        sending.deliver(b"b")

        assert [(one.lines(), one.connection) for one in server.chunks] == [([b"a"], 0), ([b"b"], 1)]
        assert sending.sender.in_flight.resent == 0
        assert said() == []


def test_connection_closed_unnoticed(serve):
    """A connection is looked at before it is used: what was closed meanwhile gets no byte (S08)."""
    server = serve([behaviours.close_when_idle(0.02), ack_all])
    with Sending(server) as sending:
        sending.deliver(b"a")
        server.wait_for(lambda: server.connections[0].socket.fileno() < 0)
        chunk = sending.put(b"b")
        sending.sender.send(sending.queue.popleft(), time.monotonic())  # before the loop has turned
        sending.until(lambda: len(sending.delivered) == 2)

        assert b"".join(chunk.buffers) not in bytes(server.connections[0].received)
        assert [one.connection for one in server.chunks] == [0, 1]


# -- servers that do not take bytes -------------------------------------------------------------------


def test_frozen_server(serve, said):
    """A server that accepts and then takes no bytes is given up after send_timeout; another one gets the chunk (S09)."""
    good, lines = serve(), large_lines()
    with ServerProcess() as frozen, Sending(frozen.address, secondary=[good], send_timeout=0.5) as sending:
        frozen.freeze()
        sending.until(lambda: sending.server)
        sending.put(*lines, steps=250)

        assert 0.5 <= timed(sending.until, lambda: sending.delivered) < 5.0
        assert said("ERROR") == [
            f"{frozen.address}: it did not take a chunk within 0.5 s; lines wait in the log until a server takes them"
        ]
        assert good.lines() == lines


@pytest.mark.parametrize(
    ("size", "rest"), [pytest.param(1, 0.1, id="byte-by-byte"), pytest.param(50_000, 0.02, id="steady")]
)
def test_slow_reader(serve, size, rest):
    """The time-out is one for the whole chunk: a server that reads on and on, but slowly, is given up as well (S10)."""

    def slowly(connection):
        connection.read_size, connection.rest = size, rest
        ack_all(connection)

    slow, good, lines = serve(slowly), serve(), large_lines()
    with Sending(slow, secondary=[good], send_timeout=1.0) as sending:
        sending.put(*lines, steps=250)
        begin = time.monotonic()
        sending.until(lambda: sending.server == good.address)
        assert 1.0 <= time.monotonic() - begin < 2.5
        assert len(slow.connections[0].received) > 5

        sending.until(lambda: sending.delivered)
        assert good.lines() == lines


def test_each_chunk_has_its_own_time(serve):
    """The time of a chunk begins when it is written, not while it waits behind others."""

    def ten_megabytes_a_second(connection):
        connection.read_size, connection.rest = 200_000, 0.02
        ack_all(connection)

    server = serve(ten_megabytes_a_second)
    with Sending(server, send_timeout=1.5, max_in_flight=8) as sending:
        for _ in range(8):
            sending.put(*large_lines(4000), steps=60)
        passed = timed(sending.until, lambda: len(sending.delivered) == 8)

        assert passed > 2.5, "the server was too fast for this test"
        assert sending.sender.connects == 1


# -- connections that say nothing about health --------------------------------------------------------


def test_accepting_is_not_health(serve):
    """
    A proxy that accepts and closes does not reset the waits: they grow until something is acknowledged (S15).
    """
    proxy = serve(behaviours.close_at_once)
    with Sending(proxy, reconnect_wait_max=60.0, reconnect_wait_incr_rate=3.0) as sending:
        sending.put(b"a")
        sending.run(2.2)
        # At 0; after at least 0.25 s, 0.75 s more, 2.25 s more. Without growth there would be five.
        assert 2 <= len(proxy.connections) <= 3

        proxy.behave(ack_all)
        sending.sender.reconnect(time.monotonic())
        sending.until(lambda: sending.delivered)
        assert proxy.lines() == [b"a"]


def test_an_ack_resets_the_waits(serve):
    """After something was acknowledged the waits begin with the shortest again (S15, S22)."""
    server = serve([behaviours.close_at_once, behaviours.close_after(1), behaviours.close_at_once, ack_all])
    with Sending(server, reconnect_wait_max=60.0, reconnect_wait_incr_rate=10.0) as sending:
        sending.put(b"a")
        sending.put(b"b")
        sending.until(lambda: len(sending.delivered) == 1)

        # At most 0.5 s; without the reset it would be at least 2.5 s.
        assert timed(sending.until, lambda: len(sending.delivered) == 2) < 1.5


# -- renewal ------------------------------------------------------------------------------------------


def test_connections_are_renewed_without_doubles(serve):
    """
    At keepalive_timeout, give or take a random time, another connection takes over; under load nothing is lost,
    doubled or out of order (S23).
    """
    server, numbers, renewed = serve(behaviours.late_ack(0.002)), iter(numbered(1, 100_000)), []
    with Sending(server, keepalive_timeout=0.3) as sending:
        end = time.monotonic() + 2.5
        while time.monotonic() < end:
            if sending.sender.connects > len(renewed):
                renewed.append(time.monotonic())
            while len(sending.queue) < 4:
                sending.put(next(numbers))
            sending.turn(time.monotonic() + 0.01)
        sending.until(lambda: not sending.queue and not sending.sender.in_flight)

        assert server.lines() == sending.lines
        assert sending.lines == numbered(1, len(sending.lines))
        assert sending.sender.in_flight.resent == 0
    ages = [later - earlier for earlier, later in pairwise(renewed)]
    assert len(ages) >= 4
    assert min(ages) >= 0.15
    assert max(ages) < 0.45 + 0.5
    assert max(ages) - min(ages) > 0.02


def test_renewal_that_fails_keeps_the_connection(serve):
    """A server that takes no new connections keeps the one it has, with the lines on it (S23)."""

    def only_the_first(connection):
        if connection.index == 0:
            ack_all(connection)

    server = serve(only_the_first, security=ServerSecurity("secret", "server.example"))
    security = SecuritySettings(shared_key="secret", self_hostname="client.example")
    with Sending(server, keepalive_timeout=0.1, failback_interval=0.1, security=security) as sending:
        for line in numbered(1, 10):
            sending.deliver(line)
            sending.run(0.1)

        assert len(server.connections) > 3
        assert {one.connection for one in server.chunks} == {0}
        assert server.lines() == sending.lines == numbered(1, 10)


def test_a_connection_that_fails_while_its_successor_is_there(serve, said):
    """An ack that does not come is told and counted also when another connection stands ready to take over (S03, S23)."""
    server = serve([behaviours.no_ack, ack_all])
    with Sending(server, ack_response_timeout=0.5) as sending:
        sending.put(b"a")
        sending.until(lambda: sending.sender.in_flight)
        sending.sender.reconnect(time.monotonic())
        sending.until(lambda: sending.delivered)

        assert server.lines() == [b"a", b"a"]
        assert said("ERROR") == [
            f"127.0.0.1:{server.port}: no ack within 0.5 s; lines wait in the log until a server takes them"
        ]
        assert len(server.connections) == 2
