"""The demo without files: two live logs, everything that happens to them and to those who deliver them, and counts."""

from __future__ import annotations

import os
import signal

from fluentlite.core.decode import ReceivedChunk
from fluentlite.core.printing import field_values
from fluentlite.demo.stage import Stage
from fluentlite.demo.verdict import judge
from fluentlite.errors import FluentliteError

SETTLE = 10.0
"""Seconds to wait at most for what is still on its way."""

_PATIENCE = 5.0
"""Seconds for a worker to be as an act needs it."""


class LiveLog:
    """
    A log that is written at a steady speed and rotated by renaming, and a count of its lines that have arrived.

    Args:
        name: With ``.log``, its file in *directory*; also its first tag.
        speed: Lines a second.
    """

    def __init__(self, directory: str, name: str, speed: int) -> None:
        self.name, self.speed, self.tag = name, speed, name
        self.path = os.path.join(directory, f"{name}.log")
        self.written = self.delivered = self.doubled = self.strange = 0
        self._rotations = 0
        self._arrived = bytearray()
        self._fd = self._open()

    def line(self, number: int) -> bytes:
        """The line with *number*."""
        return b"%012d GET /%s/index.html HTTP/1.1 200 a line of a live log" % (number, self.name.encode())

    def write_until(self, total: int) -> None:
        """Write until there are *total* lines."""
        lines = [self.line(number) + b"\n" for number in range(self.written, total)]
        data = b"".join(lines)
        while data:
            data = data[os.write(self._fd, data) :]
        self.written += len(lines)

    def rotate(self) -> None:
        self._rotations += 1
        os.rename(self.path, f"{self.path}.{self._rotations}")
        os.close(self._fd)
        self._fd = self._open()

    def take(self, line: bytes) -> None:
        """Count a line that has arrived."""
        number = int(line[:12]) if line[:12].isdigit() else -1
        if not 0 <= number < self.written or line != self.line(number):
            self.strange += 1
            return
        if number >= len(self._arrived):
            self._arrived.extend(bytes(number + 1 - len(self._arrived)))
        if self._arrived[number]:
            self.doubled += 1
        else:
            self._arrived[number] = 1
            self.delivered += 1

    @property
    def lost(self) -> int:
        return self.written - self.delivered

    def _open(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


class LiveLogs:
    """All logs of the demo."""

    def __init__(self, directory: str) -> None:
        self.web = LiveLog(directory, "web", 4000)
        self.app = LiveLog(directory, "app", 1000)
        self.all = (self.web, self.app)
        self._strange_tags = 0

    def take(self, chunk: ReceivedChunk) -> None:
        """Count what has arrived. A tag is a log's name, or begins with it and a dot."""
        for log in self.all:
            if chunk.tag.split(".")[0] == log.name:
                for line in field_values(chunk.events, "message"):
                    log.take(line)
                return
        self._strange_tags += chunk.count

    def write_until(self, elapsed: float) -> None:
        """Write what is to be written in the first *elapsed* seconds."""
        for log in self.all:
            log.write_until(int(elapsed * log.speed))

    def tags(self) -> dict[str, str]:
        """Paths by tag, as they are configured."""
        return {log.tag: log.path for log in self.all}

    @property
    def is_complete(self) -> bool:
        return not any(log.lost for log in self.all)

    @property
    def strange(self) -> int:
        """Lines that nobody wrote, or not like that."""
        return self._strange_tags + sum(log.strange for log in self.all)

    def counts(self) -> str:
        """All that has been counted so far, in words."""
        written, delivered, doubled = (
            sum(getattr(log, what) for log in self.all) for what in ("written", "delivered", "doubled")
        )
        return f"{written} written, {delivered} delivered, {written - delivered} lost, {doubled} doubled"


def play(stage: Stage, logs: LiveLogs) -> int:
    """
    Run the demo.

    Returns:
        The exit status: 0 if every line arrived exactly once.
    """
    web, app = logs.web, logs.app
    stage.show.tell(
        f"Two logs are written, {web.name} with {web.speed} lines a second and {app.name} with {app.speed}. The real daemon "
        f"follows them\nand sends them to a server on {stage.server.address}. All is in {stage.directory}, and taken away at the end.\n"
    )
    stage.daemon.configure(logs.tags())
    stage.caption = lambda: f"{stage.elapsed:.0f} s: {logs.counts().partition(' lost')[0].rpartition(',')[0]}"
    stage.run("start")
    stage.elapsed = 0.0
    stage.on_turn = lambda: logs.write_until(stage.elapsed)
    _happen(stage, logs)
    stage.on_turn = lambda: None
    stage.tell("nothing more is written")
    stage.go_on_while(lambda: not logs.is_complete, SETTLE)
    stage.end_status()
    stage.run("stop")
    return _verdict(stage, logs)


def _happen(stage: Stage, logs: LiveLogs) -> None:
    """Everything that can go wrong on a good day."""
    stage.go_on_until(0.5)
    stage.show_status()
    stage.go_on_until(1.5)
    logs.web.rotate()
    stage.tell("web.log is rotated: renamed, with a new file in its place")
    stage.go_on_until(3.0)
    stage.server.go_away()
    stage.tell("the server goes away; lines wait in the logs")
    stage.go_on_until(3.7)
    logs.app.rotate()
    stage.tell("app.log is rotated while nobody takes its lines")
    stage.go_on_until(4.3)
    _kill_worker(stage, logs.app.tag)
    stage.go_on_until(5.5)
    stage.server.come_back()
    stage.tell("the server is back")
    stage.go_on_until(7.0)
    logs.app.tag = "app.new"
    stage.daemon.configure(logs.tags())
    stage.tell("the configuration has another tag for app.log: app.new")
    stage.run("reload")
    stage.show_status()
    stage.go_on_until(8.5)
    logs.web.rotate()
    logs.app.rotate()
    stage.tell("both logs are rotated")
    stage.go_on_until(10.0)


def _kill_worker(stage: Stage, tag: str) -> None:
    """
    Kill a worker that has noticed that its server is gone.

    Then it has read every ack that there was, and what it has sent has been received or will never be: there is
    nothing of which only a dead worker knew, so that no line may come twice.
    """
    worker = stage.worker(tag)

    def is_busy() -> bool:
        nonlocal worker
        worker = stage.worker(tag)
        return worker.state != "connecting" or not worker.pid

    stage.go_on_while(is_busy, _PATIENCE)
    if is_busy():
        raise FluentliteError(
            f"the worker of {tag} does not notice that its server is gone. Its log:\n{stage.daemon.last_words()}"
        )
    os.kill(worker.pid, signal.SIGKILL)
    stage.tell(f"$ kill -KILL {worker.pid}\nthe worker of {tag} is dead; the master starts another one")
    stage.go_on_while(lambda: stage.worker(tag).pid == worker.pid, _PATIENCE)
    stage.show_status()


def _verdict(stage: Stage, logs: LiveLogs) -> int:
    stage.show.tell()
    for log in logs.all:
        stage.show.tell(f"{log.name}: {log.written} written, {log.delivered} delivered")
    strange = f", {logs.strange} strange" if logs.strange else ""
    stage.show.tell(f"{logs.counts()}{strange}")
    is_good = logs.is_complete and not logs.strange and not any(log.doubled for log in logs.all)
    return judge(stage, is_good)
