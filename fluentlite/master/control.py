"""
The control socket: a question, one line of JSON; an answer, one line of JSON.

Everybody on the machine may connect, so nothing that a client sends, or does not send or read, can stop or
bloat the master, or keep its owner from being answered.
"""

from __future__ import annotations

import json
import logging
import math
import os
import socket
import time
from collections.abc import Callable, Mapping

from fluentlite.loop import WRITE, Loop
from fluentlite.master.listener import Listener
from fluentlite.master.peer import Peer, peer_of
from fluentlite.master.request import FOR_OWNER, REMEDY, command_of, problem
from fluentlite.report import Condition

log = logging.getLogger(__name__)

MAX_CLIENTS = 64
"""Connections at one time; who comes then waits in the kernel's queue."""

MAX_STRANGERS = 48
"""How many of them may be neither our owner's nor root's; so these two always find a place."""

MAX_REQUEST = 4096
"""Bytes."""

REQUEST_TIMEOUT = 10.0
"""Seconds in which the whole request must come."""

ANSWER_TIMEOUT = 30.0
"""Seconds without progress after which a client that does not read its answer is left."""

WHOLE_ANSWER_TIMEOUT = 300.0
"""Seconds for all of it: who takes a byte now and then would hold its megabyte, and its place, for ever."""

ACCEPTED_PER_TURN = 16

PAUSE = 1.0
"""Seconds without accepting when there is no descriptor for another client."""


class Reply:
    """Sends the answer to one request, now or later."""

    def __init__(self, client: _Client) -> None:
        self.peer = client.peer
        self._client: _Client | None = client

    def send(self, answer: Mapping[str, object]) -> None:
        """Send *answer*, once. A client that is gone, and a second answer, are ignored."""
        client, self._client = self._client, None
        if client is not None:
            client.send(answer)


class ControlServer:
    """
    Args:
        path: Where the socket is made.
        loop: Watches the descriptors.
        answer: Called with a command that is permitted, and with what its answer is to be sent by.

    Raises:
        StateError: The socket cannot be made, or something else is in its place.
    """

    def __init__(self, path: str, loop: Loop, answer: Callable[[str, Reply], None]) -> None:
        self._path, self._loop, self._answer = path, loop, answer
        self._owner = os.geteuid()
        self._clients: set[_Client] = set()
        self._resume_at = math.inf
        self._trouble = Condition(log)
        self._listener = Listener(path)
        self._watch_listener()

    @property
    def deadline(self) -> float:
        """When ``tick`` has something to do, in monotonic seconds."""
        return min([self._resume_at, *(client.deadline for client in self._clients)])

    @property
    def has_unsent(self) -> bool:
        """Whether an answer is still on its way."""
        return any(client.has_unsent for client in self._clients)

    def tick(self, now: float) -> None:
        """Leave the clients that take too long."""
        for client in [client for client in self._clients if client.deadline <= now]:
            client.is_late()
        if self._resume_at <= now:
            self._resume_at = math.inf
            self._watch_listener()

    def is_there(self) -> bool:
        """Whether the socket can be found where it should be."""
        return self._listener.is_there()

    def replace(self) -> None:
        """
        Listen at the path again, which somebody has removed; clients are kept.

        Raises:
            StateError: As when it was made.
        """
        listener = Listener(self._path)
        self._loop.unwatch(self._listener.socket.fileno())
        self._listener.close()
        self._listener = listener
        self._watch_listener()
        log.warning("%s: somebody removed the control socket; it has been made again", self._path)

    def close(self) -> None:
        """End all connections, answered or not, and remove the socket."""
        self._loop.unwatch(self._listener.socket.fileno())
        self._listener.close()
        for client in list(self._clients):
            client.close()

    # -- clients ----------------------------------------------------------------------------------------

    def _watch_listener(self) -> None:
        try:
            self._loop.watch(self._listener.socket.fileno(), self._on_connections)
        except OSError as exc:  # no memory; it is tried again
            self._pause(exc)

    def _on_connections(self, _events: int) -> None:
        for _ in range(ACCEPTED_PER_TURN):  # the workers' turn comes too, however many connect
            if len(self._clients) >= MAX_CLIENTS:
                self._loop.unwatch(self._listener.socket.fileno())
                return
            try:
                accepted, _ = self._listener.socket.accept()
                self._welcome(accepted)
            except BlockingIOError:
                return
            except OSError as exc:
                self._pause(exc)
                return
            self._trouble.clear(f"{self._path}: clients of the control socket are accepted again")

    def _pause(self, exc: OSError) -> None:
        """Without this, the waiting client would wake us again and again."""
        self._trouble.raise_(
            f"{self._path}: no client of the control socket can be accepted ({exc.strerror}). Raise the limit of open "
            "files (ulimit -n; LimitNOFILE)."
        )
        self._loop.unwatch(self._listener.socket.fileno())
        self._resume_at = time.monotonic() + PAUSE

    def _welcome(self, accepted: socket.socket) -> None:
        try:
            accepted.setblocking(False)
            client = _Client(accepted, self._loop, self._asked, self._closed)
        except OSError:  # no memory to watch it with
            accepted.close()
            raise
        self._clients.add(client)
        if sum(not self._may_rule(other.peer) for other in self._clients) > MAX_STRANGERS:
            client.send(problem(f"{self._path}: too many others are asking just now. Try again in a moment."))

    def _may_rule(self, peer: Peer) -> bool:
        return peer.uid in (0, self._owner)

    def _closed(self, client: _Client) -> None:
        self._clients.discard(client)
        if self._resume_at == math.inf and self._listener.socket.fileno() >= 0:
            self._watch_listener()

    def _asked(self, client: _Client, request: bytes) -> None:
        try:
            command = command_of(request)
        except ValueError as exc:
            client.send(problem(str(exc)))
            return
        if command in FOR_OWNER and not self._may_rule(client.peer):
            log.info("%s: refused to uid %d (pid %d)", command, client.peer.uid, client.peer.pid)
            client.send(
                problem(
                    f"{command}: user {client.peer.uid} may only ask for the status. "
                    f"Say it as root or as user {self._owner}, who started fluentlite."
                )
            )
            return
        self._answer(command, Reply(client))


