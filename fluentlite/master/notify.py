"""
Telling the service manager how we are: systemd's notification protocol, without its library.

Source: sd_notify(3), sd_watchdog_enabled(3).
"""

from __future__ import annotations

import logging
import math
import os
import socket
from collections.abc import MutableMapping

from fluentlite.core.display import defuse
from fluentlite.report import Condition

log = logging.getLogger(__name__)

PATIENCE = 1.0
"""Seconds that a change of state waits for a service manager that is slow to read; what is repeated does not wait."""


class Notifier:
    """
    Without a service manager that listens, nothing happens.

    Args:
        environ: ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID`` are taken out of it: what we start
            must not speak for us.

    Attributes:
        watchdog_interval: Seconds after which ``watchdog`` should be called again, half of what the service
            manager allows; infinity if it does not watch us.
    """

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        address = environ.pop("NOTIFY_SOCKET", "")
        usec, pid = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
        self._trouble = Condition(log, logging.WARNING)
        self._address = ""
        self._socket: socket.socket | None = None
        self.watchdog_interval = math.inf
        if not address:
            return
        if address[0] not in "/@":
            log.warning(
                "NOTIFY_SOCKET=%s is neither a path nor an abstract name (@name), so the service manager is told "
                "nothing. Use a Unix socket.",
                address,
            )
            return
        # An abstract name begins with a zero byte, which the environment cannot hold.
        self._address = "\0" + address[1:] if address[0] == "@" else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.watchdog_interval = _watchdog_interval(usec, pid)

    def ready(self, status: str) -> None:
        """We are up, or have finished to reload; *status* says what we do now."""
        self._send(f"READY=1\nSTATUS={_one_line(status)}", PATIENCE)

    def reloading(self, now_us: int) -> None:
        """
        We reload; ``ready`` ends that.

        Args:
            now_us: Microseconds of CLOCK_MONOTONIC, by which the service manager knows that this is later
                than its request.
        """
        self._send(f"RELOADING=1\nMONOTONIC_USEC={now_us}", PATIENCE)

    def stopping(self) -> None:
        """We finish."""
        self._send("STOPPING=1", PATIENCE)

    def status(self, text: str) -> None:
        """Say in one line what we do, for people to read."""
        self._send(f"STATUS={_one_line(text)}", 0.0)

    def watchdog(self) -> None:
        """We live."""
        self._send("WATCHDOG=1", 0.0)

    def _send(self, message: str, patience: float) -> None:
        if self._socket is None:
            return
        self._socket.settimeout(patience)
        try:
            self._socket.sendto(
                message.encode("utf-8", "surrogateescape"), socket.MSG_NOSIGNAL, self._address
            )
        except OSError as exc:
            self._trouble.raise_(
                f"the service manager cannot be told how we are: {self._address.replace(chr(0), '@')} "
                f"({exc.strerror or exc}). If this lasts, restart fluentlite with it: systemctl restart fluentlite."
            )
        else:
            self._trouble.clear("the service manager can be told again how we are")


def _one_line(text: str) -> str:
    """Each line is an assignment of its own: a text must not make another one."""
    return defuse(" ".join(text.split()))


def _watchdog_interval(usec: str, pid: str) -> float:
    is_ours = pid in ("", str(os.getpid()))
    if not is_ours or not usec.isdecimal() or int(usec) == 0:
        return math.inf
    return int(usec) / 2e6
