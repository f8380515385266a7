"""
A Forward server whose word counts: it writes to a journal what each chunk is, and only then acknowledges it.

Run as ``python sink.py PORT JOURNAL [DELAY [ADDRESS]]``. It shares no code with fluentlite. What it has journaled outlives its
SIGKILL, since the bytes are the kernel's by then. With a DELAY an ack follows after 0 to DELAY seconds at random, so acks
come in any order and are outstanding when something dies. SIGUSR1: all connections are reset.

A journal is a row of files JOURNAL.0, JOURNAL.1, ... of records, each with the time (monotonic seconds) and the number
of the connection; a ``C`` is followed by what its lines are: the runs of ``lines.runs_of``, for which every byte is
looked at, as ``FIRST COUNT HEX``, joined by newlines, and one more newline::

    O TIME CONNECTION                         opened
    C TIME CONNECTION ID TAG FIELD COMPRESSED COUNT BYTES    a chunk arrived
    A TIME CONNECTION ID                      its ack was given to the kernel
    E TIME CONNECTION REASON                  ended

FIELD is the name of the one field that all its records have, COMPRESSED the option of that name or ``none``.
"""

from __future__ import annotations

import contextlib
import gzip
import heapq
import os
import random
import selectors
import signal
import socket
import struct
import sys
import time
from pathlib import Path

import msgpack

sys.path.insert(0, str(Path(__file__).parents[1]))

from faults.lines import runs_of

SEGMENT_SIZE = 16 << 20
"""Bytes after which the journal goes on in its next file, so that a reader can remove what it has read."""

RECEIVE_SIZE = 1 << 18


class Journal:
    """Appends records; each is one write."""

    def __init__(self, prefix: str) -> None:
        self._prefix, self._segment = prefix, -1
        self._open_next()

    def write(self, kind: str, connection: int, *words: object, payload: bytes | None = None) -> None:
        head = " ".join(map(str, (kind, repr(time.monotonic()), connection, *words))).encode() + b"\n"
        data = memoryview(head if payload is None else head + payload + b"\n")
        self._size += len(data)
        while data:
            data = data[os.write(self._fd, data) :]
        if self._size >= SEGMENT_SIZE:
            os.close(self._fd)
            self._open_next()

    def _open_next(self) -> None:
        self._segment, self._size = self._segment + 1, 0
        name = f"{self._prefix}.{self._segment}"
        self._fd = os.open(name, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)


class Client:
    """One connection."""

    def __init__(self, sock: socket.socket, number: int) -> None:
        self.socket, self.number = sock, number
        self.unpacker = msgpack.Unpacker(raw=True, strict_map_key=False, max_buffer_size=64 << 20)


class Sink:
    """Accepts, journals, acknowledges, until it is killed."""

    def __init__(self, port: int, journal: str, delay: float, address: str = "127.0.0.1") -> None:
        self._journal, self._delay = Journal(journal), delay
        self._selector = selectors.DefaultSelector()
        self._clients: dict[int, Client] = {}
        self._pending: list[tuple[float, int, str]] = []
        self._count = 0
        self._must_reset = False
        signal.signal(signal.SIGUSR1, self._note_reset)
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((address, port))
        self._listener.listen(64)
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)

    def run(self) -> None:
        print("ready", flush=True)
        while True:
            for key, _ in self._selector.select(self._timeout()):
                # However much there is to read: when a connection is said to be opened must be true.
                self._accept_all()
                if key.data is not None:
                    self._read(key.data)
            self._ack_due()
            if self._must_reset:
                self._must_reset = False
                for client in list(self._clients.values()):
                    # Linger 0: the kernel sends RST and forgets acks that have not been taken.
                    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self._end(client, "we-reset-it")

    def _note_reset(self, _signum: int, _frame: object) -> None:
        self._must_reset = True

    def _timeout(self) -> float:
        return max(0.0, self._pending[0][0] - time.monotonic()) if self._pending else 0.1

    def _accept_all(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                self._welcome(self._listener.accept()[0])

    def _welcome(self, sock: socket.socket) -> None:
        sock.setblocking(True)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._count += 1
        client = self._clients[self._count] = Client(sock, self._count)
        self._selector.register(sock, selectors.EVENT_READ, client)
        self._journal.write("O", client.number)

    def _read(self, client: Client) -> None:
        try:
            data = client.socket.recv(RECEIVE_SIZE)
        except OSError as exc:
            self._end(client, f"errno-{exc.errno}")
            return
        if not data:
            self._end(client, "eof")
            return
        client.unpacker.feed(data)
        for message in client.unpacker:
            self._take(client, message)

    def _take(self, client: Client, message: list[object]) -> None:
        fields, lines, option = decode(message)
        tag, chunk_id, compressed = (
            word.decode("ascii")
            for word in (message[0], option.get(b"chunk", b"-"), option.get(b"compressed", b"none"))
        )
        payload = b"\n".join(
            [b"%d %d %s" % (n, count, data.hex().encode()) for n, count, data in runs_of(lines)]
        )
        field = "+".join(sorted(fields))
        words = (chunk_id, tag, field, compressed, len(lines), len(payload))
        self._journal.write("C", client.number, *words, payload=payload)
        if chunk_id != "-":
            due = time.monotonic() + random.uniform(0, self._delay) if self._delay else 0.0
            heapq.heappush(self._pending, (due, client.number, chunk_id))

    def _ack_due(self) -> None:
        while self._pending and self._pending[0][0] <= time.monotonic():
            _, number, chunk_id = heapq.heappop(self._pending)
            client = self._clients.get(number)
            if client is None:
                continue
            with contextlib.suppress(OSError):  # the next read tells how it ended
                client.socket.sendall(msgpack.packb({"ack": chunk_id}))
                self._journal.write("A", number, chunk_id)

    def _end(self, client: Client, reason: str) -> None:
        self._selector.unregister(client.socket)
        client.socket.close()
        del self._clients[client.number]
        self._journal.write("E", client.number, reason)


def decode(message: list[object]) -> tuple[set[str], list[bytes], dict[bytes, bytes]]:
    """
    Return the fields' names, the lines and the option of one message.

    It is in PackedForward mode (perhaps gzipped) or Forward mode; each record must have one field.
    """
    _tag, entries, *rest = message
    option = rest[0] if rest else {}
    if option.get(b"compressed") == b"gzip":
        entries = gzip.decompress(entries)
    if isinstance(entries, bytes):
        unpacker = msgpack.Unpacker(raw=True, max_buffer_size=64 << 20)
        unpacker.feed(entries)
        entries = unpacker
    records = [record for _time, record in entries]
    if any(size != 1 for size in map(len, records)):
        raise ValueError("a record has not one field")
    lines = [line for record in records for line in record.values()]
    return {field.decode("ascii") for field in set().union(*records)}, lines, option


if __name__ == "__main__":
    Sink(
        int(sys.argv[1]), sys.argv[2], float(sys.argv[3]) if len(sys.argv) > 3 else 0.0, *sys.argv[4:5]
    ).run()
