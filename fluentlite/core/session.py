"""
Our side of one Forward connection: handshake and acks. The caller owns socket and clock.

Source: Forward Protocol Specification v1, "Handshake", "Response".
"""

from __future__ import annotations

import enum
import hmac
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import msgpack

from fluentlite.core.handshake import password_digest, shared_key_digest
from fluentlite.core.messages import MALFORMED, JsonMessages
from fluentlite.errors import AuthenticationError, LocalProtocolError, PeerClosedError, RemoteProtocolError

MAX_RESPONSE = 64 * 1024
"""Most bytes of an unfinished response. An ack has about 40, a HELO about 100."""
MAX_ELEMENTS = 16
"""
Most elements of an array or a map in a response; a PONG has 5. msgpack makes room for all that are promised, so
that a thousand arrays in each other, 5 KiB on the wire, would otherwise be hundreds of megabytes.
"""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What we know for the handshake; *salt* is fresh random text for each connection."""

    shared_key: str = field(repr=False)
    self_hostname: str
    username: str
    password: str = field(repr=False)
    salt: str = field(repr=False)


class State(enum.Enum):
    """What may come next."""

    WAIT_HELO = enum.auto()
    WAIT_PONG = enum.auto()
    OPEN = enum.auto()
    BROKEN = enum.auto()  # the peer is out of step: close the socket


class ForwardSession:
    """
    The state machine of one connection.

    Args:
        ack_timeout: Seconds from a chunk's last byte to its ack.
        credentials: For a server with a shared key, else None.
        as_json: Acks come as JSON, as the chunks went; not together with credentials.

    Whatever bytes arrive, the only exception is RemoteProtocolError (AuthenticationError is one).
    """

    def __init__(
        self, ack_timeout: float, credentials: Credentials | None = None, *, as_json: bool = False
    ) -> None:
        self.state = State.WAIT_HELO if credentials else State.OPEN
        self.unacked: dict[str, float] = {}
        """Chunk id -> when its ack is overdue, in ``time.monotonic()`` seconds; oldest first."""
        self._ack_timeout, self._credentials = ack_timeout, credentials
        self._reader: _Reader = _JsonReader() if as_json else _MsgpackReader()
        self._nonce, self._output = b"", b""
        self._acked: list[str] = []

    def expect_ack(self, chunk_id: str) -> None:
        """A chunk is about to be sent; its ack may come from now on."""
        if self.state is not State.OPEN:
            raise LocalProtocolError(f"a chunk was sent while {self.state.name}")
        self.unacked[chunk_id] = math.inf

    def chunk_sent(self, chunk_id: str, now: float) -> None:
        """The chunk's last byte has left; its ack is due."""
        if chunk_id in self.unacked:
            self.unacked[chunk_id] = now + self._ack_timeout

    def receive_data(self, data: bytes) -> None:
        """
        Take what the server sent; ``b""`` means end of file.

        What it acknowledged is in ``take_acked``, also when this raises: an ack counts whatever comes behind it.
        """
        if not data:
            raise self._ended()
        try:
            self._reader.feed(data)
            for response in self._reader:
                self._response(response)
        except RemoteProtocolError:
            self.state = State.BROKEN
            raise
        except MALFORMED as exc:
            raise self._broken(
                f"it sent something that is no Forward response ({str(exc) or type(exc).__name__})"
            ) from exc

    def take_acked(self) -> list[str]:
        """Return the ids acknowledged since the last call, in the order in which their acks came, often none."""
        acked, self._acked = self._acked, []
        return acked

    def take_output(self) -> bytes:
        """Return what the handshake wants sent now, often nothing."""
        output, self._output = self._output, b""
        return output

    def check_deadline(self, now: float) -> None:
        """Raise RemoteProtocolError when an ack is overdue."""
        if now >= self.deadline:
            raise self._broken(f"no ack within {self._ack_timeout:g} s")

    @property
    def deadline(self) -> float:
        """When the first ack is overdue; chunks are sent one after another, so the oldest is due first."""
        return next(iter(self.unacked.values()), math.inf)

    def waiting_for(self) -> str:
        """Say what the session waits for, for the message of a time-out."""
        if self.state is State.WAIT_HELO:
            return (
                "it accepted the connection but sent no HELO; is there a <security> section in its configuration, "
                "and is it a Forward input without TLS?"
            )
        return "it did not answer our PING"

    def _response(self, response: object) -> None:
        if self.state is State.OPEN:
            self._ack(response)
        elif self.state is State.WAIT_HELO:
            self._helo(response)
        elif self.state is State.WAIT_PONG:
            self._pong(response)

    def _ack(self, response: object) -> None:
        ident = response.get("ack", response.get(b"ack")) if isinstance(response, dict) else None
        if isinstance(ident, bytes):
            ident = ident.decode("ascii", "backslashreplace")
        if isinstance(ident, str) and ident in self.unacked:
            del self.unacked[ident]
            self._acked.append(ident)
            return
        if isinstance(response, list) and response[:1] == [b"HELO"]:
            raise self._broken(
                "it asks for a shared key (HELO), but none is configured; add [forward.security] with its shared_key",
                AuthenticationError,
            )
        raise self._broken(f"it sent {_shown(response)}, which is not an ack that we wait for")

    def _helo(self, response: object) -> None:
        options = response[1] if isinstance(response, list) and len(response) == 2 else None
        if not isinstance(options, dict) or response[0] != b"HELO":  # type: ignore[index]
            raise self._broken(f"it sent {_shown(response)} instead of HELO")
        nonce, auth = options.get(b"nonce", b""), options.get(b"auth", b"")
        if not isinstance(nonce, bytes) or not isinstance(auth, bytes):
            raise self._broken("its HELO has a nonce or auth that is not a string")
        cred = self._own_credentials()
        digest = shared_key_digest(cred.salt.encode(), cred.self_hostname, nonce, cred.shared_key)
        user = [cred.username, password_digest(auth, cred.username, cred.password)] if auth else ["", ""]
        self._nonce, self.state = nonce, State.WAIT_PONG
        self._output = msgpack.packb(["PING", cred.self_hostname, cred.salt, digest, *user])

    def _pong(self, response: object) -> None:
        if not isinstance(response, list) or len(response) != 5 or response[0] != b"PONG":
            raise self._broken(f"it sent {_shown(response)} instead of PONG")
        accepted, reason, hostname, digest = response[1:]
        cred = self._own_credentials()
        if accepted is not True:
            raise self._broken(
                f"it refused our credentials ({_shown(reason)}); compare shared_key, username and password with its own",
                AuthenticationError,
            )
        if not isinstance(hostname, bytes) or not isinstance(digest, bytes):
            raise self._broken("its PONG is malformed", AuthenticationError)
        name = hostname.decode("utf-8", "surrogateescape")
        expected = shared_key_digest(cred.salt.encode(), name, self._nonce, cred.shared_key)
        if not hmac.compare_digest(expected.encode("ascii"), digest):
            raise self._broken(
                "it could not prove that it knows our shared_key; it may be an impostor", AuthenticationError
            )
        if name == cred.self_hostname:
            raise self._broken(
                f"it calls itself {_shown(hostname)}, which is our own self_hostname; give each side its own name",
                AuthenticationError,
            )
        self.state = State.OPEN

    def _own_credentials(self) -> Credentials:
        if self._credentials is None:
            raise LocalProtocolError("a handshake without credentials")
        return self._credentials

    def _ended(self) -> RemoteProtocolError:
        if self.state in (State.WAIT_HELO, State.WAIT_PONG):
            return self._broken(
                "it closed the connection during the handshake, which is how many servers refuse a wrong "
                "shared_key; compare shared_key, username and password with its own",
                AuthenticationError,
            )
        return self._broken("it closed the connection", PeerClosedError)

    def _broken(
        self, reason: str, kind: type[RemoteProtocolError] = RemoteProtocolError
    ) -> RemoteProtocolError:
        self.state = State.BROKEN
        return kind(reason)


