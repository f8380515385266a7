"""One client of the embedded Forward server."""

from __future__ import annotations

import selectors
import socket

from fluentlite.core.server_session import ServerSession, State
from fluentlite.transport import TcpTransport, Transport

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE

MAX_UNSENT = 64 * 1024
"""Bytes of acks that wait for a client to take them before nothing more is read from it."""


class ServerConnection:
    """
    Args:
        sock: Accepted, non-blocking.
        peer: Its address, for messages.
        session: What it says.
        transport: Over *sock*; plain or TLS.

    Attributes:
        unsent: What it has not taken yet.
        unfinished: Bytes of the message that has begun to arrive, when that was counted last.
        refused: It has said something wrong, and is closed as soon as it has been told.
    """

    def __init__(self, sock: socket.socket, peer: str, session: ServerSession, transport: Transport) -> None:
        self.socket, self.peer, self.session, self.transport = sock, peer, session, transport
        self.unsent, self.unfinished = bytearray(), 0
        self.refused = False

    @property
    def open(self) -> bool:
        return self.socket.fileno() >= 0

    @property
    def is_through(self) -> bool:
        """Whether TLS and handshake are over, as far as there are any."""
        return self.transport.is_open and self.session.state is not State.WAIT_PING

    def receive(self, buffer: memoryview) -> bytes | memoryview | None:
        """Return what has come, perhaps in *buffer*; ``b""`` at the end, None if there is nothing now."""
        try:
            if isinstance(self.transport, TcpTransport):
                return buffer[: self.socket.recv_into(buffer)]
            return self.transport.receive()
        except BlockingIOError:
            return None
        except OSError:
            return b""  # reset; whether that was in the middle of something, the session knows

    def interest(self) -> int:
        """What to wait for: no more chunks from a client that does not take its acks."""
        if self.session.state is State.ENDED or len(self.unsent) > MAX_UNSENT:
            return WRITE
        can_send = (self.unsent and self.transport.is_open) or self.transport.has_pending
        return READ | WRITE if can_send else READ
