"""Servers that mean harm: they drip, flood, lie about lengths; the worker leaves each in time and delivers elsewhere."""

from __future__ import annotations

import msgpack
import psutil
import pytest
from behaviours import drip, send_for_ever
from sending import Sending, timed

from fluentlite.config.model import SecuritySettings

SECURITY = SecuritySettings(shared_key="the-key", self_hostname="client.example")
HELO = msgpack.packb(["HELO", {"nonce": b"n" * 16, "auth": b"", "keepalive": True}])
LONG = b"\xdb\x00\x00\xf0\x00"
"""The header of a str of 60 KiB, which is no more than a response may have."""


def dripping_ack(begin):
    """A server that begins an ack for each first chunk and never ends it."""

    def behave(connection):
        if connection.next_chunk():
            connection.send(begin)
            send_for_ever(connection, b" ", 0.01)

    return behave


def flooding(flood):
    """A server that acknowledges the first chunk in the client's own format and floods behind it."""

    def behave(connection):
        if arrived := connection.next_chunk():
            connection.ack(arrived)
            send_for_ever(connection, flood)

    return behave


@pytest.mark.parametrize(
    ("begin", "expected"),
    [
        pytest.param(b"\x92\xa4HELO\x81\xa5nonce" + LONG, "sent no HELO", id="helo"),
        pytest.param(HELO + b"\x95\xa4PONG\xc2" + LONG, "did not answer our PING", id="pong"),
    ],
)
def test_a_handshake_that_drips_in(serve, said, begin, expected):
    """One deadline covers the handshake: a byte now and then does not extend it (S24)."""
    bad = serve(drip(begin))
    with Sending(bad, security=SECURITY, connect_timeout=0.5) as sending:
        assert 0.4 <= timed(sending.until, lambda: said("ERROR")) < 4.0
        assert f"{bad.address}: no handshake within 0.5 s: it" in said("ERROR")[0]
        assert expected in said("ERROR")[0]
        assert sending.sender.connects == 0


@pytest.mark.parametrize(
    ("begin", "expected"),
    [
        pytest.param(b"\xc0" * 100, "it sent None instead of HELO", id="nils"),
        pytest.param(b"\xdd\xff\xff\xff\xff", "no Forward response", id="array-of-4-g"),
        pytest.param(
            HELO + msgpack.packb(["PONG", False, "\x1b[2J\n" * 9000, "", ""]),
            "refused our credentials",
            id="huge-reason",
        ),
        pytest.param(HELO + HELO, "instead of PONG", id="helo-twice"),
    ],
)
def test_a_handshake_of_garbage(serve, said, begin, expected):
    """What is no handshake ends it at once, and is told in a line that moves no cursor (S24, S26)."""
    bad = serve(drip(begin))
    with Sending(bad, security=SECURITY, connect_timeout=20.0) as sending:
        assert timed(sending.until, lambda: said("ERROR")) < 10.0

        (message,) = said("ERROR")
        assert expected in message
        assert message.isprintable()
        assert len(message) < 400


@pytest.mark.parametrize(
    ("begin", "settings"),
    [
        pytest.param(b"\x81\xa3ack" + LONG, {}, id="msgpack"),
        pytest.param(b'{"ack":"x', {"format": "json"}, id="json"),
        pytest.param(b" ", {"format": "json"}, id="blanks"),
    ],
)
def test_an_ack_that_drips_in(serve, said, begin, settings):
    """An ack is due as a whole: bytes of one do not extend its time (S03)."""
    bad = serve(dripping_ack(begin))
    with Sending(bad, ack_response_timeout=0.5, **settings) as sending:
        sending.put(b"a")

        assert 0.4 <= timed(sending.until, lambda: said("ERROR")) < 5.0
        assert "no ack within 0.5 s" in said("ERROR")[0]
        assert not sending.delivered


@pytest.mark.parametrize(
    "flood",
    [
        pytest.param(msgpack.packb({"ack": "of another client"}) * 1000, id="acks"),
        pytest.param(b"\xdd\x00\x00\xff\xff" * 10_000, id="arrays-in-each-other"),
        pytest.param(b"\xc0" * 100_000, id="nils"),
        pytest.param(b"\xc1" * 100_000, id="garbage"),
    ],
)
def test_a_flood(serve, flood):
    """
    What floods is left at its first word that is no ack. What it acknowledged before counts, what follows is
    delivered elsewhere, and no memory is filled (S04).
    """
    bad, good = serve(flooding(flood)), serve()
    with Sending(bad, secondary=[good]) as sending:
        sending.put(b"a")
        sending.until(lambda: len(sending.delivered) == 1)
        before = psutil.Process().memory_info().rss
        sending.put(b"b")

        assert timed(sending.until, lambda: len(sending.delivered) == 2) < 10.0
        assert sorted({*bad.lines(acked=True), *good.lines()}) == [b"a", b"b"]
        assert psutil.Process().memory_info().rss - before < 32 << 20
