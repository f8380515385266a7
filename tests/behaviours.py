"""
Servers good and bad, for :class:`servers.ScriptedServer`: functions of a connection, or makers of such.

Rows of the list of failures that one provokes stand in its docstring.
"""

from __future__ import annotations

import socket

from servers import Behaviour, Connection
from servers import ack_all as ack_all


def no_ack(connection: Connection) -> None:
    """Reads everything and acknowledges nothing (S03, S13)."""
    for _ in connection.chunks():
        pass


def hold(connection: Connection) -> None:
    """Accepts, and neither reads nor writes: a server that hangs, or does not speak first (S09, S24)."""
    connection.hold()


def close_at_once(connection: Connection) -> None:
    """Closes what it accepts, without reading: a proxy without back ends (S15)."""


def reset_at_once(connection: Connection) -> None:
    """The same with RST (S12)."""
    connection.reset()


def wrong_ack(connection: Connection) -> None:
    """Answers each chunk with the ack of another one (S04)."""
    for arrived in connection.chunks():
        connection.send_message({"ack": f"not {arrived.id!r}"})


def unknown_ack(connection: Connection) -> None:
    """Sends an ack that nobody waits for, behind each right one (S04)."""
    for arrived in connection.chunks():
        connection.ack(arrived)
        connection.send_message({"ack": "of another client"})


def ack_twice(connection: Connection) -> None:
    """Acknowledges each chunk two times."""
    for arrived in connection.chunks():
        connection.ack(arrived, arrived)


def garbage(connection: Connection) -> None:
    """Answers with bytes that are no msgpack."""
    if connection.next_chunk():
        connection.send(b"\xc1" * 8)
        connection.wait_for_end()


def ack_in_single_bytes(connection: Connection) -> None:
    """Sends each ack byte for byte, in packets of one (S05)."""
    for arrived in connection.chunks():
        arrived.acked = True
        for byte in connection.ack_bytes(arrived):
            connection.send(bytes([byte]))
            connection.pause(0.001)


def acks_joined(count: int, *, backwards: bool = False) -> Behaviour:
    """Collects *count* chunks, then sends all their acks in one write, if wanted the last one first (S05)."""

    def behave(connection: Connection) -> None:
        while arrived := [one for _ in range(count) if (one := connection.next_chunk(idle=1.0))]:
            connection.ack(*(reversed(arrived) if backwards else arrived))

    return behave


def late_ack(seconds: float) -> Behaviour:
    """Acknowledges each chunk so much later (S04)."""

    def behave(connection: Connection) -> None:
        for arrived in connection.chunks():
            connection.pause(seconds)
            connection.ack(arrived)

    return behave


def close_in_ack(after: int = 0) -> Behaviour:
    """Acknowledges *after* chunks, then sends half an ack and closes (S02, S05)."""

    def behave(connection: Connection) -> None:
        _ack_some(connection, after)
        if arrived := connection.next_chunk():
            ack = connection.ack_bytes(arrived)
            connection.send(ack[: len(ack) // 2])

    return behave


def close_after(count: int, *, reset: bool = False) -> Behaviour:
    """Acknowledges *count* chunks, reads one more and closes without a word, or with RST (S02, S06, S12)."""

    def behave(connection: Connection) -> None:
        _ack_some(connection, count)
        connection.next_chunk()
        if reset:
            connection.reset()

    return behave


def close_in_chunk(size: int, *, reset: bool = False) -> Behaviour:
    """Reads *size* bytes, somewhere in a chunk, and closes; with unread bytes that is a reset anyway (S11)."""

    def behave(connection: Connection) -> None:
        while len(connection.received) < size and connection.read(size - len(connection.received)):
            pass
        if reset:
            connection.reset()

    return behave


def close_when_idle(seconds: float, *, reset: bool = False) -> Behaviour:
    """A good server that closes when nothing has come for a while (S08)."""

    def behave(connection: Connection) -> None:
        while arrived := connection.next_chunk(idle=seconds):
            connection.ack(arrived)
        if reset:
            connection.reset()

    return behave


def read_slowly(size: int, seconds: float) -> Behaviour:
    """Reads *size* bytes, rests, and so on; acknowledges what is whole (S10, S31)."""

    def behave(connection: Connection) -> None:
        _shrink_buffer(connection)
        connection.read_size, connection.rest = size, seconds
        ack_all(connection)

    return behave


def stop_reading(after: int = 0) -> Behaviour:
    """Acknowledges *after* chunks, then never reads again (S09)."""

    def behave(connection: Connection) -> None:
        _shrink_buffer(connection)
        _ack_some(connection, after)
        connection.hold()

    return behave


def size_limit(size: int, *, close: bool) -> Behaviour:
    """Drops a message above *size* bytes: closes, as Fluent Bit, or says nothing, as Fluentd (S28, S36)."""

    def behave(connection: Connection) -> None:
        for arrived in connection.chunks():
            if len(arrived.message) <= size:
                connection.ack(arrived)
            elif close:
                return

    return behave


def buffer_limit(size: int) -> Behaviour:
    """Closes as soon as it has more than *size* bytes of an unfinished message, unread bytes and all (S28)."""

    def behave(connection: Connection) -> None:
        while arrived := connection.next_chunk(most=size):
            connection.ack(arrived)

    return behave


def refuse(*words: bytes, close: bool = True) -> Behaviour:
    """Takes all chunks but those with a line that has one of *words*: closes, or says nothing (S36)."""

    def behave(connection: Connection) -> None:
        for arrived in connection.chunks():
            if not any(word in line for line in arrived.lines() for word in words):
                connection.ack(arrived)
            elif close:
                return

    return behave


def send_for_ever(connection: Connection, data: bytes, rest: float = 0.0) -> None:
    """Send *data* again and again, *rest* seconds apart, for as long as somebody is there."""
    while not connection.server.stopping.is_set():
        try:
            connection.socket.send(data)
        except TimeoutError:
            continue
        except OSError:
            return
        connection.pause(rest)


def drip(begin: bytes) -> Behaviour:
    """Sends *begin* and then a byte now and then, whatever comes (S24)."""

    def behave(connection: Connection) -> None:
        connection.send(begin)
        send_for_ever(connection, b"x", 0.01)

    return behave


def no_pong(connection: Connection) -> None:
    """Sends HELO, reads the PING and says no more (S24); needs security."""
    connection.send(connection.session.take_output())
    connection.wait_for_end()


def close_after_ping(connection: Connection) -> None:
    """Sends HELO, reads the PING and closes, as many refuse a wrong key (S26); needs security."""
    connection.send(connection.session.take_output())
    connection.read()


def answer_ping(*pong: object) -> Behaviour:
    """
    Sends HELO and answers the PING with ``["PONG", *pong]``, whatever it was (S26); needs security.

    ``answer_ping(True, "", "server", "0" * 128)`` is an impostor who does not know the key.
    """

    def behave(connection: Connection) -> None:
        connection.send(connection.session.take_output())
        if connection.read():
            connection.send_message(["PONG", *pong])
            connection.wait_for_end()

    return behave


def _ack_some(connection: Connection, count: int) -> None:
    for _ in range(count):
        connection.ack(connection.next_chunk())


def _shrink_buffer(connection: Connection) -> None:
    # Else the kernel takes megabytes off the client's hands before it notices.
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
