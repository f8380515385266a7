"""A connected socket that never blocks, as it is; :mod:`fluentlite.tls` has the same with TLS on it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Sequence
from typing import Protocol

Buffer = bytes | bytearray | memoryview

RECEIVE_SIZE = 65536
"""Bytes taken from a socket at a time."""

MOST_BUFFERS = 1024
"""What one sendmsg takes on Linux (IOV_MAX). A chunk read behind a busy writer can have more, small ones."""


class Transport(Protocol):
    """What bytes go through."""

    @property
    def is_open(self) -> bool:
        """Whether it can be sent to: TLS must shake hands first, which ``receive`` does."""

    @property
    def is_proven(self) -> bool:
        """Whether it is sure that the peer has accepted us: in TLS 1.3 it looks at our certificate when we are through."""

    @property
    def has_pending(self) -> bool:
        """Whether bytes wait for the kernel to take them, of which the caller of ``send`` need not know."""

    def fileno(self) -> int: ...

    def receive(self) -> bytes:
        """
        Return what the peer has sent; ``b""`` is its end.

        Raises:
            BlockingIOError: There is nothing now.
            OSError: The connection has failed.
            RemoteProtocolError: The peer is out of step, or cannot be trusted (AuthenticationError).
        """

    def send(self, buffers: Sequence[Buffer]) -> int:
        """
        Send the beginning of *buffers*, which must still be the same at the next call.

        Returns:
            How many bytes of it the kernel has taken since the last call; 0 only if there are none to send.

        Raises:
            BlockingIOError: It takes none now.
            OSError: The connection has failed.
        """

    def close(self) -> None:
        """Close it; what the kernel has taken is still sent."""


class TcpTransport:
    """
    Args:
        sock: Connected, non-blocking; closed by ``close``.
    """

    is_open, is_proven, has_pending = True, True, False

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def fileno(self) -> int:
        return self._socket.fileno()

    def receive(self) -> bytes:
        return self._socket.recv(RECEIVE_SIZE)

    def send(self, buffers: Sequence[Buffer]) -> int:
        return self._socket.sendmsg(buffers[:MOST_BUFFERS])

    def close(self) -> None:
        with contextlib.suppress(OSError):  # it may never have been connected
            self._socket.shutdown(socket.SHUT_WR)
        self._socket.close()
