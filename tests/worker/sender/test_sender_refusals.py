"""Records that servers refuse: found, cut out and told from an outage, with real servers on real sockets."""

from __future__ import annotations

import random
import time

import behaviours
import pytest
from behaviours import ack_all
from clients import eventually
from sending import Sending, Worker, forward_settings, numbered, size_of
from servers import ScriptedServer

from fluentlite.core import trial
from fluentlite.core.retry import Backoff
from fluentlite.worker import sender

POISON = b"poison"
TIMES = {"ack_response_timeout": 10.0, "reconnect_wait_max": 0.02}
SILENT = {"ack_response_timeout": 0.3, "reconnect_wait_max": 0.02}
"""For servers that say nothing. A host that is busy may make acks of others late as well: lines come twice then."""


def with_poison(count, *places):
    """Lines, numbered from 1, of which those at *places* are poison."""
    lines = numbered(1, count)
    for place in places:
        lines[place] += POISON
    return lines


def clean(lines):
    return [line for line in lines if POISON not in line]


def acked(server):
    """What a server has stored, each line once for each time."""
    return sorted(server.lines(acked=True))


@pytest.mark.parametrize("close", [True, False], ids=["closes", "says-nothing"])
def test_a_line_that_the_server_refuses(serve, close):
    """One line of a thousand that the server refuses is cut out of its chunk; all others arrive once (S28, S36)."""
    server, lines = serve(behaviours.refuse(POISON, close=close)), with_poison(1000, 617)
    with Sending(server, **TIMES if close else SILENT) as sending:
        sending.put(*lines[:900], steps=4)
        for line in lines[900:]:  # more than can be on their way together
            sending.put(line)
        sending.until(lambda: len(sending.lines) == 999, timeout=30.0)

        assert sending.refused_lines == [lines[617]]
        assert sending.lines == clean(lines)
        assert set(acked(server)) == set(clean(lines))
        assert not close or acked(server) == clean(lines)
        assert not sending.sender.in_flight


@pytest.mark.parametrize(
    ("places", "compress"),
    [([0], "none"), ([0, 5, 11, 17], "gzip"), ([4, 5, 6, 7, 8, 9, 10, 11], "none")],
    ids=["the first", "here and there", "in a row"],
)
def test_where_the_refused_lines_are(serve, places, compress):
    """The very first line, several in a row, several here and there: each is refused for itself, in its turn (S36)."""
    server, lines = serve(behaviours.refuse(POISON)), with_poison(60, *places)
    with Sending(server, compress=compress, **TIMES) as sending:
        sending.put(*lines[:10], steps=2)
        sending.put(*lines[10:])
        sending.until(lambda: len(sending.lines) == 60 - len(places), timeout=20.0)

        assert sending.refused_lines == [lines[place] for place in places]
        assert acked(server) == sending.lines == clean(lines)


def test_the_last_line_waits_for_another_one(serve):
    """A refused line with nothing behind it holds up nothing, and is judged when later lines come (S36)."""
    server, lines = serve(behaviours.refuse(POISON)), with_poison(3, 2)
    with Sending(server, **TIMES) as sending:
        sending.put(*lines)
        sending.until(lambda: sending.sender.connects >= 20)
        assert (sending.lines, sending.refused) == (lines[:2], [])

        sending.put(b"later", b"and later", b"and later than that")
        sending.until(lambda: len(sending.lines) == 5)
        assert sending.refused_lines == lines[2:]


def test_a_line_too_long_for_the_server(serve):
    """A line above the server's limit, which closes before it has read it, is refused; shorter ones are not (S28)."""
    server, lines = serve(behaviours.buffer_limit(5000)), numbered(1, 6)
    lines[2] = lines[2].ljust(12_000_000, b".")
    with Sending(server, **TIMES) as sending:
        sending.put(*lines)
        sending.until(lambda: len(sending.lines) == 5)

        assert sending.refused_lines == [lines[2]]
        assert set(acked(server)) == set(lines[:2] + lines[3:])


# -- several servers ----------------------------------------------------------------------------------


def test_one_server_takes_it(serve):
    """What one server refuses goes to another one, be it a secondary (S36)."""
    picky, good, lines = serve(behaviours.refuse(POISON)), serve(), with_poison(8, 3)
    with Sending(picky, secondary=[good], **TIMES) as sending:
        sending.put(*lines)
        sending.until(lambda: len(sending.lines) == 8)

        assert sending.refused == []
        assert lines[3] in good.lines(acked=True)