class _Reader(Protocol):
    def feed(self, data: bytes) -> None: ...
    def __iter__(self) -> Iterator[object]: ...


class _MsgpackReader:
    """Responses cut anywhere, several or parts of one at a time; strings stay bytes."""

    def __init__(self) -> None:
        self._unpacker = msgpack.Unpacker(
            raw=True,
            strict_map_key=False,
            max_buffer_size=MAX_RESPONSE,
            max_array_len=MAX_ELEMENTS,
            max_map_len=MAX_ELEMENTS,
        )

    def feed(self, data: bytes) -> None:
        self._unpacker.feed(data)

    def __iter__(self) -> Iterator[object]:
        return iter(self._unpacker)


class _JsonReader:
    """The same for JSON texts, one after another; an ack as servers write it takes the short way."""

    _plain_ack = re.compile(rb'{"ack": ?"([ !#-\[\]-~]*)"}[ \t\r\n]*')

    def __init__(self) -> None:
        self._messages = JsonMessages(MAX_RESPONSE)
        self._unanswered = 0
        self._plain: list[object] = []

    def feed(self, data: bytes) -> None:
        at = 0
        while not self._messages.unfinished and (ack := self._plain_ack.match(data, at)):
            self._plain.append({"ack": ack[1].decode("ascii")})
            at, self._unanswered = ack.end(), 0
        self._unanswered += len(data) - at
        if at < len(data):
            self._messages.feed(data[at:])

    def __iter__(self) -> Iterator[object]:
        plain, self._plain = self._plain, []
        yield from plain
        while message := self._messages.next_message():
            self._unanswered = 0
            yield message.content
        if self._unanswered > MAX_RESPONSE:  # of blanks: nobody keeps them, but they have a limit, too
            raise ValueError(f"{MAX_RESPONSE} bytes without a response")


def _shown(response: object) -> str:
    """What a peer sent, short and harmless enough for our log."""
    if isinstance(response, bytes):
        response = response.decode("utf-8", "surrogateescape")
    try:
        text = ascii(response)
    except RecursionError:
        return "something that is nested deeply"
    return text if len(text) <= 80 else text[:77] + "..."
