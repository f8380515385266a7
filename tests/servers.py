"""
A Forward server for tests that does what it is told: a good one, and all the bad ones.

A behaviour is a function that gets a :class:`Connection` and runs in a thread of its own; when it returns,
the connection is closed. It reads as what the server does::

    def second_chunk_without_ack(connection):
        connection.ack(connection.next_chunk())
        connection.next_chunk()
        connection.hold()

    with ScriptedServer([second_chunk_without_ack, ack_all]) as server:
        ...  # the first connection gets the one, all others the other
        server.wait_for(lambda: len(server.lines()) == 100)
        assert server.lines() == expected

``behaviours.py`` has ready-made ones. Nothing waits longer than it is told: every wait ends when the
server is stopped.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import struct
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import msgpack

from fluentlite.core.decode import Event, ReceivedChunk
from fluentlite.core.printing import field_values
from fluentlite.core.server_session import ServerSecurity, ServerSession
from fluentlite.errors import RemoteProtocolError

HOST = "127.0.0.1"
STEP = 0.02
"""Seconds between two looks at whether the server is to stop."""

Behaviour = Callable[["Connection"], None]


@dataclass
class Arrived:
    """One chunk that was read: *message* is its bytes on the wire, *connection* counts from 0."""

    chunk: ReceivedChunk
    message: bytes
    connection: int
    acked: bool = False

    @property
    def id(self) -> str | bytes | None:
        return self.chunk.id

    @property
    def tag(self) -> str:
        return self.chunk.tag

    @property
    def events(self) -> list[Event]:
        return self.chunk.events

    def lines(self, field_name: str = "message") -> list[bytes]:
        return field_values(self.chunk.events, field_name)


class Connection:
    """One client, as its behaviour sees it. Ends of file, resets and the server's stop all look like None."""

    def __init__(self, server: ScriptedServer, sock: socket.socket, index: int) -> None:
        self.server, self.index = server, index
        self.received = bytearray()
        """Everything that was read from the socket."""
        self.session = ServerSession(security=server.security, nonce=os.urandom(16), auth=os.urandom(16))
        self.socket = sock
        self.read_size, self.rest = 65536, 0.0
        """Most bytes in one read, and seconds to rest before it."""

    def next_chunk(self, *, idle: float | None = None, most: int | None = None) -> Arrived | None:
        """
        Read until a chunk is whole, and record it. The handshake, if the server has one, happens on the way.

        Args:
            idle: Give up after so many seconds without a byte.
            most: Give up when so many bytes do not make a whole one.
        """
        while True:
            self.send(self.session.take_output())
            try:
                chunk = self.session.next_chunk()
            finally:
                self.send(self.session.take_output())
            if chunk is not None:
                return self._record(chunk)
            data = self.read(idle=idle)
            if not data:
                return None
            self.session.receive_data(data)
            if most is not None and self.session.unfinished > most:
                return None

    def chunks(self) -> Iterator[Arrived]:
        """Every chunk until the client leaves or the server is stopped."""
        while arrived := self.next_chunk():
            yield arrived

    def read(self, size: int | None = None, *, idle: float | None = None) -> bytes:
        """Read what is there, at most *size* bytes; ``b""`` if the client left, or after *idle* seconds."""
        self.pause(self.rest)
        deadline = time.monotonic() + (1e9 if idle is None else idle)
        while not self.server.stopping.is_set() and time.monotonic() < deadline:
            try:
                data = self.socket.recv(size or self.read_size)
            except TimeoutError:
                continue
            except OSError:
                return b""
            self.received += data
            return data
        return b""

    def ack(self, *arrived: Arrived | None) -> None:
        """Acknowledge the chunks in one write; None is left out."""
        known = [one for one in arrived if one is not None]
        for one in known:
            one.acked = True
        self.send(self.ack_bytes(*known))

    def ack_bytes(self, *arrived: Arrived) -> bytes:
        """What acknowledges the chunks, not yet sent."""
        for one in arrived:
            self.session.acknowledge(one.chunk)
        return self.session.take_output()

    def send(self, data: bytes) -> None:
        """Send all of *data*, unless the client is gone or the server is stopped."""
        while data and not self.server.stopping.is_set():
            try:
                data = data[self.socket.send(data) :]
            except TimeoutError:
                continue
            except OSError:
                return

    def send_message(self, *messages: object) -> None:
        """Send *messages* as msgpack."""
        self.send(b"".join(msgpack.packb(message, unicode_errors="surrogateescape") for message in messages))

    def pause(self, seconds: float) -> None:
        """Do nothing for a while."""
        self.server.stopping.wait(seconds)

    def hold(self) -> None:
        """Keep the connection open and neither read nor write until the server is stopped."""
        self.server.stopping.wait()

    def wait_for_end(self) -> None:
        """Read and forget until the client leaves or the server is stopped."""
        while self.read():
            pass

    def close(self) -> None:
        """Close; what the client has sent and nobody read makes this a reset, as for any server."""
        self.socket.close()

    def reset(self) -> None:
        """Close with RST, as Fluentd does: what is on its way in both directions is lost."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def shake_hands(self, tls: ssl.SSLContext) -> None:
        """Begin with TLS; what the client does not accept is its own affair."""
        self.socket = wrapped = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        while not self.server.stopping.is_set():
            try:
                return wrapped.do_handshake()
            except TimeoutError:
                continue
            except ssl.SSLError:
                self._refuse(wrapped)
                raise
        return None

    def _refuse(self, wrapped: ssl.SSLSocket) -> None:
        """Read what the client has sent, so that the alert which says why is not followed by a reset."""
        self.socket = socket.socket(fileno=wrapped.detach())
        self.socket.settimeout(STEP)
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)
        self.wait_for_end()

    def _record(self, chunk: ReceivedChunk) -> Arrived:
        end = len(self.received) - self.session.unfinished
        arrived = Arrived(chunk, bytes(self.received[end - chunk.size : end]), self.index)
        self.server.record(arrived)
        return arrived


class ScriptedServer:
    """
    A Forward server on a real socket, port 0 unless told otherwise.

    Args:
        behaviour: For every connection; or one for each, of which the last serves all that follow.
        security: Asks for the handshake.
        tls: A server-side context.
        listening: False: the port is only reserved, connects are refused, until :meth:`restart`.

    Attributes:
        chunks: All chunks that were read, in the order of their arrival, over all connections.
        connections: All connections there ever were.
        errors: What went wrong in a behaviour, as text: also what a client sent against the protocol.
        stopping: Set while the server is being stopped.
    """

    def __init__(
        self,
        behaviour: Behaviour | Sequence[Behaviour] | None = None,
        *,
        security: ServerSecurity | None = None,
        tls: ssl.SSLContext | None = None,
        listening: bool = True,
        port: int = 0,
    ) -> None:
        self.behaviours: list[Behaviour] = []
        self.behave(ack_all if behaviour is None else behaviour)
        self.security, self.tls = security, tls
        self.chunks: list[Arrived] = []
        self.connections: list[Connection] = []
        self.errors: list[str] = []
        self.stopping = threading.Event()
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._reset = False
        self._socket = _reserve(port)
        self.port: int = self._socket.getsockname()[1]
        self.listening = False
        if listening:
            self._listen()

    @property
    def address(self) -> str:
        """``host:port``, as it stands in a configuration."""
        return f"{HOST}:{self.port}"

    def behave(self, behaviour: Behaviour | Sequence[Behaviour]) -> None:
        """From the next connection on, behave like this; a list begins with its first."""
        self.behaviours = [behaviour] if callable(behaviour) else list(behaviour)

    def lines(self, field_name: str = "message", *, acked: bool = False) -> list[bytes]:
        """The lines of all chunks that were read (or only those acknowledged), in order, repetitions included."""
        with self._changed:
            return [line for one in self.chunks if one.acked or not acked for line in one.lines(field_name)]

    def ids(self) -> list[str | bytes | None]:
        """The ids of all chunks that were read, in order, repetitions included."""
        with self._changed:
            return [one.id for one in self.chunks]

    def wait_for(self, predicate: Callable[[], object], timeout: float = 10.0) -> None:
        """Wait until *predicate* is true; after *timeout* seconds fail and say what did arrive."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while not predicate():
                if time.monotonic() >= deadline:
                    raise AssertionError(f"not true within {timeout:g} s; {self}")
                self._changed.wait(STEP)

    def stop(self, *, reset: bool = False) -> None:
        """Close everything, with RST if wanted; the port stays reserved, and connects to it are refused."""
        self._reset = reset
        self.stopping.set()
        if self.listening:
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive(), f"a behaviour does not end: {thread}"
        self._socket.close()
        self._threads, self.listening = [], False
        self._socket = _reserve(self.port)

    def restart(self, behaviour: Behaviour | Sequence[Behaviour] | None = None) -> None:
        """Listen on the same port again; what was recorded stays."""
        if self.listening:
            self.stop()
        if behaviour is not None:
            self.behave(behaviour)
        self.stopping.clear()
        self._listen()

    def close(self) -> None:
        """Stop for good, and give the port back."""
        self.stop()
        self._socket.close()

    def record(self, arrived: Arrived) -> None:
        """Remember a chunk; done by the connections."""
        with self._changed:
            self.chunks.append(arrived)
            self._changed.notify_all()

    def __enter__(self) -> ScriptedServer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __str__(self) -> str:
        return (
            f"{len(self.connections)} connections, {len(self.chunks)} chunks "
            f"({sum(one.acked for one in self.chunks)} acked), {len(self.lines())} lines, errors: {self.errors}"
        )

    def _listen(self) -> None:
        self._socket.listen(128)
        self.listening = True
        self._start_thread(self._accept, self._socket)

    def _accept(self, listener: socket.socket) -> None:
        while not self.stopping.is_set():
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            sock.settimeout(STEP)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # pieces stay pieces
            connection = Connection(self, sock, len(self.connections))
            behaviour = self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]
            with self._changed:
                self.connections.append(connection)
                self._changed.notify_all()
            self._start_thread(self._serve, connection, behaviour)

    def _serve(self, connection: Connection, behaviour: Behaviour) -> None:
        try:
            if self.tls:
                connection.shake_hands(self.tls)
            behaviour(connection)
        except RemoteProtocolError as exc:
            self._fail(f"connection {connection.index}: {exc}")
        except OSError as exc:
            if self.tls is None or not isinstance(exc, ssl.SSLError):
                self._fail(f"connection {connection.index}: {exc!r}")
        except Exception:  # noqa: BLE001  any mistake in a test's behaviour must become its failure
            self._fail(f"connection {connection.index}: {traceback.format_exc()}")
        if connection.socket.fileno() >= 0:
            (connection.reset if self._reset and self.stopping.is_set() else connection.close)()

    def _fail(self, text: str) -> None:
        with self._changed:
            self.errors.append(text)
            self._changed.notify_all()

    def _start_thread(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()


def ack_all(connection: Connection) -> None:
    """A good server."""
    for arrived in connection.chunks():
        connection.ack(arrived)


def _reserve(port: int) -> socket.socket:
    """Return a socket that is bound but does not listen yet: nobody else gets the port, connects are refused."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((HOST, port))
    return sock