def test_all_servers_must_refuse_it(serve):
    """Every server is asked, secondaries included, and what each did is told (S36)."""
    servers = [serve(behaviours.refuse(POISON, close=close)) for close in (True, True, False)]
    lines = with_poison(30, 3)
    with Sending(*servers[:2], secondary=servers[2:], **SILENT) as sending:
        sending.put(*lines)
        sending.until(lambda: len(sending.lines) == 29, timeout=20.0)

        assert sending.refused_lines == [lines[3]]
        reasons = {server.port: reason for server, reason in sending.refused[0].reasons}
        assert all("it closed the connection" in reasons[server.port] for server in servers[:2])
        assert "no ack within 0.3 s" in reasons[servers[2].port]
        for server in servers:
            alone = [one for one in server.chunks if one.lines() == [lines[3]]]
            assert len(alone) >= trial.ALONE_TRIES + trial.REFUSALS


def test_a_server_that_is_down_is_waited_for(serve, monkeypatch):
    """A server that cannot be reached has not refused: it is waited for, but not for ever (S36)."""
    monkeypatch.setattr(trial, "UNREACHED_LIMIT", 1.5)
    picky, down, lines = serve(behaviours.refuse(POISON)), serve(listening=False), with_poison(30, 3)
    with Sending(picky, secondary=[down], **TIMES) as sending:
        begin = time.monotonic()
        sending.put(*lines)
        sending.until(lambda: sending.refused)
        assert time.monotonic() - begin >= 1.5

        sending.until(lambda: len(sending.lines) == 29)
        assert {server.port: reason for server, reason in sending.refused[0].reasons}[down.port] == ""
        assert acked(picky) == clean(lines)


def test_long_waits_are_not_for_trials(serve, monkeypatch):
    """However long the configured waits may become, a trial comes to its end (S36)."""
    monkeypatch.setattr(trial, "UNREACHED_LIMIT", 1.0)
    monkeypatch.setattr(sender, "TRIAL_WAIT", 0.02)
    picky, down, lines = serve(behaviours.refuse(POISON)), serve(listening=False), with_poison(30, 0)
    with Sending(picky, secondary=[down], **TIMES) as sending:
        sending.put(*lines)
        sending.until(lambda: sending.sender._dispatch.on_trial)
        sending.sender._backoff = Backoff(3600.0, 10_000.0, random.Random(0))
        sending.until(lambda: len(sending.lines) == 29)

        assert sending.refused_lines == lines[:1]


def test_a_server_that_comes_back_takes_it(serve, monkeypatch):
    """The server that was waited for is back in time, and takes what the other one refuses (S36)."""
    monkeypatch.setattr(trial, "UNREACHED_LIMIT", 30.0)
    picky, down, lines = serve(behaviours.refuse(POISON)), serve(listening=False), with_poison(30, 3)
    with Sending(picky, secondary=[down], **TIMES) as sending:
        sending.put(*lines)
        sending.until(lambda: picky.lines().count(lines[3]) >= 9)
        sending.run(0.3)
        assert len(sending.lines) == 3

        down.restart(ack_all)
        sending.until(lambda: len(sending.lines) == 30)
        assert sending.refused == []


def test_a_server_that_recovers_takes_it(serve):
    """A limit that is raised while the record is on trial ends the trial (S28)."""
    server, lines = serve(behaviours.refuse(POISON)), with_poison(30, 3)
    with Sending(server, **TIMES) as sending:
        sending.put(*lines)
        sending.until(lambda: [one.lines() for one in server.chunks].count([lines[3]]) >= 4)
        server.restart(ack_all)
        sending.until(lambda: len(sending.lines) == 30)

        assert sending.refused == []


# -- outages ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "outage",
    [
        pytest.param(behaviours.close_at_once, id="proxy without back ends"),
        pytest.param(behaviours.reset_at_once, id="proxy that resets"),
        pytest.param(behaviours.close_after(0), id="reads a chunk and closes"),
        pytest.param(behaviours.refuse(b"line"), id="everything is poison"),
        pytest.param(behaviours.no_ack, id="overload without acks"),
        pytest.param(behaviours.wrong_ack, id="nonsense"),
    ],
)
def test_an_outage_is_no_refusal(serve, outage, monkeypatch):
    """However long servers acknowledge nothing, nothing is refused; afterwards all lines arrive, once (S13, S15, S36)."""
    monkeypatch.setattr(trial, "UNREACHED_LIMIT", 0.2)
    servers, lines = [serve(outage), serve(outage)], with_poison(40, 0, 7)
    is_silent = outage is behaviours.no_ack
    with Sending(*servers, **SILENT | {"ack_response_timeout": 0.1 if is_silent else 10.0}) as sending:
        sending.put(*lines[:20], steps=2)
        sending.put(*lines[20:])
        sending.until(lambda: sending.sender.connects >= (35 if is_silent else 60), timeout=30.0)
        sending.run(0.3)
        assert (sending.refused, sending.delivered) == ([], [])

        for server in servers:
            server.restart(ack_all)
        sending.until(lambda: len(sending.lines) == 40)
        assert sending.refused == []
        stored = acked(servers[0]) + acked(servers[1])
        assert set(stored) == set(lines)
        assert is_silent or sorted(stored) == sorted(lines)


