"""The demo of given files: each is delivered from its beginning and compared with what arrived."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence

from fluentlite.core import human
from fluentlite.core.decode import ReceivedChunk
from fluentlite.core.printing import field_values
from fluentlite.demo.stage import Stage
from fluentlite.demo.verdict import judge
from fluentlite.errors import ConfigError
from fluentlite.worker.resume import line_start

DURATION = 10.0
"""Seconds of reading at most, once every file has been begun."""

LONGEST = 30.0
"""Seconds of reading at most."""

_LOOK_INTERVAL = 0.3

_TOLD = 20
"""Files that are named in the verdict though they are well."""


class GivenFile:
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


class GivenFiles:
    """
    The files, by tag: their names, made different.

    Raises:
        ConfigError: One cannot be read; with all of them.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        problems = [problem for path in paths for problem in _problems(path)]
        if problems:
            raise ConfigError(*problems)
        self.by_tag: dict[str, GivenFile] = {}
        seen: set[tuple[int, int]] = set()
        for path in map(os.path.abspath, paths):
            status = os.stat(path)
            identity = (status.st_dev, status.st_ino)
            if identity not in seen:  # the same file twice is one log
                seen.add(identity)
                self.by_tag[self._new_tag(path)] = GivenFile(path)

    def take(self, chunk: ReceivedChunk) -> None:
        """Take note of what has arrived."""
        if chunk.tag in self.by_tag:  # else it is of a stranger who found our port
            self.by_tag[chunk.tag].take(chunk)

    def rest(self) -> int:
        """Return how many bytes of all files are still to come."""
        return sum(max(0, file.rest()) for file in self.by_tag.values())

    @property
    def are_begun(self) -> bool:
        """Whether something of each of them has arrived that has something."""
        return all(file.bytes or file.rest() <= 0 for file in self.by_tag.values())

    def _new_tag(self, path: str) -> str:
        name = re.sub(r"[^A-Za-z0-9._-]", "_", os.path.basename(path))
        tag, number = name, 1
        while tag in self.by_tag:
            number += 1
            tag = f"{name}-{number}"
        return tag


def _problems(path: str) -> Iterator[str]:
    if not os.path.isfile(path):
        yield f"{path}: there is no such file, or it is no regular one. Name existing log files, or none."
    elif not os.access(path, os.R_OK):
        yield f"{path}: user {os.geteuid()} cannot read it. Name files that can be read, or try it as root."


def play(stage: Stage, files: GivenFiles) -> int:
    """
    Run the demo.

    Returns:
        The exit status: 0 if what arrived is what is in the files.
    """
    stage.show.tell(
        f"{human.plural(len(files.by_tag), 'file')}: each is a log of the real daemon, sent from its beginning to a server on "
        f"{stage.server.address}\nfor about {DURATION:g} s at most. All but the files is in {stage.directory}, and taken away at the end.\n"
    )
    stage.daemon.configure({tag: file.path for tag, file in files.by_tag.items()})
    stage.caption = lambda: _caption(stage, files)
    stage.run("start")
    stage.elapsed = 0.0
    stage.show_status()
    while files.rest() and stage.elapsed < (DURATION if files.are_begun else LONGEST):
        stage.go_on_until(stage.elapsed + _LOOK_INTERVAL)
    elapsed = stage.elapsed
    stage.end_status()
    stage.run("stop")
    return _verdict(stage, files, elapsed)


def _caption(stage: Stage, files: GivenFiles) -> str:
    lines, size = (sum(getattr(file, what) for file in files.by_tag.values()) for what in ("lines", "bytes"))
    return f"{stage.elapsed:.1f} s: {lines} lines, {human.size(size)} delivered, {human.size(files.rest())} to come"


def _verdict(stage: Stage, files: GivenFiles, elapsed: float) -> int:
    stage.show.tell()
    is_good = is_all = True
    told, more = 0, 0
    for file in files.by_tag.values():
        is_same, rest = file.is_same(), file.rest()
        is_well = is_same and (file.bytes > 0 or rest <= 0)
        is_good, is_all = is_good and is_well, is_all and rest <= 0
        if told < _TOLD or not is_well:
            told += 1
            stage.show.tell(_told(file, elapsed, rest, is_same=is_same))
        else:
            more += 1
    if more:
        stage.show.tell(f"... and {human.plural(more, 'file')} more, all the same")
    return judge(stage, is_good, "every line" if is_all else "every line so far")


def _told(file: GivenFile, elapsed: float, rest: int, *, is_same: bool) -> str:
    same = "the same bytes as in the file" if is_same else "NOT the bytes of the file"
    more = f", {rest} bytes were still to come" if rest > 0 else ""
    return f"{file.path}: {human.plural(file.lines, 'line')} delivered in {elapsed:.1f} s, {same}{more}"
