"""``fluentlite receive`` as a process, for the tests of what it prints."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time

import pytest
from clients import Client

COMMAND = [sys.executable, "-m", "fluentlite", "receive"]


class Process:
    """A running ``fluentlite receive``; its standard error is collected line by line."""

    def __init__(self, *arguments, stdout=subprocess.PIPE, bind="127.0.0.1:0"):
        command = [*COMMAND, "--bind", bind, *arguments]
        self.process = subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE)
        self.errors = ""
        address = self.wait_for_error(r"listening on (\S+)(?: with TLS)?\n")[1]
        self.host, port = address.rsplit(":", 1)
        self.port = int(port)

    def client(self):
        return Client(self.port, self.host.strip("[]"))

    def wait_for_error(self, pattern, timeout=10.0):
        """Read standard error until *pattern* is in it."""
        deadline = time.monotonic() + timeout
        while not (match := re.search(pattern, self.errors)):
            ready, _, _ = select.select([self.process.stderr], [], [], max(0, deadline - time.monotonic()))
            data = os.read(self.process.stderr.fileno(), 65536) if ready else b""
            assert data, f"no {pattern!r} in {self.errors!r}"
            self.errors += data.decode()
        return match

    def read(self, size):
        """Read exactly *size* bytes of standard output."""
        return self.process.stdout.read(size)

    def end(self, signum=signal.SIGTERM):
        """Send a signal; return exit code and the rest of standard output."""
        if signum:
            self.process.send_signal(signum)
        code = self.process.wait(10)
        self.errors += self.process.stderr.read().decode()
        return code, self.process.stdout.read() if self.process.stdout else b""


@pytest.fixture
def receive():
    """Run it with these words; whatever was run is gone at the end."""
    started = []

    def start(*arguments, **options):
        started.append(Process(*arguments, **options))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()
        for stream in (one.process.stdout, one.process.stderr):
            if stream:
                stream.close()