def test_an_outage_keeps_the_order(serve):
    """The record on trial is tried first and alone, so that lines seldom overtake it when a server is back (S15)."""
    server, lines = serve(behaviours.close_after(0)), numbered(1, 40)
    with Sending(server, reconnect_wait_max=0.005) as sending:
        sending.put(*lines)
        sending.until(lambda: sending.sender.connects >= 40, timeout=30.0)
        last = [one.lines() for one in server.chunks][-30:]
        assert sum(one != lines[:1] for one in last) <= 3

        server.restart(ack_all)
        sending.until(lambda: len(sending.lines) == 40)
        assert lines[0] in server.lines(acked=True)[:2]
        assert sending.lines == lines


@pytest.mark.parametrize("close", [True, False], ids=["closes", "says-nothing"])
def test_without_acks_nothing_is_refused(serve, close):
    """A server that acknowledges nothing by agreement can refuse nothing (S36)."""
    server, lines = serve(behaviours.refuse(POISON, close=close)), with_poison(10, 3)
    with Sending(server, require_ack_response=False, **SILENT) as sending:
        for line in lines:
            sending.put(line)
        sending.until(lambda: len(sending.delivered) == 10)

        assert sending.refused == []


def test_our_own_reconnects_are_no_refusals(serve):
    """HUP and renewals while the record is on its way end no connection in a way that would count (S36)."""
    server, lines = serve(behaviours.refuse(POISON, close=False)), with_poison(30, 3)
    with Sending(
        server, ack_response_timeout=20.0, keepalive_timeout=0.05, reconnect_wait_max=0.02
    ) as sending:
        sending.put(*lines)
        for _ in range(40):
            sending.sender.reconnect(time.monotonic())
            sending.run(0.02)

        assert sending.refused == []
        assert sending.sender.in_flight.head.count == 30, "it is not even suspected"


def test_messages_wait_for_the_end_of_a_trial(serve):
    """A ping goes before or after a record on trial, never beside it: it must not be what the server dislikes (S36)."""
    server, lines = serve(behaviours.refuse(POISON)), with_poison(30, 3)
    with Sending(server, **TIMES) as sending:
        sending.put(*lines)
        sending.until(lambda: sending.sender._dispatch.on_trial and sending.sender.is_connected)
        assert sending.sender.send_message(b"\x93\xa4ping\xce\x00\x00\x00\x01\x80")
        sending.until(lambda: len(sending.lines) == 29)

        server.wait_for(lambda: any(one.tag == "ping" for one in server.chunks))
        tags = [one.tag for one in server.chunks]
        assert tags.count("ping") == 1
        assert all(one.lines() != [lines[3]] for one in server.chunks[tags.index("ping") :])


def test_stopped_while_a_silent_server_drops_a_record(tmp_path):
    """
    A server that drops a record silently and takes all others, as Fluentd above its limit, gets nothing twice, also if
    the worker is stopped and started before the record is in its letter (S28, S34).
    """
    record = b"x" * 300_000
    lines = [*numbered(1, 500), record, *numbered(501, 1100)]
    with ScriptedServer(behaviours.size_limit(200_000, close=False)) as server:
        forward = forward_settings([server], ack_response_timeout=0.3, reconnect_wait_max=0.5)
        worker = Worker(tmp_path, forward)
        worker.write(*lines)
        with worker:
            eventually(lambda: worker.position() == size_of(lines[:500]))
            worker.stop()
            worker.start()
            eventually(lambda: worker.position() == size_of(lines), timeout=60.0)
            worker.stop()
        assert sorted(server.lines(acked=True)) == sorted(one for one in lines if one is not record)
        (letter,) = (tmp_path / "state" / "dead-letters").iterdir()
        assert record in letter.read_bytes()
