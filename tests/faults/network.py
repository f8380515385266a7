"""
A real network between the daemon and each server: a network namespace behind a pair of virtual interfaces.

Whoever uses it is in a network namespace of its own already (``unshare --net --mount``), so that the kernel itself takes
everything away when the last process is gone, however that ended. Needs root, ``ip`` and ``tc`` of iproute2, and
``unshare`` and ``nsenter`` of util-linux.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable

from .receptions import Disturbance

NETWORK = "10.213.0.0/16"


def set_up() -> None:
    """Make this namespace one in which lines can be laid; what none of them leads to cannot be reached."""
    _run("ip", "link", "set", "lo", "up")
    _run("ip", "route", "replace", "unreachable", NETWORK, "metric", "9999")


class Line:
    """
    What leads to one server, and what can happen to it: one thing at a time.

    Args:
        number: Of the line, from 0 on.
        name: Of its server, for messages.
        note: Told from when to when something was wrong.

    Attributes:
        address: Where the server has to listen.
        prefix: The words before a command that runs there.
        trouble: What is wrong now, or an empty string.
    """

    def __init__(self, number: int, name: str, note: Callable[[Disturbance], None]) -> None:
        self._name, self._note = name, note
        self._near, self._far = f"line{number}", f"far{number}"
        self._our_address, self.address = f"10.213.{number}.1", f"10.213.{number}.2"
        self.trouble, self._since, self._settled_at = "", 0.0, 0.0
        # It keeps the namespace while no server runs; when we are gone its input ends, and so does it.
        self._keeper = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "echo ready; exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )  # fmt: skip
        assert self._keeper.stdout is not None
        assert self._keeper.stdout.readline() == b"ready\n", "no network namespace for a server"
        self.prefix = ("nsenter", f"--net=/proc/{self._keeper.pid}/ns/net")
        self._lay()

    # -- verbs ------------------------------------------------------------------------------------------

    def cut(self) -> None:
        """Partition: there is no way to the server, and the kernel says so at once."""
        self._begin("the way is gone")
        _run("ip", "link", "set", self._near, "down")

    def swallow(self) -> None:
        """Black hole: what is sent vanishes, in both directions, and nobody is told."""
        self._begin("everything vanishes")
        self._there("ip", "link", "set", self._far, "down")

    def deafen(self) -> None:
        """What is sent arrives at the server, and what the server answers vanishes."""
        self._begin("answers vanish")
        self._there("ip", "route", "add", "blackhole", f"{self._our_address}/32")

    def slow(self) -> None:
        """Two megabits a second and a queue of half a second: everything is late, and some of it is dropped."""
        self._begin("slow")
        rate = ("root", "tbf", "rate", "2mbit", "burst", "4k", "latency", "500ms")
        _run("tc", "qdisc", "replace", "dev", self._near, *rate)
        self._there("tc", "qdisc", "replace", "dev", self._far, *rate)

    def mend(self) -> None:
        """All is well again."""
        if not self.trouble:
            return
        if self.trouble == "the way is gone":
            _run("ip", "link", "set", self._near, "up")
        elif self.trouble == "everything vanishes":
            self._there("ip", "link", "set", self._far, "up")
        elif self.trouble == "answers vanish":
            self._there("ip", "route", "del", "blackhole", f"{self._our_address}/32")
        else:
            _run("tc", "qdisc", "del", "dev", self._near, "root")
            self._there("tc", "qdisc", "del", "dev", self._far, "root")
        now = time.monotonic()
        # TCP doubles its pauses, so what was sent last may arrive once more as late again as the trouble lasted.
        self._settled_at = 2 * now - self._since + 1.0
        self._note(Disturbance(f"line to {self._name}: {self.trouble}", self._since, self._settled_at))
        self.trouble = ""

    def close(self) -> None:
        """Leave nothing behind."""
        _run("ip", "link", "del", self._near)
        assert self._keeper.stdin is not None and self._keeper.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._keeper.stdin.close()
        self._keeper.stdout.close()
        self._keeper.wait(timeout=10.0)

    # -- inside -----------------------------------------------------------------------------------------

    def _lay(self) -> None:
        _run("ip", "link", "add", self._near, "type", "veth", "peer", "name", self._far, "netns", str(self._keeper.pid))  # fmt: skip
        _run("ip", "address", "add", f"{self._our_address}/30", "dev", self._near)
        _run("ip", "link", "set", self._near, "up")
        self._there("ip", "link", "set", "lo", "up")
        self._there("ip", "address", "add", f"{self.address}/30", "dev", self._far)
        self._there("ip", "link", "set", self._far, "up")

    def _begin(self, trouble: str) -> None:
        self.mend()
        now = time.monotonic()
        # A pause that was doubled by one trouble is doubled again by the next, if nothing got through between them.
        self.trouble, self._since = trouble, self._since if now < self._settled_at else now

    def _there(self, *command: str) -> None:
        _run(*self.prefix, *command)


def _run(*command: str) -> None:
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, f"{' '.join(command)}: {result.stderr.strip()}"
