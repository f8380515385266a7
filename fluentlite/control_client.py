"""Asking a running master."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fluentlite.core.display import defuse
from fluentlite.core.snapshot import read_snapshot
from fluentlite.errors import FluentliteError, RemoteProtocolError, StateError
from fluentlite.master.directories import socket_path
from fluentlite.master.peer import Peer, peer_of
from fluentlite.master.pidfile import owner_of
from fluentlite.trust import is_of, name_of

MAX_ANSWER = 16 * 1024 * 1024
"""Most bytes of an answer. The status of 1,000 logs has 600 KB; as Python's objects it takes up to 24 times its size."""

LONGEST_PROBLEM = 4096
"""Characters of a problem that are told."""


class NotRunningError(StateError):
    """There is no master: no control socket, or nobody who listens on it."""


class ImpostorError(StateError):
    """Somebody answers who can be no master of this run_dir."""


class NoAnswerError(StateError):
    """
    There is a master, but it gave no answer.

    Attributes:
        pid: Of the master, if it is known.
    """

    def __init__(self, message: str, pid: int | None) -> None:
        super().__init__(message)
        self.pid = pid


@dataclass(frozen=True, slots=True)
class Running:
    """
    A master that answers.

    Attributes:
        pid: As the kernel tells it, where it can; what is signalled must not be chosen by who answers.
        config: Path of its configuration.
        is_stopping: It has been told to stop.
    """

    pid: int
    config: str
    is_stopping: bool


def ask_master(run_dir: str, timeout: float) -> Running:
    """
    Ask who runs in *run_dir*.

    Raises:
        NotRunningError: Nobody.
        NoAnswerError: No answer, or none that says so.
        FluentliteError: We may not ask.
    """
    answer, peer = _ask(run_dir, "status", timeout)
    try:
        master = read_snapshot(answer).master
    except RemoteProtocolError as exc:
        raise NoAnswerError(f"{socket_path(run_dir)}: {exc}", peer.pid or None) from exc
    config = master.config if "\0" not in master.config else ""
    return Running(peer.pid or max(0, int(master.pid)), config, answer["master"].get("is_stopping") is True)


def ask(run_dir: str, command: str, timeout: float) -> dict[str, Any]:
    """
    Ask the master whose control socket is in *run_dir*.

    Args:
        command: ``status``, ``reload`` or ``stop``.
        timeout: Seconds for all of it: connecting, asking, and the whole answer.

    Returns:
        The answer as it came; ``{"ok": False, "problems": [...]}`` if it was refused.

    Raises:
        NotRunningError: Nobody is there.
        NoAnswerError: Somebody is there, but no answer came in time, or none that can be understood.
        ImpostorError: Whoever is there can be no master of this run_dir; it was told nothing.
        FluentliteError: We may not ask.
    """
    return _ask(run_dir, command, timeout)[0]


def problems_of(answer: Mapping[str, object]) -> list[str]:
    """Return why a command was refused or has failed, harmless for a terminal; nothing if it has not."""
    if answer.get("ok"):
        return []
    problems = answer.get("problems")
    texts = (
        map(str, problems) if isinstance(problems, list) and problems else ["it was refused without a reason"]
    )
    return [defuse(text[:LONGEST_PROBLEM]) for text in texts]


def pid_of_answering(run_dir: str, timeout: float) -> int:
    """
    Return the pid of the master that answers, as the kernel knows it, too: whoever signals it must not meet a stranger.

    Raises:
        FluentliteError: As ``ask``, or it is not sure which process answers.
    """
    answer, peer = _ask(run_dir, "status", timeout)
    master = answer.get("master")
    if not isinstance(master, dict) or master.get("pid") != peer.pid or owner_of(peer.pid) != peer.uid:
        raise ImpostorError(
            f"{socket_path(run_dir)}: it is not sure which process answers there, so none was signalled. Find it: "
            f"ss -xlp src {socket_path(run_dir)}"
        )
    return peer.pid


