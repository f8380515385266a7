"""Names to addresses without waiting for the resolver."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from dataclasses import dataclass, field
from typing import Any

from fluentlite.config.model import Server
from fluentlite.worker.background import Background


@dataclass(frozen=True, slots=True)
class Address:
    """Where to connect to: the first and the last element of what ``getaddrinfo`` returns."""

    family: int
    sockaddr: tuple[Any, ...]

    def __str__(self) -> str:
        return str(self.sockaddr[0])


@dataclass(slots=True)
class _Answer:
    """What the resolver said; shared with its thread, which outlives a connection that gave up waiting."""

    addresses: list[Address] = field(default_factory=list)
    error: str = ""


class Lookup:
    """
    The addresses of one server, in the resolver's order, all of them.

    Addresses are their own answer. Names are looked up in a thread, since no resolver can be asked
    without waiting; ``fileno`` becomes readable when it has answered. A thread whose resolver hangs is
    left alone and dies with it: there is at most one for each name, shared by those who ask meanwhile.
    """

    _running: dict[Server, tuple[_Answer, list[int]]] = {}  # noqa: RUF012 - one for all, meant

    def __init__(self, server: Server) -> None:
        self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        try:
            answer = _Answer(_resolve(server, socket.AI_NUMERICHOST))
            os.eventfd_write(self._fd, 1)
        except OSError:
            answer = self._ask(server)
        self._answer = answer

    def fileno(self) -> int:
        return self._fd

    def result(self) -> list[Address]:
        """
        Return the addresses, at least one.

        Raises:
            OSError: The name cannot be resolved; the text says why.
        """
        if not self._answer.addresses:
            raise OSError(self._answer.error)
        return self._answer.addresses

    def close(self) -> None:
        """Nobody waits for the answer any more."""
        with _LOCK:
            for _answer, waiting in self._running.values():
                with contextlib.suppress(ValueError):
                    waiting.remove(self._fd)
            os.close(self._fd)

    def _ask(self, server: Server) -> _Answer:
        with _LOCK:
            if server in self._running:
                answer, waiting = self._running[server]
                waiting.append(self._fd)
                return answer
            answer, waiting = _Answer(), [self._fd]
            self._running[server] = (answer, waiting)
        try:
            Background(lambda: self._run(server, answer))
        except RuntimeError as exc:  # no more threads: the same as no answer
            with _LOCK:
                del self._running[server]
            answer.error = str(exc)
            os.eventfd_write(self._fd, 1)
        return answer

    @classmethod
    def _run(cls, server: Server, answer: _Answer) -> None:
        try:
            answer.addresses = _resolve(server, 0)
        except (OSError, UnicodeError) as exc:
            answer.error = f"its name cannot be resolved: {getattr(exc, 'strerror', None) or exc}"
        with _LOCK:
            for fd in cls._running.pop(server)[1]:
                os.eventfd_write(fd, 1)


_LOCK = threading.Lock()


def _resolve(server: Server, flags: int) -> list[Address]:
    found = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM, flags=flags)
    return list(dict.fromkeys(Address(entry[0], entry[4]) for entry in found))
