"""
What is compared: the worker, the bare loop that it is measured against, and plain copying.

Each runs as a process of its own, forked from the same one, and talks to a server on the loopback interface.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import inotify_simple
import msgpack

from bench.children import BenchError
from fluentlite.config.model import ForwardSettings, LogSettings, Server, TailSettings
from fluentlite.signals import WORKER_SIGNALS, SignalInbox
from fluentlite.worker.main import run_worker

HOST = "127.0.0.1"
READ_SIZE = 65536
PAUSE = 0.005
"""Seconds that control loop and copy rest at the end of a growing file: the worker's own pace."""


def work(path: Path, port: int, state_dir: Path, forward: dict[str, Any]) -> None:
    """Be the worker, until TERM. *forward* are settings beside the server."""
    inbox = SignalInbox(WORKER_SIGNALS)
    if run_worker(log_settings(path, port, forward), str(state_dir), 10.0, inbox):
        raise BenchError("the worker failed")


def log_settings(path: Path, port: int, forward: dict[str, Any]) -> LogSettings:
    """Return the defaults, acks among them, with one server."""
    return LogSettings(
        tag="bench.log",
        path=str(path),
        forward=ForwardSettings(primary=(Server(HOST, port),), **forward),
        tail=TailSettings(read_from_head=True),
    )


class Headers(dict[int, bytes]):
    """Length of a line -> what stands before it in an event stream."""

    def __init__(self, before: bytes) -> None:
        self._before = before
        self._packer = msgpack.Packer()

    def __missing__(self, size: int) -> bytes:
        header: bytes = self._packer.pack("." * size)
        self[size] = self._before + header[: len(header) - size]
        return self[size]


def entry_start() -> bytes:
    """Return array, EventTime of now, map and field name."""
    time_ns = time.time_ns()
    event_time = struct.pack(">BBII", 0xD7, 0, time_ns // 10**9, time_ns % 10**9)
    return b"\x92" + event_time + b"\x81" + bytes(msgpack.packb("message"))


def control(path: Path, port: int, size: int) -> None:
    """
    Read, split, join PackedForward entries, send, and nothing else, until *size* bytes have been read.

    One time for all entries, so that its table is made once: a loop with less to do is hard to write.
    """
    headers, partial = Headers(entry_start()), b""
    with socket.create_connection((HOST, port)) as sock:
        for data in _blocks(path, size):
            lines = data.split(b"\n")
            lines[0] = partial + lines[0]
            partial = lines.pop()
            out = [b""] * (2 * len(lines))
            out[0::2] = map(headers.__getitem__, map(len, lines))
            out[1::2] = lines
            sock.sendall(b"".join(out))


def copy(path: Path, port: int, size: int) -> None:
    """Read and send the file as it is, until *size* bytes have been read."""
    with socket.create_connection((HOST, port)) as sock:
        for data in _blocks(path, size):
            sock.sendall(data)


def follow_bare(path: Path, port: int, size: int) -> None:
    """Send what is appended as soon as inotify tells of it: the least that a quiet log's line can take."""
    with inotify_simple.INotify() as inotify, socket.create_connection((HOST, port)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        inotify.add_watch(path, inotify_simple.flags.MODIFY)
        fd = os.open(path, os.O_RDONLY)
        while size > 0:
            inotify.read()
            data = os.read(fd, READ_SIZE)
            sock.sendall(data)
            size -= len(data)


def _blocks(path: Path, size: int) -> Iterator[bytes]:
    fd = os.open(path, os.O_RDONLY)
    while size > 0:
        data = os.read(fd, READ_SIZE)
        if data:
            size -= len(data)
            yield data
        else:
            time.sleep(PAUSE)