def _ask(run_dir: str, command: str, timeout: float) -> tuple[dict[str, Any], Peer]:
    path, give_up_at = socket_path(run_dir), time.monotonic() + timeout
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            _connect(connection, path, give_up_at)
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError) as exc:
            raise NotRunningError(
                f"fluentlite is not running: nobody listens at {path}. "
                'Say "fluentlite start"; if it runs with another configuration, name that with -c.'
            ) from exc
        except TimeoutError as exc:
            raise _no_answer(path, None, f"did not accept a connection within {timeout:g} s") from exc
        except OSError as exc:
            raise _cannot_ask(path, exc) from exc
        peer = peer_of(connection)
        _check(run_dir, peer)
        pid = peer.pid or None
        try:
            return understand_answer(_exchange(connection, command, give_up_at)), peer
        except TimeoutError as exc:
            raise _no_answer(path, pid, f'did not answer "{command}" within {timeout:g} s') from exc
        except (OSError, ValueError) as exc:
            raise _no_answer(
                path, pid, f'gave no answer to "{command}" that can be understood ({exc})'
            ) from exc


def _connect(connection: socket.socket, path: str, give_up_at: float) -> None:
    """A master that is busy has a full queue: then a non-blocking connect is refused, and a blocking one never ends."""
    connection.setblocking(False)
    while True:
        try:
            connection.connect(path)
            return
        except BlockingIOError:
            time.sleep(min(0.01, _remaining(give_up_at)))


def _exchange(connection: socket.socket, command: str, give_up_at: float) -> bytes:
    """
    Send the request and return all that comes until the connection is closed.

    A master with too many clients answers without reading what we ask: that breaks the connection, but
    behind its answer.
    """
    connection.settimeout(_remaining(give_up_at))
    with contextlib.suppress(BrokenPipeError):
        connection.sendall(json.dumps({"command": command}).encode() + b"\n", socket.MSG_NOSIGNAL)
    answer = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while part := _receive(connection, give_up_at):
            answer += part
            if len(answer) > MAX_ANSWER:
                raise ValueError(f"it is longer than {MAX_ANSWER} bytes")
    return bytes(answer)


def _receive(connection: socket.socket, give_up_at: float) -> bytes:
    connection.settimeout(_remaining(give_up_at))
    return connection.recv(1 << 16)


def _remaining(give_up_at: float) -> float:
    """
    Raises:
        TimeoutError: The time is up.
    """
    remaining = give_up_at - time.monotonic()
    if remaining <= 0:
        raise TimeoutError
    return remaining


def understand_answer(answer: bytes) -> dict[str, Any]:
    """
    Read an answer, one line of JSON.

    Raises:
        ValueError: It is none; with the reason.
    """
    if not answer.endswith(b"\n"):
        raise ValueError(
            "the connection was closed before its end" if answer else "the connection was closed"
        )
    try:
        content = json.loads(answer)
    except RecursionError as exc:
        raise ValueError("it is nested too deeply") from exc
    if not isinstance(content, dict):
        raise ValueError("it is no JSON object")
    return content


def _check(run_dir: str, peer: Peer) -> None:
    """
    Raises:
        ImpostorError: It is neither root's nor ours, and not of a user who has *run_dir* for himself alone.
    """
    if peer.uid not in (0, os.geteuid()) and not is_of(run_dir, peer.uid):
        raise ImpostorError(
            f"{socket_path(run_dir)}: {name_of(peer.uid)} answers there (pid {peer.pid}), whose directory this is not: it "
            "is no fluentlite that we believe. Look who may write there, and at run_dir in the configuration."
        )


def _no_answer(path: str, pid: int | None, what: str) -> NoAnswerError:
    who = f"fluentlite (pid {pid})" if pid else f"fluentlite at {path}"
    look = f' ("ps -o stat,wchan:20,args {pid}")' if pid else ""
    return NoAnswerError(f"{who} {what}. Look into its log, and whether it is suspended{look}.", pid)


def _cannot_ask(path: str, exc: OSError) -> FluentliteError:
    if isinstance(exc, PermissionError):
        return FluentliteError(
            f"{path}: user {os.geteuid()} may not use the control socket ({exc.strerror}). Ask as root or as the "
            'user who started fluentlite, or let others into its directory ("chmod 755").'
        )
    remedy = "Look at run_dir in the configuration." if exc.errno else "Choose a shorter run_dir."
    return StateError(f"{path}: the control socket cannot be used ({exc.strerror or exc}). {remedy}")
