"""
The server's half of one Forward connection: bytes in, chunks out. The caller owns the socket.

Source: Forward Protocol Specification v1, "Handshake", "Response"; fluentd in_forward.rb.
"""

from __future__ import annotations

import enum
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgpack

from fluentlite.core.decode import Reading, ReceivedChunk, decode_chunk, kind
from fluentlite.core.handshake import password_digest, shared_key_digest
from fluentlite.core.messages import (
    MALFORMED,
    MAX_MESSAGE_BYTES,
    JsonMessages,
    Message,
    Messages,
    MsgpackMessages,
)
from fluentlite.errors import AuthenticationError, LocalProtocolError, RemoteProtocolError

MAX_PING_BYTES = 64 * 1024
"""Most bytes of a PING: who has not proved that it knows the shared key gets little memory."""


class State(enum.Enum):
    """What may come next."""

    WAIT_PING = enum.auto()
    OPEN = enum.auto()
    BROKEN = enum.auto()  # the peer is out of step or refused: close the socket
    ENDED = enum.auto()  # the peer closed its side, between two messages


@dataclass(frozen=True, slots=True)
class ServerSecurity:
    """Fluentd's ``<security>``; without *users* everybody who knows the key is welcome."""

    shared_key: str = field(repr=False)
    self_hostname: str
    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Name -> password."""


class ServerSession:
    """
    The state machine of one connection.

    Args:
        reading: How far entries are looked at.
        security: Asks for the handshake; None: chunks may come at once.
        nonce: Random bytes for this connection, 16 as Fluentd has them; needed with *security*.
        auth: The same, needed with users.

    Whatever bytes arrive, the only exception is RemoteProtocolError (AuthenticationError is one). After
    it, send what :meth:`take_output` still has, the refusal, and close.
    """

    def __init__(
        self,
        reading: Reading = Reading.DECODE,
        security: ServerSecurity | None = None,
        *,
        nonce: bytes = b"",
        auth: bytes = b"",
    ) -> None:
        self.state = State.OPEN
        self.client_hostname = ""
        """What the client calls itself; empty before, or without, the handshake."""
        self._reading, self._security, self._nonce, self._auth = reading, security, nonce, auth
        self._messages: Messages | None = None
        self._output = bytearray()  # thousands of acks may be due to one read
        if security:
            self._say_helo(security)

    def receive_data(self, data: bytes | memoryview) -> None:
        """
        Take what the socket gave; ``b""`` means end of file. Then call :meth:`next_chunk` until it returns None.

        Raises:
            RemoteProtocolError: The end came in the middle of a message, or of the handshake.
        """
        self._check_usable()
        if not data:
            return self._receive_end()
        if self._messages is None:
            # As Fluentd: the first byte of a connection decides.
            limit = MAX_MESSAGE_BYTES if self.state is State.OPEN else MAX_PING_BYTES
            self._messages = JsonMessages(limit) if data[0] in b"[{" else MsgpackMessages(limit)
        try:
            self._messages.feed(data)
        except MALFORMED as exc:
            raise self._broken(self._unreadable(exc)) from exc
        return None

    def next_chunk(self) -> ReceivedChunk | None:
        """
        Return the next chunk that has arrived as a whole, or None when more bytes are needed.

        Raises:
            RemoteProtocolError: The bytes are no Forward protocol; the text completes "the client is in error: ...".
            AuthenticationError: The client does not know the shared key, or the password.
        """
        self._check_usable()
        try:
            while self._messages and (message := self._messages.next_message()):
                if message.content is None:
                    continue  # a heartbeat, as old clients send them
                if self.state is State.OPEN:
                    return decode_chunk(message, self._reading)
                self._receive_ping(message)
        except RemoteProtocolError:
            self.state = State.BROKEN
            raise
        except MALFORMED as exc:
            raise self._broken(self._unreadable(exc)) from exc
        return None

    def acknowledge(self, chunk: ReceivedChunk) -> None:
        """The chunk is in safe hands: put its ack, if the client wants one, into the output."""
        if chunk.id is not None:
            self._output += self._encode({"ack": chunk.id})

    def take_output(self) -> bytes:
        """Return what has to be sent now: HELO, PONG, acks; often nothing."""
        output = bytes(self._output)
        self._output.clear()
        return output

    @property
    def unfinished(self) -> int:
        """Bytes that have arrived after the message that was taken last."""
        return self._messages.unfinished if self._messages else 0

    def _say_helo(self, security: ServerSecurity) -> None:
        if not self._nonce or (security.users and not self._auth):
            raise LocalProtocolError("a handshake needs a nonce, and auth if there are users")
        if not security.users:
            self._auth = b""
        self.state = State.WAIT_PING
        self._output += msgpack.packb(["HELO", {"nonce": self._nonce, "auth": self._auth, "keepalive": True}])

    def _receive_ping(self, message: Message) -> None:
        security = self._security
        if security is None or self._messages is None:
            raise LocalProtocolError("a handshake without security")
        fields = message.content
        if not isinstance(fields, list) or len(fields) != 6 or fields[0] not in ("PING", b"PING"):
            raise self._refused(
                "invalid ping message", f"it sent {kind(fields)} instead of a PING; has it no shared_key?"
            )
        if not all(isinstance(value, str | bytes) for value in fields):
            raise self._refused("invalid ping message", "its PING has an element that is no string")
        hostname, salt, digest, username, user_digest = (_bytes(value) for value in fields[1:])
        self.client_hostname = hostname.decode("utf-8", "surrogateescape")
        self._check_key(security, salt, digest)
        if security.users:
            self._check_user(security, username.decode("utf-8", "surrogateescape"), user_digest)
        proof = shared_key_digest(salt, security.self_hostname, self._nonce, security.shared_key)
        self._output += self._encode(["PONG", True, "", security.self_hostname, proof])
        self.state, self._messages.max_bytes = State.OPEN, MAX_MESSAGE_BYTES

    def _check_key(self, security: ServerSecurity, salt: bytes, digest: bytes) -> None:
        expected = shared_key_digest(salt, self.client_hostname, self._nonce, security.shared_key)
        if not hmac.compare_digest(expected.encode("ascii"), digest):
            raise self._refused("shared_key mismatch", "it holds another shared_key")

    def _check_user(self, security: ServerSecurity, username: str, digest: bytes) -> None:
        expected = password_digest(self._auth, username, security.users.get(username, ""))
        right = hmac.compare_digest(expected.encode("ascii"), digest)
        if not right or username not in security.users:
            raise self._refused("username/password mismatch", "its username or password is wrong")

    def _refused(self, answer: str, reason: str) -> AuthenticationError:
        """Tell the client *answer*, in Fluentd's words, and our own log *reason*."""
        self.state = State.BROKEN
        self._output += self._encode(["PONG", False, answer, "", ""])
        name = f" (it calls itself {self.client_hostname[:80]!a})" if self.client_hostname else ""
        return AuthenticationError(f"refused: {reason}{name}")

    def _receive_end(self) -> None:
        if self.state is State.WAIT_PING:
            raise self._broken("it closed the connection during the handshake, before its PING")
        if self.unfinished:
            raise self._broken(
                f"it closed the connection in the middle of a message, {self.unfinished} bytes after its begin"
            )
        self.state = State.ENDED

    def _check_usable(self) -> None:
        if self.state in (State.BROKEN, State.ENDED):
            raise LocalProtocolError(f"the session was used while {self.state.name}")

    def _encode(self, answer: Any) -> bytes:
        """Encode an answer in the client's own format."""
        if isinstance(self._messages, JsonMessages):
            return json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode(
                "utf-8", "surrogateescape"
            )
        packed: bytes = msgpack.packb(answer, unicode_errors="surrogateescape")
        return packed

    def _unreadable(self, exc: Exception) -> str:
        name = "JSON" if isinstance(self._messages, JsonMessages) else "msgpack"
        detail = (
            "nested too deeply" if isinstance(exc, msgpack.StackError) else str(exc) or type(exc).__name__
        )
        return f"it sent bytes that cannot be read as {name} ({detail})"

    def _broken(self, reason: str) -> RemoteProtocolError:
        self.state = State.BROKEN
        return RemoteProtocolError(reason)


def _bytes(value: str | bytes) -> bytes:
    return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
