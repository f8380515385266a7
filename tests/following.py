"""
A log on disk and an agent that follows it, with verbs for what happens to both.

:class:`Log` is the writer and the rotation: real files. :class:`Follower` is a worker's reading half (Tail, Drain,
Checkpoint) without its loop: time is a number that the test moves, and a chunk is delivered when the test says so::

    log.append("a", "b")
    follower.follow()            # look, read, deliver
    log.rotate()
    log.append("c")
    follower.kill_and_start()
    follower.follow()
    assert follower.lines == ["a", "b", "c"]
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import shutil
import signal
import time
from pathlib import Path

import msgpack

from fluentlite.config.model import ForwardSettings, LogSettings, Server, TailSettings
from fluentlite.core.forward import Chunk, ChunkEncoder
from fluentlite.core.position import newest, split_slots
from fluentlite.worker.checkpoint import Checkpoint
from fluentlite.worker.drain import Drain, entry_packer, max_lines
from fluentlite.worker.opening import open_checkpoint
from fluentlite.worker.tail import Tail
from fluentlite.worker.waiting import Patience

ROTATE_WAIT = 5.0
EVENT_TIME_NS = 1_700_000_000_000_000_000


class Log:
    """
    One log file, its writer and its rotation.

    Every write moves the file's time on by a second: what is newer is then no question of how fine the clock of
    the file system is.
    """

    def __init__(self, path):
        self.path = Path(path)
        self.clock = int(time.time())

    def append(self, *lines, to=None):
        """Append whole lines, as a writer with O_APPEND does; the file is created if it is not there."""
        self.write("".join(f"{line}\n" for line in lines), to=to)

    def write(self, text, to=None):
        """Append *text* (str or bytes) as it is."""
        with open(to or self.path, "ab", opener=lambda path, flags: os.open(path, flags, 0o644)) as file:
            file.write(text if isinstance(text, bytes) else text.encode())
        self.touch(to or self.path)

    def create(self, *lines):
        """A new file at the path, perhaps with lines in it already."""
        assert not self.path.exists()
        self.write(b"")
        if lines:
            self.append(*lines)

    def rotate(self, *, keep=99):
        """Rename as logrotate does: the oldest goes, each other one gets the next number; no new file is created."""
        self._name(keep).unlink(missing_ok=True)
        for number in range(keep - 1, 0, -1):
            if self._name(number).exists():
                self._name(number).rename(self._name(number + 1))
        return self.rename(self._name(1).name)

    def rename(self, name):
        """Rename the file at the path to *name* beside it; return its new path."""
        new = self.path.with_name(name)
        self.path.rename(new)
        return new

    def copytruncate(self, name=None):
        """Copy the content to ``.1`` (or *name*), older copies move on, and cut the file short."""
        if name is None:
            for number in range(98, 0, -1):
                if self._name(number).exists():
                    self._name(number).rename(self._name(number + 1))
        copy = self.path.with_name(name) if name else self._name(1)
        shutil.copyfile(self.path, copy)
        self.touch(copy)
        os.truncate(self.path, 0)
        self.touch(self.path)
        return copy

    def touch(self, path):
        """Give *path* the next second as the time of its last write."""
        self.clock = max(self.clock, int(time.time())) + 1  # never before what the agent itself writes
        os.utime(path, (self.clock, self.clock))

    def inode(self):
        return self.path.stat().st_ino

    def _name(self, number):
        return self.path.with_name(f"{self.path.name}.{number}")


class Follower:
    """
    What a worker does with a log, up to the sender: chunks wait in ``unacked`` until ``deliver`` acknowledges them.

    Attributes:
        now: Seconds of the monotonic clock.
        lines: What has been delivered, in order, as text.
        unacked: Chunks that were read and not delivered.
    """

    def __init__(self, path, state_dir, *, forward=None, **tail):
        self.settings = log_settings(path, forward, **tail)
        self.state_dir = str(state_dir)
        self.now = 1000.0
        self.raw_lines: list[bytes] = []
        self.unacked: list[Chunk] = []
        self.is_running = False

    @property
    def lines(self):
        return [line.decode("utf-8", "surrogateescape") for line in self.raw_lines]

    @property
    def points(self):
        """What the checkpoint on disk says: ``(inode, offset)`` of each generation, oldest first."""
        data = slurp(self.checkpoint.path)
        _sequence, state, _problems = newest(split_slots(data))
        return [(point.identity.inode, point.offset) for point in state.points]

    @property
    def trouble(self):
        return self.tail.troubles.message

    def wait_for_checkpoint(self, inbox, tell=lambda _reason: None, names=frozenset(), lifeline=None):
        """As a worker does before it starts: until its checkpoint can be had, perhaps from another path of *names*."""
        open_checkpoint(self.settings, self.state_dir, Patience(inbox, lifeline, tell), names).close()

    def start(self):
        """As a worker starts: lock and read the checkpoint, find the files."""
        assert not self.is_running
        self.checkpoint = Checkpoint(self.state_dir, self.settings.path)
        packer = entry_packer(self.settings)
        self.tail = Tail(self.settings, self.checkpoint, max_lines(self.settings, packer))
        self.drain = Drain(self.settings, self.tail, packer, ChunkEncoder("t", require_ack=True))
        self.unacked = []
        self.is_running = True
        self.tail.start(self.now)
        return self

    def stop(self):
        """As a worker stops after TERM, without an answer from any server."""
        self.tail.close()
        self.checkpoint.close()
        self.is_running = False

    def kill(self):
        """As after SIGKILL: nothing more is written, every descriptor and the lock are gone."""
        for generation in self.tail.generations:
            generation.close()
        if self.checkpoint._syncer is not None:
            assert self.checkpoint._syncer.wait(10)
        os.close(self.checkpoint._fd)
        self.is_running = False

    def close(self):
        if self.is_running:
            self.stop()

    def stop_and_start(self):
        self.stop()
        return self.start()

    def kill_and_start(self):
        self.kill()
        return self.start()

    def look(self, after=1.0):
        """Let *after* seconds pass, then look around as at every poll."""
        self.now += after
        self.tail.look(self.now)

    def read(self, most=10**9):
        """Read chunks until there is nothing more to read, or *most* of them."""
        chunks = []
        while len(chunks) < most:
            chunk = self.drain.next_chunk(self.now, EVENT_TIME_NS)
            if chunk is not None:
                chunks.append(chunk)
            elif self.drain.is_at_end:
                break
        self.unacked += chunks
        return chunks

    def read_lines(self, most=10**9):
        """The same; returns the lines, as text."""
        return [
            line.decode("utf-8", "surrogateescape") for chunk in self.read(most) for line in lines_of(chunk)
        ]

    def deliver(self, most=10**9):
        """The server acknowledges what it was sent, or the oldest *most* chunks of it."""
        delivered, self.unacked = self.unacked[:most], self.unacked[most:]
        for chunk in delivered:
            self.raw_lines += lines_of(chunk)
            self.tail.delivered(chunk.end)
        self.tail.save()

    def follow(self, seconds=1.0):
        """For so many seconds: a look each second, and whatever can be read is delivered."""
        until = self.now + seconds
        while self.now < until:
            self.look(min(1.0, until - self.now))
            self.read()
            self.deliver()

    def finish(self):
        """Long enough for every rotated generation to be closed."""
        self.follow(2 * self.settings.tail.rotate_wait + 3)


def log_settings(path, forward=None, **tail):
    """The settings of the log at *path*: read from its head, unless *tail* says otherwise."""
    return LogSettings(
        tag="t",
        path=str(path),
        forward=ForwardSettings(**{"primary": (Server("127.0.0.1"),)} | (forward or {})),
        tail=TailSettings(**{"read_from_head": True, "rotate_wait": ROTATE_WAIT} | tail),
    )


def lines_of(chunk):
    """The lines in a chunk's message, byte for byte."""
    _tag, entries, option = msgpack.unpackb(b"".join(chunk.buffers), raw=True)
    unpacker = msgpack.Unpacker(raw=True, strict_map_key=False, max_buffer_size=1 << 30)
    unpacker.feed(entries)
    lines = [record[b"message"] for _time, record in unpacker]
    assert option[b"size"] == len(lines) == chunk.count
    return lines


