"""Which server: names and their addresses, failover, and back to the primary."""

from __future__ import annotations

import threading
import time

import behaviours
import pytest
from behaviours import ack_all
from sending import Sending, numbered, timed
from servers import HOST

from fluentlite.config.model import Server

NAME = Server("logs.test", 1)


@pytest.fixture
def waits(said):
    """What was said of waits between attempts."""
    return lambda: [text for text in said("DEBUG") if "trying again in" in text]


# -- names and addresses ------------------------------------------------------------------------------


def test_every_address_is_tried(serve, names, waits):
    """A name whose first addresses refuse, also by IPv6, is reached at its last one, without a wait (S18)."""
    refusing, server = serve(listening=False), serve()
    names[NAME.host] = [("::1", refusing.port), (HOST, refusing.port), (HOST, server.port)]
    with Sending(NAME, reconnect_wait_max=60.0) as sending:
        sending.deliver(b"a")
        assert server.lines() == [b"a"]
        assert waits() == []


def test_silent_address(serve, names, silent_port):
    """An address that does not answer leaves the others their share of the time (S18)."""
    server = serve()
    names[NAME.host] = [(HOST, silent_port), (HOST, server.port)]
    with Sending(NAME, connect_timeout=2.0) as sending:
        assert 1.0 <= timed(sending.deliver, b"a") < 1.9


def test_no_address_works(serve, names, said, silent_port):
    """When every address fails, one error names the server, each address and its reason (S18)."""
    refusing = serve(listening=False)
    names[NAME.host] = [(HOST, refusing.port), ("127.0.0.2", silent_port), (HOST, silent_port)]
    with Sending(NAME, connect_timeout=0.3) as sending:
        sending.until(lambda: sending.sender.trouble)
        (error,) = said("ERROR")
        assert error.startswith(
            "logs.test:1: 127.0.0.1: Connection refused; 127.0.0.2: Connection refused; 127.0.0.1: no answer"
        )

        sending.run(1.0)
        assert said("ERROR") == [error]


def test_name_without_address(serve, names, said):
    """A name that does not resolve is an error like others: another server is used, and it is tried again (S17)."""
    server = serve()
    names[NAME.host] = []
    with Sending(NAME) as sending:
        sending.until(lambda: sending.sender.trouble)
        assert sending.sender.trouble.startswith(
            "logs.test:1: its name cannot be resolved: Name or service not known"
        )

        names[NAME.host] = [(HOST, server.port)]
        sending.deliver(b"a")
    names["other.test"] = []
    with Sending(Server("other.test"), secondary=[server]) as sending:
        sending.deliver(b"b")
    assert server.lines() == [b"a", b"b"]


def test_resolver_that_hangs(serve, names):
    """A resolver that does not answer costs connect_timeout and one thread, however often it is asked (S17)."""
    server, before = serve(), threading.active_count()
    names[NAME.host] = None
    try:
        with Sending(NAME, connect_timeout=0.1, reconnect_wait_max=0.05) as sending:
            sending.until(lambda: "not resolved within 0.1 s" in sending.sender.trouble)
            sending.run(0.6)
            assert threading.active_count() - before <= 1

            names[NAME.host] = [(HOST, server.port)]
            sending.deliver(b"a")
    finally:
        names[NAME.host] = []  # so that its thread ends


def test_names_are_resolved_at_each_connect(serve, names):
    """A name that has another address now is followed at the next connect, and at renewal, to where it is (S16)."""
    old, new, newest = serve(), serve(), serve()
    names[NAME.host] = [(HOST, old.port)]
    with Sending(NAME) as sending:
        sending.deliver(b"a")
        names[NAME.host] = [(HOST, new.port)]
        old.stop()
        sending.deliver(b"b")
        names[NAME.host] = [(HOST, newest.port)]
        sending.sender.reconnect(time.monotonic())
        sending.until(lambda: sending.sender.connects == 3)
        sending.deliver(b"c")

    assert (old.lines(), new.lines(), newest.lines()) == ([b"a"], [b"b"], [b"c"])


# -- failover and failback ----------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [behaviours.close_after(0), behaviours.close_at_once, behaviours.garbage])
def test_retry_goes_to_a_living_server_at_once(serve, waits, fault):
    """When a server fails, what was in flight goes to one that lives, past those that do not, without a wait (S19)."""
    failing, good = serve(fault), serve()
    dead = [serve(listening=False) for _ in range(3)]
    for seed in range(3):
        with Sending(failing, *dead, secondary=[good], reconnect_wait_max=60.0, seed=seed) as sending:
            sending.deliver(b"%d" % seed)
    assert waits() == []
    assert good.lines() == [b"0", b"1", b"2"]


def test_failing_server_is_not_the_first_to_be_tried_again(serve, waits):
    """A server that worked and failed is tried after its living peers (S19)."""
    for seed in range(4):
        servers = [serve(), serve()]
        with Sending(*servers, reconnect_wait_max=60.0, seed=seed) as sending:
            sending.deliver(b"a")
            used, other = sorted(servers, key=lambda server: not server.lines())
            used.stop()
            used.restart(behaviours.hold)  # it accepts again, and does not work
            sending.deliver(b"b")
            assert other.lines() == [b"b"]
    assert waits() == []


