"""
The sending half of an agent, in the test's own thread or as a process.

:class:`Sending` is the real Sender on the real Loop; the test puts chunks in and turns the loop::

    with ScriptedServer(acks_joined(2)) as server, Sending(server) as sending:
        sending.put(b"a", b"b")
        sending.until(lambda: sending.lines == [b"a", b"b"])

:class:`Worker` is the whole worker as a process, with settings that are made in Python.
"""

from __future__ import annotations

import json
import os
import pickle
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
from clients import eventually
from servers import HOST, ScriptedServer

from fluentlite.config.model import ForwardSettings, LogSettings, Server, TailSettings
from fluentlite.core.dispatch import Refusal
from fluentlite.core.entries import MsgpackEntries
from fluentlite.core.forward import Chunk, ChunkEncoder, Position, Step
from fluentlite.core.position import newest, split_slots
from fluentlite.logfile import start_log
from fluentlite.loop import Loop
from fluentlite.signals import WORKER_SIGNALS, SignalInbox
from fluentlite.worker.checkpoint import checkpoint_path
from fluentlite.worker.main import run_worker
from fluentlite.worker.sender import Sender

TURN = 0.01
"""Longest wait in seconds while a test looks at something that the loop does not watch."""

Peer = ScriptedServer | Server


def forward_settings(
    primary: Sequence[Peer], secondary: Sequence[Peer] = (), **others: Any
) -> ForwardSettings:
    """Settings whose time-outs are out of the way and whose waits are short, unless told otherwise."""
    chosen = {"ack_response_timeout": 20.0, "send_timeout": 20.0, "reconnect_wait_max": 0.2, **others}
    return ForwardSettings(
        primary=tuple(map(_server, primary)), secondary=tuple(map(_server, secondary)), **chosen
    )


def numbered(first: int, last: int, size: int = 0) -> list[bytes]:
    """The lines *first* to *last*, each told from all others, filled to *size* bytes."""
    return [b"line %06d" % number + b"." * (size - 11) for number in range(first, last + 1)]


def large_lines(count: int = 16_000) -> list[bytes]:
    """Lines of 1,000 bytes: more, by default, than a kernel takes off a sender's hands for a reader that is stuck."""
    return numbered(1, count, size=1000)


def size_of(lines: Sequence[bytes]) -> int:
    """Bytes of *lines* in a log, with their newlines."""
    return sum(map(len, lines)) + len(lines)


def committed(state_dir: Path, path: Path) -> int:
    """The offset that the checkpoint of the log at *path* has for the newest file; 0 if it has none."""
    _, state, _ = newest(split_slots(checkpoint_path(str(state_dir), str(path)).read_bytes()))
    return state.points[-1].offset if state.points else 0


def timed(action: Callable[..., object], *args: object) -> float:
    """Return how many seconds it took."""
    begin = time.monotonic()
    action(*args)
    return time.monotonic() - begin


