"""A plain Forward client for tests of servers: it sends what it is told and reads what comes."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from typing import Any

import msgpack

from fluentlite.core.handshake import password_digest, shared_key_digest


def entries_of(*lines: bytes, time: int = 1_700_000_000) -> bytes:
    """Entries ``[EventTime, {"message": line}]``, one after another; lines travel as str."""
    head = b"\x92\xd7\x00" + struct.pack(">II", time, 5) + b"\x81\xa7message"
    return b"".join(head + b"\xdb" + struct.pack(">I", len(line)) + line for line in lines)


def packed_forward(
    tag: str, *lines: bytes, chunk: str | None = None, as_str: bool = False, **option: Any
) -> bytes:
    """A PackedForward message; *option* adds to, or replaces, what is in its option."""
    entries = entries_of(*lines)
    option = {"size": len(lines), **({} if chunk is None else {"chunk": chunk}), **option}
    head = b"\x93" + msgpack.packb(tag) + (b"\xdb" if as_str else b"\xc6") + struct.pack(">I", len(entries))
    return head + entries + msgpack.packb(option)


class Client:
    """One connection. Every read has a time limit of ten seconds."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection((host, port), timeout=10)
        self._unpacker = msgpack.Unpacker(unicode_errors="surrogateescape")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def reply(self) -> Any:
        """The next msgpack message of the server, for example ``{"ack": id}``; EOFError if it closed."""
        while True:
            try:
                return self._unpacker.unpack()
            except msgpack.OutOfData:
                data = self.socket.recv(65536)
                if not data:
                    raise EOFError from None
                self._unpacker.feed(data)

    def shake_hands(
        self, shared_key: str, hostname: str = "client.example", user: str = "", password: str = ""
    ) -> Any:
        """Wait for HELO, send PING, return PONG."""
        option = self.reply()[1]
        auth = option["auth"]
        digest = shared_key_digest(b"salt", hostname, option["nonce"], shared_key)
        user_digest = password_digest(auth, user, password) if auth else ""
        self.send(msgpack.packb(["PING", hostname, "salt", digest, user, user_digest]))
        return self.reply()

    def ended(self) -> bool:
        """Read to the end: True for an orderly end, False for a reset."""
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionResetError:
            return False
        return True

    def reset(self) -> None:
        """Close with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def eventually(condition: Callable[[], object], timeout: float = 10.0) -> None:
    """Wait until *condition* is true; fail after *timeout* seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not true within {timeout:g} s"
        time.sleep(0.005)
