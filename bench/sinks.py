"""Servers at the other end, each in a process of its own whose cost is not counted."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.certificate import Certificate
from bench.children import BenchError, Child, Tell
from bench.loops import HOST
from fluentlite.config.model import Server
from fluentlite.core.decode import Reading, ReceivedChunk
from fluentlite.forward_server import RECEIVE_SIZE, Receiver
from fluentlite.tls.context import server_context

FIELD = "message"


@dataclass(frozen=True, slots=True)
class Arrival:
    """What came in on one connection; *began* and *ended* are ``time.monotonic()`` of connect and last byte."""

    lines: int
    bytes: int
    began: float
    ended: float


class Sink:
    """A server in a child process. Its reports, in this order: port, "connected", the result, the rest."""

    def __init__(self, name: str, serve: Callable[[Tell], None]) -> None:
        self._child = Child(name, serve)
        try:
            self.port: int = self._child.receive()
        except BaseException:
            self._child.kill()
            raise

    def wait_connected(self) -> None:
        """Return once a client is there."""
        if self._child.receive() != "connected":
            raise BenchError(f"{self._child.name}: something came before the connection")

    def result(self) -> Arrival:
        """Return what came in, once that is all that was expected, or the client is gone."""
        arrival: Arrival = self._child.receive()
        return arrival

    def has_result(self, timeout: float) -> bool:
        """Wait up to *timeout* seconds for ``result``."""
        return self._child.has_report(timeout)

    def latencies(self) -> list[float]:
        """Return milliseconds, one for each line (for a sink that keeps them)."""
        found: list[float] = self._child.receive()
        return found

    def __enter__(self) -> Sink:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._child.kill()


def raw_sink() -> Sink:
    """Receive and forget; the result comes when the client has closed. It tells no lines."""
    return Sink("the sink of bytes", _serve_raw)


def forward_sink(
    lines: int, reading: Reading = Reading.COUNT, certificate: Certificate | None = None
) -> Sink:
    """
    Speak the Forward protocol, over TLS if there is a *certificate*, and acknowledge.

    The result comes with the last of *lines*; a second one when the client has gone, to show doubles.
    """
    return Sink("the Forward server", lambda tell: _serve_forward(lines, reading, certificate, tell))


def stamp_sink(lines: int, *, as_forward: bool) -> Sink:
    """Note how old each of *lines* lines is, by the ``time.monotonic_ns()`` that it begins with."""
    return Sink("the sink of stamps", lambda tell: (_stamps_forward if as_forward else _stamps_raw)(lines, tell))  # fmt: skip


def _serve_raw(tell: Tell) -> None:
    with socket.create_server((HOST, 0)) as listener:
        tell(listener.getsockname()[1])
        client, _ = listener.accept()
    tell("connected")
    began = ended = time.monotonic()
    buffer, size = bytearray(RECEIVE_SIZE), 0
    while count := client.recv_into(buffer):
        size += count
        ended = time.monotonic()
    tell(Arrival(0, size, began, ended))


def _serve_forward(lines: int, reading: Reading, certificate: Certificate | None, tell: Tell) -> None:
    with _receiver(lambda _chunk: None, reading, tell, certificate) as receiver:
        seen, began = receiver.counters, time.monotonic()
        while seen.events < lines and receiver.open_connections:
            receiver.poll()
        ended = time.monotonic()
        tell(Arrival(seen.events, seen.bytes, began, ended))
        while receiver.open_connections:
            receiver.poll()
        tell(Arrival(seen.events, seen.bytes, began, ended))


def _stamps_forward(lines: int, tell: Tell) -> None:
    ages: list[float] = []

    def note(chunk: ReceivedChunk) -> None:
        now = time.monotonic_ns()
        ages.extend(_age(event.record[FIELD], now) for event in chunk.events)

    with _receiver(note, Reading.DECODE, tell) as receiver:
        while len(ages) < lines and receiver.open_connections:
            receiver.poll()
    tell(ages)


def _stamps_raw(lines: int, tell: Tell) -> None:
    ages: list[float] = []
    with socket.create_server((HOST, 0)) as listener:
        tell(listener.getsockname()[1])
        client, _ = listener.accept()
    tell("connected")
    rest = b""
    while len(ages) < lines and (data := client.recv(RECEIVE_SIZE)):
        now = time.monotonic_ns()
        *whole, rest = (rest + data).split(b"\n")
        ages += [_age(line, now) for line in whole]
    tell(ages)


def _receiver(
    on_chunk: Callable[[ReceivedChunk], None],
    reading: Reading,
    tell: Tell,
    certificate: Certificate | None = None,
) -> Receiver:
    """Return a Forward server that has its first client; a refused one is a bug, and ends the sink."""

    def refuse(problem: str) -> None:
        raise BenchError(problem)

    tls = server_context(certificate.cert_file, certificate.key_file) if certificate else None
    receiver = Receiver(Server(HOST, 0), on_chunk, reading=reading, tls=tls, on_problem=refuse)
    tell(receiver.address.port)
    while not receiver.open_connections:
        receiver.poll()
    tell("connected")
    return receiver


def _age(line: str | bytes, now_ns: int) -> float:
    return (now_ns - int(line.split(None, 1)[0])) / 1e6
