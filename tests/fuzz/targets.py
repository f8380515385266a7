"""The readers of what others wrote, each as a function of bytes that raises only if something is wrong with the reader."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import struct
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgpack

from fluentlite.config import legacy, toml
from fluentlite.config import legacy_table as table
from fluentlite.config.legacy_notes import run_dir_in
from fluentlite.config.legacy_script import understand
from fluentlite.config.problems import Problems
from fluentlite.config.servers import parse_server, parse_server_list
from fluentlite.config.shell import Sourced
from fluentlite.config.whereabouts import find_master
from fluentlite.control_client import problems_of, understand_answer
from fluentlite.core.decode import Reading
from fluentlite.core.handshake import shared_key_digest
from fluentlite.core.lines import MARKER_SIZE
from fluentlite.core.position import (
    MAGIC,
    SLOT_SIZE,
    Marker,
    Point,
    SlotError,
    State,
    checkpoint_name,
    encode_slot,
    newest,
    split_slots,
)
from fluentlite.core.printing import json_lines, raw_lines
from fluentlite.core.rotation import Identity
from fluentlite.core.server_session import ServerSecurity, ServerSession
from fluentlite.core.server_session import State as ServerState
from fluentlite.core.session import Credentials, ForwardSession
from fluentlite.core.session import State as ClientState
from fluentlite.core.snapshot import documented, read_snapshot
from fluentlite.core.status_table import View, render, unwell
from fluentlite.errors import ConfigError, RemoteProtocolError
from fluentlite.master.request import COMMANDS, command_of
from fluentlite.worker.files import marker_at

ENVIRON = {"A": "alpha", "B": "\udcff", "LONG": "x" * 100_000}
A, B = "AAAAAAAAAAAAAAAAAAAAAA==", "BBBBBBBBBBBBBBBBBBBBBB=="
CREDENTIALS = Credentials("the-key", "client.example", "alice", "wonder", "salt")
SECURITY = ServerSecurity("the-key", "server.example", {"alice": "wonder"})
LONGEST_MESSAGE = 1000
"""Characters of a message about a peer: it goes into our log, again and again."""


@dataclass(frozen=True)
class Target:
    """
    Attributes:
        run: Called with any bytes.
        seeds: Inputs as they should be, to begin with.
        longest: Bytes of an input that is worth trying.
    """

    run: Callable[[bytes], None]
    seeds: tuple[bytes, ...]
    longest: int = 4096


def harmless(message: str) -> None:
    """A message about a peer is short, on one line, and moves no cursor."""
    assert message
    assert message.isprintable(), message
    assert len(message) <= LONGEST_MESSAGE, len(message)


# -- our side of a connection -------------------------------------------------------------------------------


def _client(session: ForwardSession, data: bytes, step: int) -> tuple[object, ...]:
    sent, pings, error = set(session.unacked), 0, None
    try:
        for at in range(0, len(data), step):
            session.receive_data(data[at : at + step])
            pings += bool(session.take_output())
    except RemoteProtocolError as exc:
        assert session.state is ClientState.BROKEN
        harmless(str(exc))
        error = type(exc)
    else:
        assert session.state is not ClientState.BROKEN
    acked = session.take_acked()
    assert pings <= 1
    assert sorted([*acked, *session.unacked]) == sorted(sent), "acknowledged once, and only what was sent"
    return acked, session.state, error


def _acks(data: bytes, *, as_json: bool) -> None:
    outcomes = []
    for step in (1 << 16, 19):
        session = ForwardSession(60.0, as_json=as_json)
        for ident in (A, B):
            session.expect_ack(ident)
            session.chunk_sent(ident, 100.0)
        outcomes.append(_client(session, data, step))
    assert outcomes[0] == outcomes[1], "it does not matter where reads cut"


def _handshake(data: bytes) -> None:
    outcomes = [_client(ForwardSession(60.0, CREDENTIALS), data, step) for step in (1 << 16, 19)]
    assert outcomes[0] == outcomes[1]


def _pong(key: str = CREDENTIALS.shared_key) -> bytes:
    return msgpack.packb(
        ["PONG", True, "", "server.example", shared_key_digest(b"salt", "server.example", b"nonce", key)]
    )


_HELO = msgpack.packb(["HELO", {"nonce": b"nonce", "auth": b"auth", "keepalive": True}])
_ACKS = tuple(msgpack.packb({"ack": ident}) for ident in (A, B))


# -- the server's side --------------------------------------------------------------------------------------


def _server(data: bytes, security: ServerSecurity | None, reading: Reading, step: int) -> tuple[object, ...]:
    session, chunks, error = ServerSession(reading, security, nonce=b"n" * 16, auth=b"a" * 16), 0, None
    try:
        for at in range(0, len(data), step):
            session.receive_data(data[at : at + step])
            while chunk := session.next_chunk():
                assert session.state is ServerState.OPEN
                chunks += 1
                assert json_lines(chunk).count(b"\n") == len(chunk.events)
                raw_lines(chunk, "message")
                session.acknowledge(chunk)
        session.receive_data(b"")
    except RemoteProtocolError as exc:
        # Printing may refuse a record as well; then the session itself is fine.
        assert session.state in (ServerState.BROKEN, ServerState.OPEN)
        harmless(str(exc))
        error = type(exc)
    else:
        assert session.state is ServerState.ENDED
    return chunks, len(session.take_output()), error


def _receiver(data: bytes) -> None:
    reading = list(Reading)[len(data) % len(Reading)]
    outcomes = [_server(data, None, reading, step) for step in (1 << 16, 61)]
    assert outcomes[0] == outcomes[1], "it does not matter where reads cut"


def _ping(data: bytes) -> None:
    assert _server(data, SECURITY, Reading.DECODE, 1 << 16) == _server(data, SECURITY, Reading.DECODE, 61)


_ENTRIES = msgpack.packb([msgpack.ExtType(0, bytes(8)), {"message": "x"}]) * 2
_PING = [
    "PING", "client.example", "salt",
    shared_key_digest(b"salt", "client.example", b"n" * 16, "the-key"), "alice", "0" * 128,
]  # fmt: skip
_CHUNKS = (
    msgpack.packb(["app", _ENTRIES, {"size": 2, "chunk": A}]),
    msgpack.packb(["app", [[1, {"message": "x"}], [[2.5, {}], {"n": 1}]], {"chunk": A}]),
    msgpack.packb(["app", 1, {"message": b"\xff", "t": msgpack.Timestamp(1, 2)}]),
    msgpack.packb(["app", gzip.compress(_ENTRIES, mtime=0), {"compressed": "gzip", "size": 2}]),
    b'["app",[[1,{"message":"\\u00e9\\\\\\ud800"}]],{"chunk":"x"}] ["app",1,{}]',
    msgpack.packb(None) + msgpack.packb(["app", 1, {}]),
)


# -- the checkpoint -----------------------------------------------------------------------------------------


def slot_of(payload: bytes) -> bytes:
    """A slot that is whole, around any payload."""
    header = struct.pack(">8sQI", MAGIC, 1, len(payload))
    return header + struct.pack(">I", zlib.crc32(header + payload)) + payload


def _checkpoint(data: bytes) -> None:
    """What does not begin as a slot does is the content of one: no fuzzer guesses a checksum."""
    slots = split_slots(data) if data.startswith(b"FLUENTL") else [slot_of(data)]
    try:
        sequence, state, _problems = newest(slots)
    except SlotError as exc:
        harmless(str(exc))
        return
    assert newest([encode_slot(sequence + 1, state)])[0] == sequence + 1, "the next one can be written"
    with tempfile.TemporaryFile() as file:
        file.write(b"a line\n" * 1000)
        assert checkpoint_name(state.path)
        with contextlib.suppress(OSError):
            os.stat(state.path)
        for point in (*state.points, *state.finished):
            assert point.marker.size <= MARKER_SIZE
            marker_at(file.fileno(), point.offset, point.marker.size)


_POINT = Point(Identity(64769, 7), 2, 1000, Marker(1000, "0011223344556677"), 1200, 1_700_000_000_000_000_001)
_SLOT = encode_slot(258, State("/var/log/app.log", True, (_POINT,), (_POINT,)))


# -- configurations -----------------------------------------------------------------------------------------


def _refused(exc: ConfigError) -> None:
    assert exc.problems
    for problem in exc.problems:
        assert problem.isprintable(), problem


def _toml(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "main.toml")
        path.write_bytes(data)
        assert find_master(str(path), ENVIRON)[0].run_dir.startswith("/")
        try:
            toml.read(str(path), ENVIRON)
        except ConfigError as exc:
            _refused(exc)


def _legacy(data: bytes) -> None:
    """``NAME=value`` between NUL bytes is what bash reports; the whole is the script. Bash itself runs nothing here."""
    script = data.decode("utf-8", "surrogateescape")
    variables = dict.fromkeys(table.NAMES, "")
    for part in script.split("\0"):
        name, _, value = part.partition("=")
        if name in variables:
            variables[name] = value
    run_dir = run_dir_in(script)
    assert run_dir.startswith("/")
    assert "\0" not in run_dir
    problems = Problems()
    found = understand("/etc/old.conf", script, Sourced(variables, ()), problems)
    try:
        problems.raise_all()
        legacy.settings_of(found)
    except ConfigError as exc:
        _refused(exc)


def _servers(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    servers, reasons = parse_server_list(text)
    assert all(parse_server(str(server)) == server for server in servers)
    assert all(reasons)


# -- the control socket -------------------------------------------------------------------------------------


def _request(data: bytes) -> None:
    try:
        assert command_of(data) in COMMANDS
    except ValueError as exc:
        harmless(str(exc))
        json.dumps(str(exc)).encode()


def _answer(data: bytes) -> None:
    """An impostor in place of the master: what ``status``, ``--json``, ``reload`` and ``stop`` make of its answer."""
    try:
        answer = understand_answer(data)
    except ValueError as exc:
        harmless(str(exc))
        return
    assert all(isinstance(problem, str) for problem in problems_of(answer))
    with contextlib.suppress(RemoteProtocolError):
        json.dumps(documented(answer))
        snapshot = read_snapshot(answer)
        assert 0 <= unwell(snapshot) <= len(snapshot.workers)
        for line in render(snapshot, View()):
            assert line.text.isprintable(), line


_STATUS = {
    "master": {"pid": 7, "version": "1", "config": "/etc/f.toml", "started_at": "2026-01-01T00:00:00+00:00", "uptime": 9.5,
               "reload_error": "a\nb"},
    "workers": [
        {"tag": "app", "path": "/var/log/app", "pid": 8, "state": state, "server": "a:24224", "lines": 10, "lag_bytes": 4,
         "uptime": 99.0, "cpu_percent": 0.5, "last_error": None, "oldest_unacked_seconds": 50}
        for state in ("following", "catching_up", "connecting", "restarting")
    ],
}  # fmt: skip

_TOML = b"""\
include = ["*.x"]
[master]
nice = 5
log_level = "debug"
[forward]
primary = ["a:1", "[::1]:2"]
compress = "gzip"
connect_timeout = 1e1
[forward.security]
shared_key = "${A}"
[tail]
rotate_wait = 2.5
[ping]
tag = "p"
data = "${HOSTNAME:-d}"
[[log]]
tag = "t"
path = "/a"
forward.tls.verify = false
"""

TARGETS = {
    "ack": Target(lambda data: _acks(data, as_json=False), (b"".join(_ACKS), _HELO, b"\xc7\x08\xff12345678")),
    "ack_json": Target(
        lambda data: _acks(data, as_json=True), (f'{{"ack":"{A}"}}\n {{"a":"}}\\"","ack":"{B}"}}'.encode(),)
    ),
    "handshake": Target(_handshake, (_HELO + _pong(), _HELO + _pong("other"), _HELO + _HELO)),
    "ping": Target(_ping, (msgpack.packb(_PING), json.dumps(_PING).encode(), msgpack.packb(_PING[:5]))),
    "receiver": Target(_receiver, _CHUNKS),
    "checkpoint": Target(_checkpoint, (_SLOT, _SLOT[24:], _SLOT.ljust(SLOT_SIZE, b"\0") + _SLOT), SLOT_SIZE),
    "toml": Target(_toml, (_TOML,)),
    "legacy": Target(
        _legacy,
        (
            b"PRIMARY_SERVER=a:1\0LOGS=t /a\nu b # c\0TAIL_INTERVAL=1.5\0FLUENTLITE_RUN_DIR='/run/x y'\0PING_TAG=p\0PING_DATA=d",
            b"PRIMARY_SERVERS_LIST=/etc/hosts\0READ_BUFFER_SIZE=1000\0PROCESS_NICE=-1\0KEEPALIVE_TIME=0\0LOG_VERBOSE=yes",
        ),
    ),
    "servers": Target(_servers, (b"a\nb:1 # c\n[::1]:2\nfe80::1%eth0\n127.0.0.1\n",)),
    "request": Target(_request, tuple(json.dumps({"command": name}).encode() for name in COMMANDS)),
    "answer": Target(
        _answer,
        tuple(json.dumps(answer).encode() + b"\n" for answer in (_STATUS, {"ok": False, "problems": ["x"]})),
    ),
}
"""By name; ``corpus`` has a directory for each."""
