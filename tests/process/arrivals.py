"""A good Forward server in a thread: what arrives, by tag, counted; down and up on the same port."""

from __future__ import annotations

import collections
import os
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable

from fluentlite.config.model import Server
from fluentlite.core.decode import ReceivedChunk
from fluentlite.core.printing import field_values
from fluentlite.forward_server import Receiver

HOST = "127.0.0.1"


class Arrivals:
    """
    Listens from the beginning; many logs, one thread.

    Args:
        tls: The context of a server, if it is to speak TLS.

    Attributes:
        chunks: ``(tag, chunk id, lines)`` in the order of their arrival.
        problems: What clients did against the protocol.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.chunks: list[tuple[str, object, list[str]]] = []
        self.problems: list[str] = []
        self._lines: dict[str, list[str]] = collections.defaultdict(list)
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._reserved = _reserve(0)
        self.port: int = self._reserved.getsockname()[1]
        self.up()

    @property
    def address(self) -> str:
        """``host:port``, as it stands in a configuration."""
        return f"{HOST}:{self.port}"

    def up(self) -> None:
        """Listen."""
        self._wake_reader, self._wake_writer = os.pipe()
        self._receiver = Receiver(
            Server(HOST, self.port),
            self._take,
            tls=self._tls,
            on_problem=self.problems.append,
            wake=self._wake_reader,
        )
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def down(self) -> None:
        """Disconnect everybody and refuse connections; the port stays ours."""
        if self._thread is None:
            return
        os.close(self._wake_writer)
        self._thread.join(10)
        assert not self._thread.is_alive(), "the server's thread does not end"
        self._thread = None
        os.close(self._wake_reader)

    @property
    def connections(self) -> int:
        """How many connections there ever were since it was last up."""
        return self._receiver.counters.connections

    def lines(self, tag: str) -> list[str]:
        """Every line that came with *tag*, repetitions included."""
        with self._changed:
            return list(self._lines[tag])

    def counts(self) -> dict[str, int]:
        """How many lines came, by tag."""
        with self._changed:
            return {tag: len(lines) for tag, lines in self._lines.items()}

    def wait_for(self, condition: Callable[[], object], timeout: float = 20.0) -> None:
        """Wait until *condition* is true; after *timeout* seconds fail and say what did arrive."""
        deadline = time.monotonic() + timeout
        while not condition():
            with self._changed:
                assert time.monotonic() < deadline, (
                    f"not true within {timeout:g} s; arrived: {dict(self.counts())}"
                )
                self._changed.wait(0.02)

    def wait_for_lines(self, tag: str, lines: list[str], timeout: float = 20.0) -> None:
        """Wait until *lines* have come with *tag*, each once, in their order, and nothing else has."""
        self.wait_for(lambda: len(self._lines[tag]) >= len(lines), timeout)
        assert self.lines(tag) == lines

    def wait_for_more(self, tag: str, count: int) -> None:
        """Wait until *count* more lines have come with *tag* than now."""
        wanted = len(self.lines(tag)) + count
        self.wait_for(lambda: len(self.lines(tag)) >= wanted)

    def close(self) -> None:
        self.down()
        self._reserved.close()

    def __enter__(self) -> Arrivals:
        return self

    def __exit__(self, *_exc_info: object) -> None:
        self.close()

    def _run(self) -> None:
        with self._receiver as receiver:
            while not select.select([self._wake_reader], [], [], 0)[0]:
                receiver.poll(1.0)

    def _take(self, chunk: ReceivedChunk) -> None:
        lines = [line.decode("utf-8", "surrogateescape") for line in field_values(chunk.events, "message")]
        with self._changed:
            self.chunks.append((chunk.tag, chunk.id, lines))
            self._lines[chunk.tag] += lines
            self._changed.notify_all()


def _reserve(port: int) -> socket.socket:
    """Return a socket that is bound and never listens: nobody else gets the port."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((HOST, port))
    return sock
