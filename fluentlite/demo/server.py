"""The server of a demo: the embedded one, which can go away and come back on its port."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable

from fluentlite.config.model import Server
from fluentlite.core.decode import ReceivedChunk
from fluentlite.errors import FluentliteError
from fluentlite.forward_server import Receiver

_HOST = "127.0.0.1"


class DemoServer:
    """
    Listens until ``go_away``, and again after ``come_back``.

    Args:
        on_chunk: Called with all that arrives.
        on_problem: Called with what clients do that is not right.
        wake: A descriptor; ``poll`` returns when it is readable.

    Raises:
        FluentliteError: Nobody can listen on this host.
    """

    def __init__(
        self, on_chunk: Callable[[ReceivedChunk], None], on_problem: Callable[[str], None], wake: int
    ) -> None:
        self._on_chunk, self._on_problem, self._wake = on_chunk, on_problem, wake
        self._receiver: Receiver | None = None
        try:
            # Bound for the whole time, so that nobody gets the port while the server is away.
            self._reserved = socket.socket()
            self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._reserved.bind((_HOST, 0))
        except OSError as exc:
            raise FluentliteError(
                f"{_HOST}: no server can listen there ({exc.strerror}). The demo needs the loopback interface."
            ) from exc
        self.address = Server(_HOST, self._reserved.getsockname()[1])
        self.come_back()

    def come_back(self) -> None:
        """
        Raises:
            FluentliteError: The port is taken.
        """
        try:
            self._receiver = Receiver(
                self.address, self._on_chunk, on_problem=self._on_problem, wake=self._wake
            )
        except OSError as exc:
            raise FluentliteError(
                f"{self.address}: the server cannot listen ({exc.strerror}). Another program has taken its port: try again."
            ) from exc

    def go_away(self) -> None:
        """Disconnect everybody, and refuse whoever calls."""
        if self._receiver is not None:
            self._receiver.close()
            self._receiver = None

    def poll(self, timeout: float) -> None:
        """Serve, or be away, for up to *timeout* seconds."""
        if self._receiver is not None:
            self._receiver.poll(timeout)
        else:
            select.select([self._wake], [], [], timeout)

    def close(self) -> None:
        self.go_away()
        self._reserved.close()
