"""
TLS on a socket that never blocks, for both sides of a connection.

OpenSSL works on memory here (``ssl.MemoryBIO``), so that nothing but our own calls touches the socket: what one piece of
data becomes is handed to the kernel in one call, and a peer that stops reading makes nobody wait.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Sequence

from fluentlite.errors import RemoteProtocolError
from fluentlite.tls.reasons import raise_reason
from fluentlite.transport import RECEIVE_SIZE, Buffer

PIECE_SIZE = 128 * 1024
"""Most bytes that are encrypted at a time: a step of a chunk, and what it becomes, stay in the processor's cache."""

SMALL = 16 * 1024
"""Bytes below which buffers are joined: what fits into one record of TLS goes as one."""

MOST_ANSWERS = 64 * 1024
"""Bytes that a peer can make us answer, by asking for new keys again and again, while it does not read them."""


MOST_ALERT = 48
"""Bytes, twice those of an alert in TLS 1.3: who has sent more has said something else. A ticket has some 200."""


class TlsTransport:
    """
    Args:
        sock: Connected, non-blocking; closed by ``close``.
        context: As :mod:`fluentlite.tls.context` makes them.
        server_name: What the server's certificate must be for; None: we are the server.
    """

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, server_name: str | None) -> None:
        self._socket = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_name is None, server_hostname=server_name
        )
        self._sealed = memoryview(b"")  # encrypted, and not taken by the kernel yet
        self._sealed_size = 0  # bytes of the caller's that are in it
        self._heard = 0  # bytes that have come since the handshake
        self.is_open = self.is_proven = False

    @property
    def has_pending(self) -> bool:
        return bool(self._sealed)

    def fileno(self) -> int:
        return self._socket.fileno()

    def receive(self) -> bytes:
        try:
            return self._received() if self.is_open else self._shake_hands()
        except ssl.SSLError as exc:
            self._farewell()
            raise_reason(exc, is_open=self.is_open, is_client=not self._tls.server_side)

    def send(self, buffers: Sequence[Buffer]) -> int:
        self._flush()
        if not self._sealed_size and self.is_open and buffers:
            self._seal(_piece(buffers))
            self._flush()
        sent, self._sealed_size = self._sealed_size, 0
        if buffers and not sent:
            raise BlockingIOError
        return sent

    def close(self) -> None:
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()  # says that this is the end; the answer is not waited for
        self._farewell()
        with contextlib.suppress(OSError):  # it may have failed already
            self._socket.shutdown(socket.SHUT_WR)
        self._socket.close()

    def _shake_hands(self) -> bytes:
        while not self.is_open:
            try:
                self._tls.do_handshake()
                self.is_open = True
                # What is here already was sent to somebody who need not prove anything.
                self.is_proven = self._tls.version() != "TLSv1.3" or self._incoming.pending > 0
            except ssl.SSLWantReadError:
                self._answer()
                self._incoming.write(self._greeting())
        self._answer()
        return self._received()

    def _greeting(self) -> bytes:
        """What the peer says before TLS is established; how its end is told does not matter then."""
        with contextlib.suppress(ConnectionError):
            if data := self._socket.recv(RECEIVE_SIZE):
                return data
        who = "has the client no TLS?" if self._tls.server_side else "is it a Forward input with TLS?"
        raise RemoteProtocolError(f"it closed the connection during the TLS handshake; {who}")

    def _received(self) -> bytes:
        """Everything that can be decrypted now: who waits for the socket is not told of what lies here."""
        pieces: list[bytes] = []
        is_read = False
        while True:
            try:
                piece = self._tls.read(RECEIVE_SIZE)
            except ssl.SSLWantReadError:
                self._answer()
                if pieces:
                    return b"".join(pieces)
                # At most once: a record may come in many pieces, and others wait for their turn.
                if is_read:
                    self.is_proven = self.is_proven or self._heard > MOST_ALERT
                    raise BlockingIOError from None
                is_read = True
                self._take()
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b"".join(pieces)  # acks tell what has arrived, so how it ended does not matter
            else:
                if not piece:
                    return b"".join(pieces)
                pieces.append(piece)
                self.is_proven = True

    def _take(self) -> None:
        data = self._socket.recv(RECEIVE_SIZE)
        if data:
            self._heard += len(data)
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def _seal(self, piece: Buffer) -> None:
        try:
            self._tls.write(piece)
        except ssl.SSLError as exc:
            raise_reason(exc, is_open=True, is_client=not self._tls.server_side)
        self._sealed_size = len(piece)
        self._collect()

    def _answer(self) -> None:
        """Send what the protocol itself has to say; what the kernel does not take waits for ``send``."""
        self._collect()
        if not self._sealed_size and len(self._sealed) > MOST_ANSWERS:
            raise RemoteProtocolError("it asks for TLS answers and does not read them")
        # A broken connection shows when it is read: an alert in it says why.
        with contextlib.suppress(OSError):
            self._flush()

    def _collect(self) -> None:
        if self._outgoing.pending:
            data = self._outgoing.read()
            self._sealed = memoryview(bytes(self._sealed) + data if self._sealed else data)

    def _flush(self) -> None:
        """Raises BlockingIOError as long as the kernel does not take all of it."""
        while self._sealed:
            self._sealed = self._sealed[self._socket.send(self._sealed) :]

    def _farewell(self) -> None:
        """Tell the peer why, if that can be done at once."""
        self._collect()
        with contextlib.suppress(OSError):
            self._flush()


def _piece(buffers: Sequence[Buffer]) -> Buffer:
    """The beginning of *buffers*: of a large one as it is, of small ones several together."""
    first = buffers[0]
    if len(first) >= SMALL:
        return memoryview(first)[:PIECE_SIZE]
    taken, size = 0, 0
    while taken < len(buffers) and size + len(buffers[taken]) <= PIECE_SIZE:
        size += len(buffers[taken])
        taken += 1
    return b"".join(buffers[:taken])
