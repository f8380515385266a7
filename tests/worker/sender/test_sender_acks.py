"""Only an ack delivers: what is sent again, when, and in which form."""

from __future__ import annotations

import time
from itertools import pairwise

import behaviours
import msgpack
import pytest
from behaviours import ack_all
from sending import Sending, numbered


def arrived_once(server, sending, *lines):
    """All *lines* were stored once, in order, and count as delivered."""
    assert server.lines() == list(lines)
    assert sending.lines == list(lines)


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(behaviours.ack_in_single_bytes, id="single-bytes"),
        pytest.param(behaviours.acks_joined(4), id="joined"),
        pytest.param(behaviours.acks_joined(4, backwards=True), id="joined-backwards"),
        pytest.param(behaviours.late_ack(0.02), id="late"),
    ],
)
def test_forms_of_acks(serve, behaviour):
    """However acks are cut, joined or ordered, each chunk is delivered once, and in order (S05)."""
    server, lines = serve(behaviour), numbered(1, 8)
    with Sending(server) as sending:
        for line in lines:
            sending.put(line)
        sending.until(lambda: len(sending.delivered) == 8)

        arrived_once(server, sending, *lines)
        assert sending.sender.connects == 1


def test_acks_in_any_order_deliver_in_order(serve):
    """A chunk acknowledged before its predecessors is delivered after them, and takes up its place until then."""
    acked, allowed = [], [True]

    def backwards(connection):
        chunks = [connection.next_chunk() for _ in range(3)]
        for chunk in reversed(chunks):
            while len(allowed) <= len(acked) and not connection.server.stopping.is_set():
                connection.pause(0.01)
            connection.ack(chunk)
            acked.append(chunk.id)

    server = serve(backwards)
    with Sending(server, max_in_flight=3) as sending:
        ids = [sending.put(line).id for line in numbered(1, 3)]
        for count in (1, 2):
            sending.until(lambda count=count: len(acked) == count)
            sending.run(0.05)
            assert (sending.delivered, len(sending.sender.in_flight)) == ([], 3)
            allowed.append(True)
        sending.until(lambda: len(acked) == len(sending.delivered) == 3)

        assert [chunk.id for chunk in sending.delivered] == ids
        assert acked == ids[::-1]


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_max_in_flight(serve, limit):
    """No more than max_in_flight chunks wait for acks, and that many do."""
    server = serve(behaviours.no_ack)
    with Sending(server, max_in_flight=limit) as sending:
        for line in numbered(1, 9):
            sending.put(line)
        sending.until(lambda: len(server.chunks) == limit)
        sending.run(0.1)

        assert (len(server.chunks), len(sending.queue)) == (limit, 9 - limit)


def test_many_small_chunks_in_flight(serve):
    """Hundreds of small chunks in the same segments, read in odd pieces, arrive once and in order (S29)."""

    def in_odd_pieces(connection):
        connection.read_size = 1009
        ack_all(connection)

    server, lines = serve(in_odd_pieces), numbered(1, 500)
    with Sending(server, max_in_flight=64) as sending:
        for line in lines:
            sending.put(line)
        sending.until(lambda: len(sending.delivered) == 500)

        arrived_once(server, sending, *lines)


def test_chunk_of_many_pieces(serve):
    """A chunk may consist of more pieces than one system call takes."""
    server, lines = serve(), numbered(1, 3000)
    with Sending(server) as sending:
        sending.put(*lines, steps=3000)
        sending.until(lambda: sending.delivered)

        arrived_once(server, sending, *lines)
        assert sending.sender.connects == 1