def test_back_to_the_primary(serve):
    """
    The secondary is used while no primary answers, and no longer than failback_interval after one does; then the
    primary keeps the lines. Nothing is sent twice (S20).
    """
    primary, secondary = serve(listening=False), serve()
    lines = iter(numbered(1, 10_000))
    sent = []
    with Sending(primary, secondary=[secondary], failback_interval=0.3) as sending:

        def deliver_for(seconds):
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                sent.append(next(lines))
                sending.deliver(sent[-1])

        deliver_for(0.5)
        assert secondary.lines() == sent
        primary.restart(ack_all)
        begin = time.monotonic()
        while not primary.chunks:
            deliver_for(0.01)
        assert time.monotonic() - begin < 0.8

        taken = len(secondary.chunks)
        deliver_for(1.0)
        assert len(secondary.chunks) == taken
        assert (len(primary.connections), len(secondary.connections)) == (1, 1)
        assert secondary.lines() + primary.lines() == sending.lines == sent
        assert sending.sender.in_flight.resent == 0


@pytest.mark.parametrize("sick", [behaviours.close_at_once, behaviours.no_ack], ids=["closes", "never-acks"])
def test_sick_primary_does_not_take_the_lines_back_and_forth(serve, sick):
    """A primary that accepts and does not work is tried ever more rarely; all goes by the secondary (S15, S20)."""
    primary, secondary, lines = serve(sick), serve(), iter(numbered(1, 100_000))
    options = {"failback_interval": 0.1, "ack_response_timeout": 0.2, "seed": 1}
    with Sending(primary, secondary=[secondary], **options) as sending:
        end = time.monotonic() + 2.5
        while time.monotonic() < end:
            sending.deliver(next(lines))

        # Each costs up to 0.2 s, and comes 0.2 s, 0.4 s, 0.8 s and so on later; without growth there were eight.
        assert 3 <= len(primary.connections) <= 6
        assert sending.server == secondary.address
        assert list(dict.fromkeys(secondary.lines())) == sending.lines


def test_reconnect_goes_back_to_the_primary(serve):
    """HUP tries a primary at once, and changes over when nothing is in flight: no chunk is sent twice (S20)."""
    primary, secondary = serve(listening=False), serve(behaviours.late_ack(0.1))
    with Sending(primary, secondary=[secondary]) as sending:
        sending.deliver(b"a")
        primary.restart(ack_all)
        sending.put(b"b")
        sending.until(lambda: len(secondary.chunks) == 2)
        for _ in range(3):
            sending.sender.reconnect(time.monotonic())
        sending.until(lambda: primary.connections)
        sending.put(b"c")
        sending.until(lambda: len(sending.delivered) == 3)

        assert (secondary.lines(), primary.lines()) == ([b"a", b"b"], [b"c"])
        assert (len(primary.connections), len(secondary.connections)) == (1, 1)


def test_reconnect_does_not_wait(serve):
    """HUP ends the wait between two attempts."""
    server = serve(listening=False)
    with Sending(server, reconnect_wait_max=60.0, reconnect_wait_incr_rate=100.0) as sending:
        sending.put(b"a")
        sending.run(0.7)  # the next attempt is at least 25 s away
        server.restart()
        sending.run(0.2)
        assert not server.connections

        sending.sender.reconnect(time.monotonic())
        assert timed(sending.until, lambda: sending.delivered) < 0.5


def test_reconnect_does_not_wait_for_a_connect(serve, names, silent_port):
    """HUP leads past a connect that gets no answer, also with chunks that were sent before and not acknowledged."""
    first, second = serve(behaviours.no_ack), serve()
    names[NAME.host] = [(HOST, first.port)]
    with Sending(NAME, connect_timeout=20.0) as sending:
        sending.put(b"a")
        sending.until(lambda: first.chunks)
        names[NAME.host] = [(HOST, silent_port)]
        first.stop()
        sending.until(lambda: not sending.sender.is_connected)
        sending.run(0.4)  # past the wait; it connects again
        names[NAME.host] = [(HOST, second.port)]
        sending.sender.reconnect(time.monotonic())

        assert timed(sending.until, lambda: sending.delivered) < 0.5
        assert second.lines() == [b"a"]


def test_reconnect_without_a_primary_changes_nothing(serve):
    """When no primary can be reached, HUP leaves the connection in use alone."""
    primary, secondary = serve(listening=False), serve()
    with Sending(primary, secondary=[secondary]) as sending:
        sending.deliver(b"a")
        sending.sender.reconnect(time.monotonic())
        sending.run(0.2)
        sending.deliver(b"b")

        assert secondary.lines() == [b"a", b"b"]
        assert len(secondary.connections) == 1


def test_reconnect_while_an_ack_does_not_come(serve):
    """A new connection waits for the acks of the old one no longer than they may take; then it takes over."""
    server = serve([behaviours.no_ack, ack_all])
    with Sending(server, ack_response_timeout=0.3) as sending:
        sending.put(b"a")
        sending.until(lambda: server.chunks)
        sending.sender.reconnect(time.monotonic())
        sending.until(lambda: len(server.connections) == 2)
        sending.put(b"b")
        sending.until(lambda: len(sending.delivered) == 2)

        assert [(one.lines(), one.connection) for one in server.chunks] == [
            ([b"a"], 0),
            ([b"a"], 1),
            ([b"b"], 1),
        ]