def numbered(first, last):
    """The lines ``line 000001`` and so on, up to and with *last*."""
    return [f"line {number:06}" for number in range(first, last + 1)]


class Descriptors:
    """``with`` it, this process can have *count* descriptors more than when it was made, and no others."""

    def __init__(self, count):
        # Their numbers count, not how many there are: fill the gaps first.
        self._fillers = [os.open(os.devnull, os.O_RDONLY)]
        while self._fillers[-1] < max(int(fd) for fd in os.listdir("/proc/self/fd")) - 1:
            self._fillers.append(os.open(os.devnull, os.O_RDONLY))
        self._limit = self._fillers[-1] + 1 + count

    def __enter__(self):
        self._soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (self._limit, hard))

    def __exit__(self, *_exc_info):
        _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (self._soft, hard))

    def close(self):
        for fd in self._fillers:
            os.close(fd)


@contextlib.contextmanager
def leased(path):
    """Nobody can open *path* without waiting, not even root: the test has a lease on it."""
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    fd = os.open(path, os.O_RDWR)
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    yield
    os.close(fd)
    signal.signal(signal.SIGIO, before)


def open_descriptors():
    """How many descriptors this process has open."""
    return len(os.listdir("/proc/self/fd"))


def slurp(path):
    return Path(path).read_bytes()