class _Client:
    """One connection: reads a request, waits for the answer, sends it, closes."""

    def __init__(
        self,
        connection: socket.socket,
        loop: Loop,
        asked: Callable[[_Client, bytes], None],
        closed: Callable[[_Client], None],
    ) -> None:
        self._socket, self._loop, self._asked, self._closed = connection, loop, asked, closed
        self.peer = peer_of(connection)
        self.deadline = time.monotonic() + REQUEST_TIMEOUT
        self._give_up_at = math.inf
        self._request = b""
        self._unsent = memoryview(b"")
        loop.watch(connection.fileno(), self._on_request)

    @property
    def has_unsent(self) -> bool:
        return bool(self._unsent)

    def is_late(self) -> None:
        """Its deadline has passed."""
        if self._unsent:
            self.close()
        else:
            self.send(problem(f"no whole request came within {REQUEST_TIMEOUT:g} s. {REMEDY}"))

    def send(self, answer: Mapping[str, object]) -> None:
        """Send *answer* and close; after ``close`` nothing happens."""
        if self._socket.fileno() < 0:
            return
        self._unsent = memoryview(json.dumps(answer).encode() + b"\n")
        self._give_up_at = time.monotonic() + WHOLE_ANSWER_TIMEOUT
        self._note_progress()
        self._on_writable(WRITE)

    def close(self) -> None:
        """End the connection, whatever is still to be sent."""
        if self._socket.fileno() < 0:
            return
        self._loop.unwatch(self._socket.fileno())
        self._socket.close()
        self._unsent = memoryview(b"")
        self._closed(self)

    def _on_request(self, _events: int) -> None:
        try:
            data = self._socket.recv(MAX_REQUEST + 1)
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        request, newline, _ = (self._request + data).partition(b"\n")
        if len(request) > MAX_REQUEST:
            self.send(problem(f"the request is longer than {MAX_REQUEST} bytes. {REMEDY}"))
        elif newline or (request and not data):  # a last line needs no newline
            self._loop.unwatch(self._socket.fileno())
            self.deadline = math.inf
            self._asked(self, request)
        elif not data:
            self.close()
        else:
            self._request = request

    def _on_writable(self, _events: int) -> None:
        try:
            if self._has_taken_all():
                self.close()
            else:
                self._loop.watch(self._socket.fileno(), self._on_writable, WRITE)
        except OSError:  # it does not want to know any more, or there is no memory to wait with
            self.close()

    def _has_taken_all(self) -> bool:
        try:
            while self._unsent:
                self._unsent = self._unsent[self._socket.send(self._unsent, socket.MSG_NOSIGNAL) :]
                self._note_progress()
        except BlockingIOError:
            return False
        return True

    def _note_progress(self) -> None:
        self.deadline = min(time.monotonic() + ANSWER_TIMEOUT, self._give_up_at)
