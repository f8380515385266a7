"""Logs to read: lines that look like an access log's, and processes that write them."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.children import Child, Tell

BLOCK_SIZE = 1 << 20
"""Bytes of different lines; larger files repeat them, far apart for gzip's window of 32 KiB."""

WRITE_SIZE = 65536
"""Bytes that a writer in a hurry appends at a time."""

WRITE_INTERVAL = 0.001
"""Seconds between two appends of a writer that keeps a pace."""

_AGENTS = ("curl/8.5.0", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "Go-http-client/1.1")  # fmt: skip
_PLACES = (
    "api/v2/orders",
    "static/css/site.css",
    "search",
    "users/profile",
    "images/logo.png",
    "cart",
    "login",
)


@dataclass(frozen=True, slots=True)
class Source:
    """
    A log that is written already.

    Attributes:
        line_bytes: Average size of a line with its newline; they differ by up to 20 %.
        text: Bytes of all lines without their newlines.
        headers: str headers of all lines, in bytes: 1, 2, 3 or 5 for each.
    """

    path: Path
    line_bytes: int
    lines: int
    size: int
    text: int
    headers: int


def make_source(directory: Path, line_bytes: int, size: int) -> Source:
    """Write a log of at least one block and about *size* bytes."""
    path = directory / f"source-{line_bytes}-{size}.log"
    # In a process of its own, so that the benchmark, which all others are forked from, stays small.
    with Child("writing a log", lambda tell: tell(_write_source(path, line_bytes, size))) as writer:
        source: Source = writer.receive()
        writer.wait()
    return source


def lines_of(line_bytes: int) -> Iterator[bytes]:
    """Yield lines for ever, always the same ones."""
    rng = random.Random(line_bytes)
    while True:
        size = rng.randint(line_bytes * 4 // 5, line_bytes * 6 // 5) - 1
        line = f"10.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(256)} - - [22/Nov/2026:17:{rng.randrange(60):02}:{rng.randrange(60):02} +0000]"
        while len(line) < size:
            line += (
                f' "GET /{rng.choice(_PLACES)}?id={rng.getrandbits(48):x} HTTP/1.1" {rng.choice((200, 200, 200, 304, 404))}'
                f' {rng.randrange(40000)} "-" "{rng.choice(_AGENTS)}" {rng.random():.4f}'
            )
        yield line[:size].encode("ascii")


def append_live(source: Source, path: Path, lines_per_second: float, tell: Tell) -> None:
    """
    Append all of *source* to *path*, whole lines at a time; tell the ``time.monotonic()`` at which the last write began.

    Args:
        lines_per_second: The pace; 0 = as fast as it goes.
    """
    data = source.path.read_bytes()
    size = int(lines_per_second * WRITE_INTERVAL * source.line_bytes) or WRITE_SIZE
    interval = WRITE_INTERVAL if lines_per_second else 0.0
    fd = os.open(path, os.O_WRONLY | os.O_APPEND)
    start, began = 0, time.monotonic()
    due = began
    while start < len(data):
        end = data.find(b"\n", start + size) + 1 or len(data)
        began = time.monotonic()
        os.write(fd, data[start:end])
        start, due = end, due + interval
        time.sleep(max(0.0, due - time.monotonic()))
    tell(began)


def _write_source(path: Path, line_bytes: int, size: int) -> Source:
    block = []
    block_size = 0
    for line in lines_of(line_bytes):
        block.append(line)
        block_size += len(line) + 1
        if block_size >= BLOCK_SIZE:
            break
    times = max(1, round(size / block_size))
    data = b"\n".join(block) + b"\n"
    with path.open("wb") as file:
        for _ in range(times):
            file.write(data)
    headers = sum(map(_str_header_size, map(len, block)))
    text = block_size - len(block)
    return Source(path, line_bytes, len(block) * times, block_size * times, text * times, headers * times)


def _str_header_size(size: int) -> int:
    """Return how many bytes msgpack puts before a str of *size* bytes."""
    return 1 if size < 32 else 2 if size < 1 << 8 else 3 if size < 1 << 16 else 5
