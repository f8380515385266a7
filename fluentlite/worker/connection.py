"""One connection to one server: name, TCP, TLS, handshake, chunks out, acks in. Nothing here ever waits."""

from __future__ import annotations

import errno
import math
import socket
import time
from collections import deque
from collections.abc import Sequence

from fluentlite.config.model import ForwardSettings, Server
from fluentlite.core.forward import Chunk
from fluentlite.core.session import ForwardSession, State
from fluentlite.errors import AuthenticationError, ConfigError, PeerClosedError, RemoteProtocolError
from fluentlite.loop import READ, WRITE, Loop
from fluentlite.transport import Transport
from fluentlite.worker.beginning import new_session, transport_over
from fluentlite.worker.dial import Dialer
from fluentlite.worker.outgoing import Outgoing

TLS_GRACE = 0.5
"""Seconds within which a server that does not accept our certificate says so, if it says nothing before."""


class Connection:
    """
    Args:
        server: Where to.
        settings: How.
        loop: Watches the descriptors.

    Attributes:
        error: Why it was closed, beginning with the server; empty while it is open.
        is_refused: The server refused our credentials, or could not show its own.
        is_established: Chunks can be sent.
        was_established: They could at some time.
        established_at: When that was (monotonic seconds).
        acks: How many have come.
        is_overdue: It was closed because an ack was overdue.
        is_stuck: It was closed because the server did nothing: no ack came, or it took no bytes.
        is_left: It was established, and the server has closed or reset it.
        begun: The id of the last chunk of which the kernel has taken something.
    """

    def __init__(self, server: Server, settings: ForwardSettings, loop: Loop) -> None:
        self.server, self._settings, self._loop = server, settings, loop
        self.error = ""
        self.is_refused = self.was_established = self.is_overdue = self.is_stuck = self.is_left = False
        self.begun = ""
        self.established_at = self._believed_at = math.inf
        self.acks = 0
        self._delivered: list[str] = []
        self._outgoing: deque[Outgoing] = deque()
        self._transport: Transport | None = None
        self._session: ForwardSession | None = None
        self._deadline = time.monotonic() + settings.connect_timeout
        self._dialer: Dialer | None = Dialer(server, settings.connect_timeout, loop)

    # -- what the sender uses ---------------------------------------------------------------------------

    @property
    def is_closed(self) -> bool:
        return bool(self.error)

    @property
    def is_established(self) -> bool:
        return self.was_established and not self.error

    @property
    def has_news(self) -> bool:
        """Whether it was closed, or something was delivered, since ``take_delivered``."""
        return bool(self.error or self._delivered)

    @property
    def has_unsent(self) -> bool:
        """Whether something is left that the kernel has not taken."""
        return bool(self._outgoing)

    @property
    def deadline(self) -> float:
        """When ``check`` will find something overdue, in monotonic seconds."""
        if self.is_closed:
            return math.inf
        if self._dialer is not None:
            return self._dialer.deadline
        if not self.was_established or self._session is None:
            return min(self._deadline, self._believed_at)
        sending = self._outgoing[0].started_at + self._settings.send_timeout if self._outgoing else math.inf
        return min(sending, self._session.deadline)

    def send_chunk(self, chunk: Chunk) -> None:
        """Send *chunk*; ``take_delivered`` will return its id."""
        if self._session is not None and self._settings.require_ack_response:
            self._session.expect_ack(chunk.id)
        self._send(chunk.buffers, chunk.id)

    def send_message(self, message: bytes) -> None:
        """Send something that nobody acknowledges."""
        self._send((message,), "")

    def take_delivered(self) -> list[str]:
        """Return the ids of the chunks that were acknowledged, or, without acks, taken by the kernel."""
        delivered, self._delivered = self._delivered, []
        return delivered

    def check(self, now: float) -> None:
        """Go on connecting; close the connection if a deadline has passed."""
        if self._dialer is not None:
            self._dialer.check(now)
            self._advance()
        if now < self.deadline or self._session is None:
            return
        self._read()  # after a suspend the clock may have run ahead of what has arrived long ago
        if now < self.deadline:
            return
        if not self.was_established:
            self._fail(f"no handshake within {self._settings.connect_timeout:g} s: {self._waiting_for()}")
        elif self._outgoing and now >= self._outgoing[0].started_at + self._settings.send_timeout:
            self.is_stuck = True
            self._fail(f"it did not take a chunk within {self._settings.send_timeout:g} s")
        else:
            try:
                self._session.check_deadline(now)
            except RemoteProtocolError as exc:
                self.is_overdue = self.is_stuck = True
                self._fail(str(exc))

    def close(self, reason: str = "closed by us") -> None:
        """Close it; what was written stays with the kernel."""
        if not self.error:
            self.error = f"{self.server}: {reason}"
        if self._dialer is not None:
            self._dialer.close()
            self._dialer = None
        if self._transport is not None:
            self._loop.unwatch(self._transport.fileno())
            self._transport.close()
            self._transport = None
        self._outgoing.clear()

    # -- connecting -------------------------------------------------------------------------------------

    def _advance(self) -> None:
        """See how far the dialer has come."""
        if self._dialer is None:
            return
        sock = self._dialer.take_socket()
        if sock is not None:
            self._dialer = None
            self._connected(sock)
        elif self._dialer.error:
            self._fail(self._dialer.error)

    def _connected(self, sock: socket.socket) -> None:
        try:
            self._transport = transport_over(sock, self.server, self._settings)
        except (ConfigError, OSError) as exc:  # its files, or no memory
            sock.close()
            self._fail(_reason(exc))
            return
        self._session = new_session(self._settings)
        if not self._transport.is_open:
            self._read()  # who speaks TLS begins
        self._note_state()
        self._watch()

    def _waiting_for(self) -> str:
        if self._transport is not None and not self._transport.is_open:
            return "it accepted the connection but does not answer in TLS; is it a Forward input with TLS?"
        waiting = "" if self._session is None else self._session.waiting_for()
        return (
            waiting.replace(", and is it a Forward input without TLS", "") if self._settings.tls else waiting
        )

    def _note_state(self) -> None:
        if self.was_established or self._session is None or self._transport is None:
            return
        if self._transport.is_open and self._session.state is State.OPEN:
            now = time.monotonic()
            # Not before: a server that does not accept us would lose the chunk, and with it the word why.
            self._believed_at = min(self._believed_at, now + TLS_GRACE, self._deadline)
            if self._transport.is_proven or now >= self._believed_at:
                self.was_established, self.established_at = True, now

    # -- established ------------------------------------------------------------------------------------

    def _send(self, buffers: Sequence[bytes], chunk_id: str) -> None:
        self._outgoing.append(Outgoing(buffers, chunk_id))
        if len(self._outgoing) == 1:
            self._write()

    def _on_ready(self, events: int) -> None:
        if events & READ:
            self._read()
        if events & WRITE and not self.is_closed:
            self._write()
        self._watch()

    def _read(self) -> None:
        """Take what the peer sent: acks, a part of a handshake, or its end."""
        session = self._session
        if session is None or self.is_closed:
            return
        try:
            session.receive_data(self._open_transport().receive())
        except BlockingIOError:
            self._note_state()  # TLS may be ready now, and the server need not speak first
            return
        except (OSError, RemoteProtocolError) as exc:
            self.is_refused = isinstance(exc, AuthenticationError)
            self._fail_by(exc)
        acked = session.take_acked()  # also what came before a failure
        self._delivered += acked
        self.acks += len(acked)
        if self.is_closed:
            return
        self._note_state()
        output = session.take_output()
        if output:
            self._send((output,), "")

    def _write(self) -> None:
        """Write until the kernel takes no more. Acks and a close by the peer are looked for first."""
        self._read()
        try:
            while self._outgoing and not self.is_closed:
                head = self._outgoing[0]
                head.started_at = min(head.started_at, time.monotonic())
                head.drop(self._open_transport().send(head.buffers))
                self.begun = head.chunk_id or self.begun
                if not head.buffers:
                    self._written(self._outgoing.popleft())
        except BlockingIOError:
            pass
        except (OSError, RemoteProtocolError) as exc:
            self._read_rest()
            self._fail_by(exc)
        self._watch()

    def _watch(self) -> None:
        """Wait for what can be done next."""
        if self._transport is not None:
            events = READ | WRITE if self._outgoing or self._transport.has_pending else READ
            self._loop.watch(self._transport.fileno(), self._on_ready, events)

    def _written(self, outgoing: Outgoing) -> None:
        if not outgoing.chunk_id or self._session is None:
            return
        if self._settings.require_ack_response:
            self._session.chunk_sent(outgoing.chunk_id, time.monotonic())
        else:
            self._delivered.append(outgoing.chunk_id)

    def _hint(self) -> str:
        """What it may mean that a server ends a connection on which it has never said anything."""
        is_through = self._transport is not None and self._transport.is_open
        if self.acks or self.is_refused or not is_through or self._settings.security is not None:
            return ""
        if self._settings.format == "json":
            return " before it had acknowledged anything; does it take JSON? Fluent Bit does not"
        if self._settings.tls is None:
            return " before it had acknowledged anything; does it want TLS?"
        # In TLS 1.3 a server looks at our certificate when we are through, and it may have no word for what it sees.
        return " before it had answered; does it accept our certificate? See cert_file and key_file in [forward.tls], and its own log"

    def _read_rest(self) -> None:
        """Writing failed; acks that came before the end still count, which saves sending again."""
        seen = -1
        while not self.is_closed and seen != self.acks:
            seen = self.acks
            self._read()

    def _open_transport(self) -> Transport:
        if self._transport is None:
            raise OSError(errno.EBADF, "the connection is closed")
        return self._transport

    def _fail_by(self, exc: Exception) -> None:
        # A network that fails does not speak for the server.
        is_left = isinstance(exc, PeerClosedError | ConnectionResetError | BrokenPipeError)
        self.is_left = self.is_left or (is_left and self.is_established)
        self._fail(_reason(exc) + (self._hint() if is_left else ""))

    def _fail(self, reason: str) -> None:
        if not self.error:
            self.close(reason)


def _reason(exc: Exception) -> str:
    return exc.strerror or str(exc) if isinstance(exc, OSError) else str(exc).rstrip(".")
