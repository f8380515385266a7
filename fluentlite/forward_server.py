"""
The embedded Forward server: one thread, one selector, many connections.

It serves ``receive``, ``demo``, the benchmarks and the tests. It keeps nothing: what a chunk is worth is
decided by the callback that gets it.
"""

from __future__ import annotations

import contextlib
import math
import os
import selectors
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass

from fluentlite.config.model import Server
from fluentlite.core.decode import Reading, ReceivedChunk
from fluentlite.core.server_session import ServerSecurity, ServerSession, State
from fluentlite.errors import RemoteProtocolError
from fluentlite.server_connection import MAX_UNSENT, READ, WRITE, ServerConnection
from fluentlite.tls.transport import TlsTransport
from fluentlite.transport import TcpTransport

RECEIVE_SIZE = 256 * 1024
"""Bytes taken from a socket at a time; the buffer is reused and stays in the cache."""
MAX_UNFINISHED = 256 * 1024 * 1024
"""Bytes of messages that have begun to arrive, of all clients together; above it no client may have much of one."""
MUCH_UNFINISHED = 2 * 1024 * 1024
"""Bytes; fluentlite's own chunks are smaller."""
HANDSHAKE_TIMEOUT = 30.0
"""Seconds for TLS, HELO to PONG: who has proven nothing keeps no descriptor for longer."""
ACCEPT_PAUSE = 0.2
"""Seconds without accepting when the process has no descriptor left; the kernel keeps who waits."""
BACKLOG = 4096
NONCE_SIZE = 16


@dataclass(slots=True)
class Counters:
    """What arrived since the start. *bytes* are those of whole messages, *connections* those ever accepted."""

    events: int = 0
    bytes: int = 0
    chunks: int = 0
    acks: int = 0
    connections: int = 0


