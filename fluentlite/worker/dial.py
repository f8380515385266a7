"""From a server's name to a connected socket, without waiting: every address of the name is tried."""

from __future__ import annotations

import errno
import math
import os
import socket
import time

from fluentlite.config.model import Server
from fluentlite.loop import WRITE, Loop
from fluentlite.worker.resolve import Address, Lookup


class Dialer:
    """
    Args:
        server: Where to.
        timeout: Seconds for the name and all of its addresses together.
        loop: Watches the descriptors.

    Attributes:
        deadline: When ``check`` has something to do, in monotonic seconds; infinite once it is over.
        error: Why no address could be reached; empty until then.

    Raises:
        OSError: There is no descriptor left.
    """

    def __init__(self, server: Server, timeout: float, loop: Loop) -> None:
        self.error = ""
        self._server, self._timeout, self._loop = server, timeout, loop
        self._end = self.deadline = time.monotonic() + timeout
        self._addresses: list[Address] = []
        self._current = Address(0, ("",))
        self._failed: list[str] = []
        self._trying: socket.socket | None = None
        self._connected: socket.socket | None = None
        self._lookup: Lookup | None = Lookup(server)
        loop.watch(self._lookup.fileno(), self._on_resolved)

    def take_socket(self) -> socket.socket | None:
        """Return the connected socket, once; it belongs to the caller then."""
        connected, self._connected = self._connected, None
        return connected

    def check(self, now: float) -> None:
        """Give up what takes too long: this address, or all of it."""
        if now < self.deadline:
            return
        if self._trying is not None:
            self._address_failed("no answer")
            self._next_address()
        else:
            self._failed.append(f"its name was not resolved within {self._timeout:g} s")
            self._give_up()

    def close(self) -> None:
        """Stop; a socket that was not taken is closed."""
        self.deadline = math.inf
        if self._lookup is not None:
            self._loop.unwatch(self._lookup.fileno())
            self._lookup.close()
            self._lookup = None
        self._stop_trying()
        if self._connected is not None:
            self._connected.close()
            self._connected = None

    def _on_resolved(self, _events: int) -> None:
        lookup, self._lookup = self._lookup, None
        if lookup is None:
            return
        self._loop.unwatch(lookup.fileno())
        try:
            self._addresses = list(lookup.result())
        except OSError as exc:
            self._failed.append(str(exc))
        finally:
            lookup.close()
        self._next_address()

    def _next_address(self) -> None:
        """Begin to connect to the next address; each gets its share of the time that is left."""
        while self._addresses and (now := time.monotonic()) < self._end:
            self.deadline = now + (self._end - now) / len(self._addresses)
            self._current = self._addresses.pop(0)
            try:
                kind = socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
                self._trying = socket.socket(self._current.family, kind)
                _set_options(self._trying)
                code = self._trying.connect_ex(self._current.sockaddr)
            except OSError as exc:
                code = exc.errno or errno.EINVAL
            if code in (0, errno.EINPROGRESS) and self._trying is not None:
                self._loop.watch(self._trying.fileno(), self._on_connected, WRITE)
                return
            self._address_failed(os.strerror(code))
        self._give_up()

    def _on_connected(self, _events: int) -> None:
        if self._trying is None:
            return
        code = self._trying.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._address_failed(os.strerror(code))
            self._next_address()
            return
        self._loop.unwatch(self._trying.fileno())
        self._connected, self._trying = self._trying, None
        self.deadline = math.inf

    def _address_failed(self, reason: str) -> None:
        address = str(self._current)
        name = f"{address}: " if address != self._server.host else ""
        self._failed.append(f"{name}{reason}")
        self._stop_trying()

    def _stop_trying(self) -> None:
        if self._trying is not None:
            self._loop.unwatch(self._trying.fileno())
            self._trying.close()
            self._trying = None

    def _give_up(self) -> None:
        self.close()
        self.error = "; ".join(self._failed) or f"no answer within {self._timeout:g} s"


def _set_options(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # A peer that vanished without a word is noticed within two minutes, also while nothing is sent.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)