# -- what is no ack -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(behaviours.close_after(0), id="end-of-file"),
        pytest.param(behaviours.close_after(0, reset=True), id="reset"),
        pytest.param(behaviours.close_in_ack(), id="end-of-file-in-the-ack"),
        pytest.param(behaviours.wrong_ack, id="ack-of-another-chunk"),
        pytest.param(behaviours.garbage, id="garbage"),
    ],
)
def test_whatever_is_no_ack_is_no_delivery(serve, first):
    """
    When anything but its ack comes, a chunk was not delivered: the connection is closed, and the chunk goes again
    on another one, with the same id and the same bytes (S02, S04, S06).
    """
    server = serve([first, ack_all])
    with Sending(server) as sending:
        chunk = sending.put(b"a", b"b", steps=2)
        sending.until(lambda: sending.delivered)

        assert [(one.id, one.connection) for one in server.chunks] == [(chunk.id, 0), (chunk.id, 1)]
        assert server.chunks[0].message == server.chunks[1].message == b"".join(chunk.buffers)
        assert sending.sender.in_flight.resent == 1
        assert sending.lines == [b"a", b"b"]


@pytest.mark.parametrize("again", [True, False], ids=["ack-twice", "another-ack-behind-it"])
def test_an_ack_before_a_surprise_counts(serve, again):
    """
    A chunk whose ack came is delivered, and not sent again, whatever the server sends behind the ack in the same
    packet; only the connection is given up (S04).
    """

    def acks_and_more(connection):
        for arrived in connection.chunks():
            ack, arrived.acked = connection.ack_bytes(arrived), True
            connection.send(ack + (ack if again else msgpack.packb({"ack": "of another client"})))
            connection.wait_for_end()

    server, lines = serve(acks_and_more), numbered(1, 5)
    with Sending(server, max_in_flight=1) as sending:
        for line in lines:
            sending.put(line)
        sending.until(lambda: len(sending.delivered) == 5)

        arrived_once(server, sending, *lines)
        assert sending.sender.connects >= 5


def test_only_what_is_unacknowledged_is_sent_again(serve):
    """After a broken connection all chunks without ack go again, in order, and only those (S02, S06)."""

    def second_and_fourth(connection):
        chunks = [connection.next_chunk() for _ in range(4)]
        connection.ack(chunks[1], chunks[3])
        connection.pause(0.1)

    server, lines = serve([second_and_fourth, ack_all]), numbered(1, 4)
    with Sending(server) as sending:
        for line in lines:
            sending.put(line)
        sending.until(lambda: len(sending.delivered) == 4)

        assert server.lines() == [*lines, lines[0], lines[2]]
        assert sending.lines == lines


def test_reset_with_an_ack_in_flight(serve):
    """An ack that came before the server's RST counts; where it was lost, the chunk goes again (S12)."""

    def ack_and_reset(connection):
        connection.ack(connection.next_chunk())
        connection.reset()

    server, lines = serve([ack_and_reset] * 10 + [ack_all]), numbered(1, 20)
    with Sending(server, max_in_flight=2) as sending:
        for line in lines:
            sending.put(line)
        sending.until(lambda: len(sending.delivered) == 20)

        assert sending.lines == lines
        assert list(dict.fromkeys(server.lines())) == lines
        assert len(server.chunks) <= 20 + sending.sender.in_flight.resent


def test_broken_in_the_middle_of_a_chunk(serve):
    """What was broken off begins again with its first byte, on a new connection (S11)."""
    server = serve(
        [behaviours.close_in_chunk(100_000), behaviours.close_in_chunk(300_000, reset=True), ack_all]
    )
    with Sending(server) as sending:
        chunk = sending.put(*numbered(1, 2000, size=1000), steps=20)
        sending.until(lambda: sending.delivered)

        message = b"".join(chunk.buffers)
        assert [len(c.received) for c in server.connections] == [100_000, 300_000, len(message)]
        assert all(message.startswith(bytes(connection.received)) for connection in server.connections)