class Sending:
    """
    A Sender, its loop, and a queue of chunks that it has not wanted yet.

    Args:
        primary, secondary: Servers of both kinds.
        tag, seed: Of the chunks; of what is decided at random.
        forward: As for ``forward_settings``.

    Attributes:
        delivered: The chunks that count as delivered, in the order in which they do.
        refused: What every server refused; the others go on without it.
        turns: How often the loop has turned.
    """

    def __init__(
        self,
        *primary: Peer,
        secondary: Sequence[Peer] = (),
        tag: str = "app",
        seed: int | None = None,
        **forward: Any,
    ) -> None:
        self.settings = forward_settings(primary, secondary, **forward)
        self.loop = Loop()
        self.encoder = ChunkEncoder(
            tag, require_ack=self.settings.require_ack_response, compress=self.settings.compress
        )
        self.sender = Sender(self.settings, self.encoder, self.loop, random.Random(seed))
        self.delivered: list[Chunk] = []
        self.refused: list[Refusal[Server]] = []
        self.queue: deque[Chunk] = deque()
        self.turns = self.offset = 0

    @property
    def lines(self) -> list[bytes]:
        """The lines of the delivered chunks."""
        return [line for chunk in self.delivered for line in lines_of(chunk)]

    @property
    def refused_lines(self) -> list[bytes]:
        """The lines that were refused."""
        return [line for refusal in self.refused for line in lines_of(refusal.chunk)]

    @property
    def server(self) -> str:
        """``host:port`` of the server in use, or an empty string."""
        return str(self.sender.server or "")

    def put(self, *lines: bytes, steps: int = 1) -> Chunk:
        """Queue one chunk of *lines*, made of so many steps."""
        packer, made = MsgpackEntries("message"), []
        packer.begin(1_700_000_000_000_000_000)
        share = -(-len(lines) // steps)
        for part in (list(lines[i : i + share]) for i in range(0, len(lines), share)):
            size = sum(map(len, part)) + len(part)
            self.offset += size
            made.append(Step(packer.pack(part), len(part), size, Position(1, self.offset, part[-1][-1024:])))
        chunk = self.encoder.encode("file", made)
        self.queue.append(chunk)
        return chunk

    def turn(self, until: float) -> None:
        """One turn, as a worker does it; it waits until *until* at most."""
        self.turns += 1
        self.loop.wait(max(0.0, min(self.sender.deadline, until) - time.monotonic()))
        self.sender.advance(time.monotonic())
        refusal = self.sender.refusal(time.monotonic())
        if refusal is not None:
            self.refused.append(refusal)
            self.sender.give_up(time.monotonic())
        self.delivered += self.sender.in_flight.take_delivered()
        while self.queue and self.sender.wants_chunk:
            self.sender.send(self.queue.popleft(), time.monotonic())

    def until(self, condition: Callable[[], object], timeout: float = 10.0) -> None:
        """Turn until *condition* is true; fail after *timeout* seconds."""
        end = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < end, f"not true within {timeout:g} s; {self}"
            self.turn(time.monotonic() + TURN)

    def run(self, seconds: float) -> float:
        """Turn for so long, waiting for nothing but the loop; the seconds of processor time that it cost."""
        end, begin = time.monotonic() + seconds, time.thread_time()
        while time.monotonic() < end:
            self.turn(end)
        return time.thread_time() - begin

    def deliver(self, *lines: bytes) -> None:
        """Queue one chunk and turn until all is delivered."""
        self.put(*lines)
        self.until(lambda: not self.queue and not self.sender.in_flight)

    def close(self) -> None:
        self.sender.close()
        self.loop.close()

    def __enter__(self) -> Sending:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __str__(self) -> str:
        return (
            f"{len(self.queue)} queued, {len(self.sender.in_flight)} in flight, {len(self.delivered)} delivered, "
            f"{self.sender.connects} connects, server {self.server or 'none'}, trouble: {self.sender.trouble or 'none'}"
        )


def lines_of(chunk: Chunk) -> list[bytes]:
    """The lines in a chunk that ``Sending.put`` made."""
    found = []
    for step in chunk.steps:
        rest = step.entries
        while rest:
            body = rest[len(_HEAD) :]
            header = 1 if body[0] < 0xC0 else {0xD9: 2, 0xDA: 3, 0xDB: 5}[body[0]]
            size = body[0] & 0x1F if header == 1 else int.from_bytes(body[1:header], "big")
            found.append(body[header : header + size])
            rest = body[header + size :]
    return found


_HEAD = b"\x92\xd7\x00" + bytes(8) + b"\x81\xa7message"


class Names:
    """
    A resolver whose answers are set by the test: in the test's process after ``install``, in a Worker's from its
    start. Other names, and addresses, are the real resolver's affair.

    ``names["logs.example"] = [("127.0.0.1", 24224), ...]``: these addresses in this order; ``[]``: there is no such
    name; ``None``: no answer, until there is one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._real = socket.getaddrinfo
        if not path.exists():
            path.write_text("{}")

    def __setitem__(self, name: str, addresses: Sequence[tuple[str, int]] | None) -> None:
        draft = self.path.with_suffix(".new")
        draft.write_text(json.dumps(json.loads(self.path.read_text()) | {name: addresses}))
        draft.rename(self.path)

    def getaddrinfo(self, host: str, port: int, **options: Any) -> list[Any]:
        """As ``socket.getaddrinfo``."""
        names = json.loads(self.path.read_text())
        if host not in names or options.get("flags", 0) & socket.AI_NUMERICHOST:
            return self._real(host, port, **options)
        while (addresses := json.loads(self.path.read_text())[host]) is None:
            time.sleep(0.1)
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [found for address in addresses for found in self._real(*address, **options)]


class Worker:
    """
    One worker as a process, following ``app.log`` in *directory*.

    Args:
        directory: For the log, the checkpoint, and the worker's own log.
        forward: Where to and how.
        tail: Keys of TailSettings; a log is read from its head unless they say otherwise.
        names: Answers its resolver.
    """

    def __init__(
        self,
        directory: Path,
        forward: ForwardSettings,
        *,
        stop_timeout: float = 5.0,
        names: Names | None = None,
        **tail: Any,
    ) -> None:
        self.path, self.log_path = directory / "app.log", directory / "agent.log"
        self._state_dir, self._stderr = directory / "state", directory / "agent.stderr"
        self._options = directory / "options.pickle"
        self._given = {
            "settings": LogSettings(
                tag="app",
                path=str(self.path),
                forward=forward,
                tail=TailSettings(**{"read_from_head": True} | tail),
            ),
            "state_dir": str(self._state_dir),
            "stop_timeout": stop_timeout,
            "log_file": str(self.log_path),
            "names": names and names.path,
        }
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def of(cls, directory: Path, settings: LogSettings) -> Worker:
        """One that follows the log of *settings*, which may be anywhere, with the state in *directory*."""
        worker = cls(directory, settings.forward)
        worker.path = Path(settings.path)
        worker._given["settings"] = settings
        return worker

    # -- the log it follows -----------------------------------------------------------------------------

    def write(self, *lines: bytes) -> None:
        """Append lines to the log."""
        with open(self.path, "ab") as file:
            file.write(b"".join(line + b"\n" for line in lines))

    def rotate(self, name: str) -> None:
        """Rename the log."""
        self.path.rename(self.path.with_name(name))

    # -- the process ------------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> Worker:
        """Start it; it has begun to work when this returns."""
        assert not self.is_running
        self._options.write_bytes(pickle.dumps(self._given))
        begun = self.count("started, tag")
        with open(self._stderr, "ab") as stderr:
            command = [sys.executable, __file__, str(self._options)]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=stderr)
        eventually(lambda: self.count("started, tag") > begun or not self.is_running)
        return self

    def signal(self, signum: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, signum)

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self, timeout: float = 10.0) -> float:
        """TERM, after which it must end with status 0; the seconds until it had."""
        assert self._process is not None
        begin = time.monotonic()
        self._process.terminate()
        assert self._process.wait(timeout) == 0, self.complaints()
        return time.monotonic() - begin

    def __enter__(self) -> Worker:
        return self.start()

    def __exit__(self, kind: object, *exc_info: object) -> None:
        if self.is_running:
            self.kill()
        if kind is None:
            assert "Traceback" not in self.log(), self.log()
            assert self._stderr.read_text() == ""

    # -- what can be seen of it -------------------------------------------------------------------------

    def position(self) -> int:
        """The committed offset in the newest file that it follows."""
        return committed(self._state_dir, self.path)

    def log(self) -> str:
        """What it has written to its own log."""
        return self.log_path.read_text() if self.log_path.exists() else ""

    def count(self, text: str) -> int:
        """How many lines of its own log match the regular expression *text*."""
        return len(re.findall(text, self.log()))

    def complaints(self) -> list[str]:
        """The errors and warnings in its own log, and what it wrote to standard error."""
        found = [
            line
            for line in self.log().splitlines()
            if re.search(r"\[(WARNING|ERROR|CRITICAL)\]|Traceback", line)
        ]
        return found + self._stderr.read_text().splitlines()

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)

    def wakeups(self) -> int:
        """How often it has waited for something and was woken."""
        return int(psutil.Process(self.pid).num_ctx_switches().voluntary)

    def memory(self) -> int:
        """Bytes that it holds in memory."""
        return int(psutil.Process(self.pid).memory_info().rss)

    def descriptors(self) -> dict[int, str]:
        """Its open descriptors and what they are."""
        found = {}
        for name in os.listdir(f"/proc/{self.pid}/fd"):
            try:
                found[int(name)] = os.readlink(f"/proc/{self.pid}/fd/{name}")
            except FileNotFoundError:  # closed meanwhile
                continue
        return found


class ServerProcess:
    """A server in a process of its own, that can be killed and frozen; it accepts, and leaves all else to its kernel."""

    def __init__(self) -> None:
        script = (
            "import socket, time; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True)\n"
            "held = []\nwhile True: held.append(s.accept())"
        )
        self._process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        self.address = Server(HOST, self.port)

    def unread(self) -> int:
        """Bytes that its kernel has taken and it has not read."""
        rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return sum(
            int(row[4].split(":")[1], 16) for row in rows if int(row[1].split(":")[1], 16) == self.port
        )

    def freeze(self) -> None:
        """SIGSTOP."""
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.kill()


def _server(peer: Peer) -> Server:
    return peer if isinstance(peer, Server) else Server(HOST, peer.port)


def _work(options: dict[str, Any]) -> int:
    """What ``fluentlite agent`` does, with the settings of a Worker."""
    inbox = SignalInbox(WORKER_SIGNALS)
    start_log(options["log_file"], "debug")
    if options["names"]:
        socket.getaddrinfo = Names(options["names"]).getaddrinfo  # type: ignore[assignment]
    return run_worker(options["settings"], options["state_dir"], options["stop_timeout"], inbox)


if __name__ == "__main__":
    sys.exit(_work(pickle.loads(Path(sys.argv[1]).read_bytes())))
