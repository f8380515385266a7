"""A sink as a process, and what can happen to it."""

from __future__ import annotations

import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from .journal import JournalReader, Record
from .receptions import Disturbance

_SINK = Path(__file__).with_name("sink.py")

# Below the ports that Linux gives to outgoing connections: an agent that knocks at a closed port again and
# again must not meet itself there.
_PORTS = range(21000, 32000)


class Server:
    """
    One address with, most of the time, a sink behind it.

    Args:
        directory: For its journals.
        name: Of this server, for messages and journals.
        note: Told what happens to the server.
        ack_delay: Longest time in seconds until an ack goes; see ``sink``.
    """

    def __init__(
        self, directory: Path, name: str, note: Callable[[Disturbance], None], ack_delay: float = 0.0
    ) -> None:
        self.name, self._directory, self._note, self._ack_delay = name, directory, note, ack_delay
        self._holder, self.port = held_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._readers: list[JournalReader] = []
        self._starts = 0
        self._hung_since = 0.0
        self._journal = ""

    @property
    def is_up(self) -> bool:
        return self._process is not None and not self._hung_since

    @property
    def is_running(self) -> bool:
        """Whether there is a sink, hung or not."""
        return self._process is not None

    def up(self) -> None:
        """Start the sink, unless it runs; a hung one goes on."""
        self.go_on()
        if self._process is not None:
            return
        self._journal = str(self._directory / f"journal-{self.name}-{self._starts}")
        self._starts += 1
        command = [sys.executable, str(_SINK), str(self.port), self._journal, str(self._ack_delay)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        ready = self._process.stdout.readline()
        assert ready == b"ready\n", f"the sink at port {self.port} did not start"
        self._readers.append(JournalReader(self._journal))

    def down(self) -> str:
        """Kill the sink, with all that it has not read or acknowledged; returns the name of its journal."""
        if self._process is None:
            return ""
        since = self._hung_since or time.monotonic()
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process, self._hung_since = None, 0.0
        self._note(Disturbance(f"server {self.name} killed", since, time.monotonic()))
        return self._journal

    def hang(self) -> None:
        """Stop the sink; the kernel still takes connections and bytes for it."""
        if self._process is not None and not self._hung_since:
            self._hung_since = time.monotonic()
            self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let a hung sink go on."""
        if self._process is not None and self._hung_since:
            self._process.send_signal(signal.SIGCONT)
            self._note(Disturbance(f"server {self.name} hung", self._hung_since, time.monotonic()))
            self._hung_since = 0.0

    def reset(self) -> None:
        """End all connections with RST."""
        if self.is_up and self._process is not None:
            self._process.send_signal(signal.SIGUSR1)
            now = time.monotonic()
            self._note(Disturbance(f"server {self.name} reset its connections", now, now))

    def read(self) -> list[Record]:
        """Return what has come into its journals since the last call."""
        records: list[Record] = []
        for reader in list(self._readers):
            records += reader.read()
            if reader is not self._readers[-1]:  # its sink is dead, and it has been read to its end
                reader.close()
                self._readers.remove(reader)
        return records

    def close(self) -> None:
        """Leave nothing behind."""
        self.down()
        self._holder.close()


def held_port() -> tuple[socket.socket, int]:
    """Bind a port without listening: nobody can take it, and connections are refused unless a sink is up."""
    while True:
        sock = socket.socket()
        port = random.SystemRandom().choice(_PORTS)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            sock.close()
            continue
        # Set after bind: this socket shares its port with a sink, but it took it from nobody.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return sock, port