def test_connection_that_ends_while_chunks_are_sent_again(serve):
    """A server that closes at once, with several chunks waiting for it, breaks nothing but the connection (S15)."""
    server, lines = serve([behaviours.no_ack, *[behaviours.close_at_once] * 4, ack_all]), numbered(1, 4)
    with Sending(server, ack_response_timeout=0.4) as sending:
        for line in lines:
            sending.put(line)
        sending.until(lambda: len(sending.delivered) == 4)

        assert sending.lines == lines
        assert server.lines(acked=True) == lines


# -- acks that do not come ----------------------------------------------------------------------------


def test_overdue_ack(serve):
    """A chunk without ack goes to another server when the time is up, not before (S03)."""
    mute, good = serve(behaviours.no_ack), serve()
    with Sending(mute, secondary=[good], ack_response_timeout=0.3) as sending:
        sending.put(b"a")
        begin = time.monotonic()
        sending.until(lambda: sending.delivered)

        assert 0.3 <= time.monotonic() - begin < 1.0
        assert (mute.lines(), good.lines()) == ([b"a"], [b"a"])
        assert good.ids() == mute.ids()


def test_server_that_never_acks_is_named(serve, said):
    """After three overdue acks in a row one error names the server and the remedy, and it ends with an ack (S03)."""
    server = serve(behaviours.no_ack)
    with Sending(server, ack_response_timeout=0.1, max_in_flight=1) as sending:
        sending.put(b"a")
        sending.until(lambda: len(server.chunks) >= 3)
        assert not any("require_ack_response" in text for text in said("ERROR"))
        sending.until(lambda: len(server.chunks) >= 6)
        (error,) = [text for text in said() if "require_ack_response = false" in text]
        assert error.startswith(f"{server.address}: it takes chunks but has acknowledged none of the last 3")
        assert "require_ack_response = false" in sending.sender.trouble

        server.behave(ack_all)
        sending.until(lambda: sending.delivered)
        assert sending.sender.trouble == ""
        assert f"{server.address}: it acknowledges again" in said("WARNING")


def test_overdue_acks_with_others_between_them(serve, said):
    """A server that acknowledges now and then is not said to acknowledge nothing: only overdue acks in a row count."""

    def one_ack_on_every_other_connection(connection):
        if connection.index % 2:
            connection.ack(connection.next_chunk())
        behaviours.no_ack(connection)

    server = serve(one_ack_on_every_other_connection)
    with Sending(server, ack_response_timeout=0.3, reconnect_wait_max=0.01, max_in_flight=1) as sending:
        for line in numbered(1, 3):
            sending.put(line)
        sending.until(lambda: len(sending.delivered) == 3)

        assert sending.sender.in_flight.resent >= 5
        assert not any("require_ack_response" in text for text in said("ERROR"))


def test_repetitions_to_a_server_that_never_acks_are_bounded(serve):
    """A server that stores and never acks gets fewer repetitions as time passes (S03)."""
    server = serve(behaviours.no_ack)
    with Sending(
        server, ack_response_timeout=0.05, reconnect_wait_max=60.0, reconnect_wait_incr_rate=4.0
    ) as sending:
        sending.put(b"a")
        sending.run(2.0)

    # Waits of 0.25 s, 1 s and 4 s at least, each behind a time-out.
    assert 2 <= len(server.chunks) <= 3


def test_late_ack(serve):
    """An ack that comes too late is never that of the next chunk, nor of the repetition (S04)."""
    acked = []

    def too_late(connection):
        chunk = connection.next_chunk()
        connection.pause(0.8)
        connection.ack(chunk)
        acked.append(chunk.id)
        connection.wait_for_end()

    server = serve([too_late, behaviours.no_ack, ack_all])
    with Sending(server, ack_response_timeout=0.4, max_in_flight=1) as sending:
        sending.put(b"a")
        sending.put(b"b")
        sending.until(lambda: acked)
        sending.run(0.05)
        assert sending.delivered == []

        sending.until(lambda: len(sending.delivered) == 2)
        assert server.lines(acked=True)[-2:] == [b"a", b"b"]
        assert [one.connection for one in server.chunks] == [0, 1, 2, 2]