class Receiver:
    """
    A listening Forward server; call :meth:`poll` again and again.

    Args:
        address: Where to listen; port 0 takes a free one, which :attr:`address` then tells.
        on_chunk: Called with each chunk before its ack is sent, so when it returns the chunk must be in
            safe hands. If it raises RemoteProtocolError, the client is disconnected; anything else comes
            out of :meth:`poll`, and the chunk is not acknowledged.
        reading: How far the entries are looked at.
        acks: Whether clients that ask for acks get them.
        security: Asks every client for the handshake.
        tls: Speaks TLS with every client; from ``tls.context.server_context``.
        on_problem: Called with one sentence for each client that is disconnected, and why.
        wake: A descriptor; :meth:`poll` returns when it is readable.

    Raises:
        OSError: The address cannot be listened on.
    """

    def __init__(
        self,
        address: Server,
        on_chunk: Callable[[ReceivedChunk], None],
        *,
        reading: Reading = Reading.DECODE,
        acks: bool = True,
        security: ServerSecurity | None = None,
        tls: ssl.SSLContext | None = None,
        on_problem: Callable[[str], None] = lambda _text: None,
        wake: int | None = None,
    ) -> None:
        self.counters = Counters()
        self._on_chunk, self._on_problem = on_chunk, on_problem
        self._reading, self._acks, self._security, self._tls = reading, acks, security, tls
        self._listener = _listen(address)
        host, port = self._listener.getsockname()[:2]
        self.address = Server(host, port)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, READ)
        if wake is not None:
            self._selector.register(wake, READ)
        self._buffer = memoryview(bytearray(RECEIVE_SIZE))
        self._accept_again = math.inf  # time.monotonic() seconds; inf: it accepts
        self._out_of_descriptors = False
        self._unfinished = 0
        self._opening: dict[
            ServerConnection, float
        ] = {}  # who has not shaken hands, and until when; oldest first

    def poll(self, timeout: float | None = None) -> None:
        """Wait up to *timeout* seconds (None: for ever) until something can be done, and do it."""
        self._resume_accepting()
        for key, events in self._selector.select(self._wait(timeout)):
            if isinstance(key.data, ServerConnection):
                self._serve(key.data, events)
            elif key.fileobj is self._listener:
                self._accept()
        self._close_late()

    @property
    def open_connections(self) -> int:
        """How many clients are connected now."""
        return sum(isinstance(key.data, ServerConnection) for key in self._selector.get_map().values())

    def close(self) -> None:
        """Stop listening and disconnect everybody; what was not acknowledged will be sent again."""
        for key in list((self._selector.get_map() or {}).values()):  # None: closed before
            if isinstance(key.data, ServerConnection):
                key.data.transport.close()
        self._listener.close()
        self._selector.close()

    def __enter__(self) -> Receiver:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, address = self._listener.accept()
            except BlockingIOError:
                self._out_of_descriptors = False  # nobody waits any more
                return None
            except ConnectionAbortedError:
                continue
            except OSError as exc:
                return self._stop_accepting(exc)
            self._open(sock, str(Server(*address[:2])))

    def _open(self, sock: socket.socket, peer: str) -> None:
        sock.setblocking(False)
        with contextlib.suppress(OSError):  # it may be gone already
            # An ack must not wait until the one before it was received.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        nonce, auth = (os.urandom(NONCE_SIZE), os.urandom(NONCE_SIZE)) if self._security else (b"", b"")
        session = ServerSession(self._reading, self._security, nonce=nonce, auth=auth)
        transport = TcpTransport(sock) if self._tls is None else TlsTransport(sock, self._tls, None)
        connection = ServerConnection(sock, peer, session, transport)
        self.counters.connections += 1
        self._selector.register(sock, READ, connection)
        if not connection.is_through:
            self._opening[connection] = time.monotonic() + HANDSHAKE_TIMEOUT
        self._send(connection)

    def _stop_accepting(self, exc: OSError) -> None:
        """Rest a little: the listening socket stays ready, so that the loop would spin."""
        self._selector.unregister(self._listener)
        self._accept_again = time.monotonic() + ACCEPT_PAUSE
        if not self._out_of_descriptors:
            self._out_of_descriptors = True
            self._on_problem(f"cannot accept more connections ({exc.strerror}); raise the limit (ulimit -n)")

    def _resume_accepting(self) -> None:
        """Accept again once the rest is over."""
        if time.monotonic() >= self._accept_again:
            self._accept_again = math.inf
            self._selector.register(self._listener, READ)

    @property
    def _next_late(self) -> float:
        """When the next handshake is overdue, in monotonic seconds."""
        return next(iter(self._opening.values()), math.inf)

    def _wait(self, timeout: float | None) -> float | None:
        """Return a shorter *timeout* if there is something to do before."""
        due = min(self._accept_again, self._next_late)
        rest = max(0.0, due - time.monotonic())
        return min(rest, math.inf if timeout is None else timeout) if math.isfinite(due) else timeout

    def _close_late(self) -> None:
        while self._opening and time.monotonic() >= self._next_late:
            late = next(iter(self._opening))
            self._on_problem(
                f"{late.peer}: no handshake within {HANDSHAKE_TIMEOUT:g} s; the connection was closed"
            )
            self._close(late)

    def _serve(self, connection: ServerConnection, events: int) -> None:
        if events & WRITE:
            self._send(connection)
        if events & READ and connection.open and len(connection.unsent) <= MAX_UNSENT:
            self._receive(connection)

    def _receive(self, connection: ServerConnection) -> None:
        try:
            data = connection.receive(self._buffer)
            if data is not None:
                connection.session.receive_data(data)
            if connection.is_through:
                self._opening.pop(connection, None)
            if data:
                self._take_chunks(connection)
                self._check_unfinished(connection)
        except RemoteProtocolError as exc:
            connection.refused = True
            self._on_problem(f"{connection.peer}: {exc}; the connection was closed")
        finally:
            self._send(connection)  # also what was acknowledged before an error, or a part of a handshake

    def _take_chunks(self, connection: ServerConnection) -> None:
        while chunk := connection.session.next_chunk():
            self._on_chunk(chunk)
            self.counters.events += chunk.count
            self.counters.bytes += chunk.size
            self.counters.chunks += 1
            if self._acks and chunk.id is not None:
                connection.session.acknowledge(chunk)
                self.counters.acks += 1

    def _check_unfinished(self, connection: ServerConnection) -> None:
        """Each client may begin a message of 64 MiB and never end it, but not all of them at one time."""
        self._unfinished += connection.session.unfinished - connection.unfinished
        connection.unfinished = connection.session.unfinished
        if self._unfinished > MAX_UNFINISHED and connection.unfinished > MUCH_UNFINISHED:
            raise RemoteProtocolError(
                f"it has begun a message of more than {MUCH_UNFINISHED} bytes while all clients together have begun "
                f"{MAX_UNFINISHED}, the most that is kept"
            )

    def _send(self, connection: ServerConnection) -> None:
        """Send what there is, and wait for what is possible next."""
        connection.unsent += connection.session.take_output()
        if connection.unsent or connection.transport.has_pending:
            try:
                del connection.unsent[: connection.transport.send(list(filter(None, [connection.unsent])))]
            except BlockingIOError:
                pass
            except (OSError, RemoteProtocolError):
                return self._close(connection)
        if connection.refused or (connection.session.state is State.ENDED and not connection.unsent):
            return self._close(connection)
        self._selector.modify(connection.socket, connection.interest(), connection)
        return None

    def _close(self, connection: ServerConnection) -> None:
        if connection.open:
            self._unfinished -= connection.unfinished
            self._opening.pop(connection, None)
            self._selector.unregister(connection.socket)
            connection.transport.close()


def _listen(address: Server) -> socket.socket:
    family, _, _, _, sockaddr = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    both = family == socket.AF_INET6 and address.host == "::" and socket.has_dualstack_ipv6()
    listener = socket.create_server(sockaddr[:2], family=family, backlog=BACKLOG, dualstack_ipv6=both)
    listener.setblocking(False)
    return listener
