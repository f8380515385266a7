"""
``@fluent-org/logger``, a Forward server and client that others wrote, run by Node.js.

Its server replaces bytes that are not UTF-8, and sends the ack before it hands out the events.
"""

from __future__ import annotations

import contextlib
import json
import queue
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

DIRECTORY = Path(__file__).parent / "wire" / "fluentserver"


def node_command(script: str, argument: dict[str, Any]) -> list[str]:
    """The command that runs *script*; fails the test, with the remedy, when Node.js or the packages are missing."""
    node = shutil.which("node")
    if node is None:
        pytest.fail("the wire tests need Node.js (node, npm); run make test, which installs them")
    if not (DIRECTORY / "node_modules" / "@fluent-org" / "logger").is_dir():
        pytest.fail("the wire tests need @fluent-org/logger; run make test, which installs it")
    return [node, str(DIRECTORY / script), json.dumps(argument)]


class FluentServer:
    """
    A running server.

    Args:
        security: ``serverHostname``, ``sharedKey``, ``authorize`` and ``userDict``, or None.
        tls: What Node.js' ``tls.createServer`` takes, the names of files for ``ca``, ``cert`` and ``key``, or None.
    """

    def __init__(self, security: dict[str, Any] | None = None, tls: dict[str, Any] | None = None) -> None:
        options = {"security": security} if security else {}
        options |= {"tlsOptions": tls} if tls else {}
        self._process = subprocess.Popen(
            node_command("server.js", options), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._printed: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._collect, daemon=True).start()
        self.port: int = self._next(30)["port"]

    def events(self, count: int, timeout: float = 10.0) -> list[dict[str, Any]]:
        """Return the next *count* events: ``tag``, ``time`` ([seconds, nanoseconds] or seconds), ``record``."""
        return [self._next(timeout) for _ in range(count)]

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                stream.close()

    def _next(self, timeout: float) -> dict[str, Any]:
        try:
            line = self._printed.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError(f"FluentServer printed nothing within {timeout:g} s") from None
        assert line, f"FluentServer ended with exit code {self._process.wait()}"
        event: dict[str, Any] = json.loads(line)
        return event

    def _collect(self) -> None:
        stream = self._process.stdout
        assert stream is not None
        with contextlib.suppress(ValueError):  # closed by stop()
            for line in stream:
                self._printed.put(line)
        self._printed.put("")


@contextlib.contextmanager
def fluent_client(tag: str, records: list[dict[str, Any]], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a client that sends *records* and ends when they are acknowledged; *options* as FluentClient takes them."""
    command = node_command("client.js", {"tag": tag, "records": records, "options": options})
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()