def test_server_that_no_longer_stores(serve):
    """A server that takes bytes and does not store them delivers nothing; its successor gets all of it (S13)."""
    server, lines = serve(behaviours.no_ack), numbered(1, 10)
    with Sending(server) as sending:
        for line in lines:
            sending.put(line)
        sending.until(lambda: len(server.chunks) == 4)
        sending.run(0.1)
        assert sending.delivered == []

        server.restart(ack_all)
        sending.until(lambda: len(sending.delivered) == 10)
        assert server.lines(acked=True) == sending.lines == lines


# -- chunks that a server does not take ---------------------------------------------------------------


@pytest.mark.parametrize("close", [True, False], ids=["closes", "says-nothing"])
def test_chunk_above_the_servers_limit(serve, said, close):
    """
    A chunk that a server refuses three times, by closing or by saying nothing, goes in parts that it takes; what
    follows is not held up for ever, and nothing is stored twice (S28).
    """
    server = serve(behaviours.size_limit(2500, close=close))
    lines = numbered(1, 90, size=100)
    with Sending(server, ack_response_timeout=0.25) as sending:
        sending.put(*lines[:80], steps=8)
        sending.put(*lines[80:])
        sending.until(lambda: len(sending.lines) == 90)

        assert sending.lines == lines
        assert sorted(server.lines(acked=True)) == lines
        assert server.ids().count(server.ids()[0]) == 3
        assert len(set(server.ids())) == 1 + 2 + 4 + 1
        assert any("(80 lines, " in text and "3 times in a row" in text for text in said("WARNING"))


def test_parts_keep_order_and_ids(serve):
    """A chunk is cut between its steps; the parts have ids of their own, which stay when they are sent again (S28)."""
    server = serve([behaviours.close_after(0)] * 4 + [ack_all])
    with Sending(server) as sending:
        whole = sending.put(b"a", b"b", b"c", steps=3)
        sending.until(lambda: len(sending.lines) == 3)

        assert sending.lines == [b"a", b"b", b"c"]
        part, rest = (chunk.id for chunk in sending.delivered)
        assert server.ids() == [whole.id] * 3 + [part, part, rest]
        assert all(a.message == b.message for a, b in pairwise(server.chunks) if a.id == b.id)


def test_failures_of_different_chunks_split_none(serve):
    """Only failures of the same chunk in a row cut it: a server that loses every other ack gets whole chunks."""
    server = serve(behaviours.close_after(1))
    with Sending(server, max_in_flight=1) as sending:
        ids = [sending.put(b"a%d" % number, b"b", steps=2).id for number in range(6)]
        sending.until(lambda: len(sending.delivered) == 6)

        assert [chunk.id for chunk in sending.delivered] == ids


# -- without acks -------------------------------------------------------------------------------------


def test_without_acks(serve):
    """Without acks a chunk asks for none, and is delivered when the kernel has all of its bytes."""
    server = serve(behaviours.no_ack)
    with Sending(server, require_ack_response=False) as sending:
        sending.deliver(b"a")
        sending.deliver(b"b")

        server.wait_for(lambda: server.lines() == [b"a", b"b"])
        assert server.ids() == [None, None]


def test_without_acks_a_closed_connection_takes_nothing(serve):
    """Without acks the connection is looked at before each write: what it has closed gets no chunk (S08)."""
    server = serve([behaviours.close_when_idle(0.05), ack_all])
    with Sending(server, require_ack_response=False) as sending:
        sending.deliver(b"a")
        server.wait_for(lambda: server.connections and server.connections[0].socket.fileno() < 0)
        sending.put(b"b")  # the loop has not turned since
        sending.sender.send(sending.queue.popleft(), time.monotonic())
        sending.until(lambda: len(sending.delivered) == 2)

        server.wait_for(lambda: server.lines() == [b"a", b"b"])
        assert [one.connection for one in server.chunks] == [0, 1]
