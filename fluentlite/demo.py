"""
``fluentlite demo``: the real agent, a live log, the embedded server, ten seconds, a verdict.

Without a FILE a writer makes numbered lines and rotates its log, the server goes away for a second, and
the agent is stopped and started again. With FILEs, each of them is delivered from its beginning and
compared with what arrived. Nothing is left behind.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from fluentlite.config.model import Server
from fluentlite.core.decode import ReceivedChunk
from fluentlite.core.printing import field_values
from fluentlite.errors import ConfigError
from fluentlite.forward_server import Receiver
from fluentlite.worker.resume import line_start

DURATION = 10.0
"""Seconds of writing, or of reading FILEs."""

LINES_PER_SECOND = 5000
SETTLE = 10.0
"""Seconds to wait at most for what is still on its way."""

HELP = """\
Usage: fluentlite demo [FILE ...]

Runs a real agent and a real Forward server on this host for ten seconds and counts.
Without FILE: a live log is written and rotated, the server fails for a second, the agent is restarted.
With FILEs: each is sent from its beginning and compared with what arrived. They are only read."""


def run_demo(argv: Sequence[str]) -> int:
    """
    Run the demo.

    Returns:
        0 if every line arrived exactly once, otherwise 1.
    """
    if any(word in ("-h", "--help") for word in argv):
        print(HELP)
        return 0
    problems = [
        f"{word}: there is no such file, or it is no regular one. Name existing log files, or none."
        for word in argv
        if not os.path.isfile(word)
    ]
    if problems:
        raise ConfigError(*problems)
    directory = Path(tempfile.mkdtemp(prefix="fluentlite-demo-"))
    try:
        with contextlib.ExitStack() as stack:
            return _compare_files(stack, directory, argv) if argv else _live(stack, directory)
    except KeyboardInterrupt:
        print("\nstopped; nothing is left behind")
        return 1
    finally:
        shutil.rmtree(directory, ignore_errors=True)


class Agent:
    """A ``fluentlite agent`` process that can be stopped and started again."""

    def __init__(self, directory: Path, tag: str, path: str, server: Server) -> None:
        self.log = directory / f"{tag}.agent.log"
        self._command = [
            sys.executable, "-m", "fluentlite", "agent", "-F", "--read-from-head", "-w", "0.5", "-l", str(self.log),
            "--state-dir", str(directory / "state"), tag, path, str(server),
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL)

    def stop(self, poll: Callable[[float], None]) -> None:
        """Say TERM and wait, while *poll* lets the server acknowledge what is on its way."""
        if self._process is not None:
            self._process.terminate()
            while self._process.poll() is None:
                poll(0.05)

    def kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def complaints(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""


# -- a live log -----------------------------------------------------------------------------------------


class LiveLog:
    """Writes numbered lines at a steady speed and rotates by renaming."""

    def __init__(self, path: Path) -> None:
        self.path, self.written, self.rotations = path, 0, 0
        self._fd = self._open()

    def write_until(self, total: int) -> None:
        """Write until *total* lines have been written."""
        lines = [
            b"%012d GET /index.html HTTP/1.1 200 a line of a live log\n" % n
            for n in range(self.written, total)
        ]
        os.write(self._fd, b"".join(lines))
        self.written = max(self.written, total)

    def rotate(self) -> None:
        self.rotations += 1
        os.rename(self.path, f"{self.path}.{self.rotations}")
        os.close(self._fd)
        self._fd = self._open()

    def _open(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


class Tally:
    """How often each number has arrived."""

    def __init__(self) -> None:
        self.arrived = bytearray()
        self.delivered = self.doubled = 0
        self.last = b""

    def take(self, chunk: ReceivedChunk) -> None:
        for line in field_values(chunk.events, "message"):
            number = int(line[:12])
            if number >= len(self.arrived):
                self.arrived.extend(bytes(number + 1 - len(self.arrived)))
            self.doubled += self.arrived[number] > 0
            self.delivered += self.arrived[number] == 0
            self.arrived[number] = 1
            self.last = line


def _live(stack: contextlib.ExitStack, directory: Path) -> int:
    log, tally = LiveLog(directory / "live.log"), Tally()
    receivers = [Receiver(Server("127.0.0.1", 0), tally.take)]
    stack.callback(lambda: receivers[0].close())
    address = receivers[0].address
    agent = Agent(directory, "demo", str(log.path), address)
    stack.callback(agent.kill)
    print(
        f"A log is written at {LINES_PER_SECOND} lines/s and followed by an agent; a server listens on {address}.\n"
    )
    agent.start()
    poll = _poll(lambda: receivers[0])

    def server_down() -> None:
        receivers[0].close()

    def server_up() -> None:
        receivers[0] = Receiver(address, tally.take)

    def restart() -> None:
        agent.stop(poll)
        agent.start()

    plot: list[tuple[float, str, Callable[[], None]]] = [
        (2.0, "the log is rotated", log.rotate),
        (3.5, "the server goes away", server_down),
        (4.5, "the log is rotated while nobody takes its lines", log.rotate),
        (5.0, "the server is back", server_up),
        (6.5, "the agent is stopped and started again", restart),
        (8.0, "the log is rotated", log.rotate),
    ]
    started, reported = time.monotonic(), 0
    while (elapsed := time.monotonic() - started) < DURATION:
        log.write_until(int(elapsed * LINES_PER_SECOND))
        if plot and elapsed >= plot[0][0]:
            _at, what, act = plot.pop(0)
            print(f"        {what}")
            act()
        if elapsed >= reported + 1:
            reported = int(elapsed)
            print(
                f"{reported:4d} s  {log.written:8d} written  {tally.delivered:8d} delivered   {tally.last.decode()[:50]}"
            )
        poll(0.01)
    settled = time.monotonic() + SETTLE
    while tally.delivered < log.written and time.monotonic() < settled:
        poll(0.05)
    agent.stop(poll)
    lost = log.written - tally.delivered
    print(f"\n{log.written} written, {tally.delivered} delivered, {lost} lost, {tally.doubled} doubled")
    return _verdict(lost == 0 and tally.doubled == 0, [agent])


def _poll(current: Callable[[], Receiver]) -> Callable[[float], None]:
    def poll(timeout: float) -> None:
        try:
            current().poll(timeout)
        except (ValueError, OSError):  # it is down just now
            time.sleep(timeout)

    return poll


# -- given files ----------------------------------------------------------------------------------------


class Comparison:
    """What of one file has arrived, as a running hash."""

    def __init__(self, path: str) -> None:
        self.path, self.lines, self.bytes = path, 0, 0
        self._hash = hashlib.sha256()

    def take(self, chunk: ReceivedChunk) -> None:
        lines = field_values(chunk.events, "message")
        data = b"".join([line + b"\n" for line in lines])
        self._hash.update(data)
        self.lines += len(lines)
        self.bytes += len(data)

    def is_same(self) -> bool:
        """Tell whether what arrived is the file's beginning, byte for byte."""
        digest = hashlib.sha256()
        for block in _blocks(self.path, self.bytes):
            digest.update(block)
        return digest.digest() == self._hash.digest()

    def rest(self) -> int:
        """Return how many bytes of whole lines are still to come."""
        with open(self.path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            return line_start(file.fileno(), size, size) - self.bytes


def _blocks(path: str, size: int) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while size > 0 and (block := file.read(min(size, 1 << 20))):
            size -= len(block)
            yield block


def _compare_files(stack: contextlib.ExitStack, directory: Path, paths: Sequence[str]) -> int:
    files = {f"demo{number}": Comparison(os.path.abspath(path)) for number, path in enumerate(paths)}
    receiver = stack.enter_context(
        Receiver(Server("127.0.0.1", 0), lambda chunk: files[chunk.tag].take(chunk))
    )
    agents = [Agent(directory, tag, file.path, receiver.address) for tag, file in files.items()]
    for agent in agents:
        stack.callback(agent.kill)
        agent.start()
    print(f"{len(files)} files are sent to a server on {receiver.address} for {DURATION:g} s at most.\n")
    started = time.monotonic()
    until = started + DURATION
    while time.monotonic() < until:
        look_again = time.monotonic() + 0.5
        while time.monotonic() < look_again:
            receiver.poll(0.05)
        if all(file.rest() <= 0 for file in files.values()):
            break
    elapsed = time.monotonic() - started
    for agent in agents:
        agent.stop(lambda timeout: receiver.poll(timeout))
    is_good = True
    for file in files.values():
        same = file.is_same()
        is_good &= same
        print(
            f"{file.path}: {file.lines} lines delivered in {elapsed:.1f} s, "
            f"{'the same bytes as in the file' if same else 'NOT the bytes of the file'}"
            f"{f', {rest} bytes were still to come' if (rest := file.rest()) > 0 else ''}"
        )
    return _verdict(is_good, agents)


def _verdict(is_good: bool, agents: Sequence[Agent]) -> int:
    if is_good:
        print("verdict: every line arrived, once and whole")
        return 0
    print("verdict: NOT every line arrived exactly once; the agent's log says:")
    for agent in agents:
        print(agent.complaints())
    return 1
