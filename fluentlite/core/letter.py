"""
The bytes of a dead letter: one record that every server refused, with all that is needed to send it again.

A line of JSON, so that ``head -n 1`` shows it, and then the record's entry, exactly as it was sent. Versioned; a test
pins these bytes.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from fluentlite.core.cutting import bounds
from fluentlite.core.forward import Chunk, ChunkEncoder, Position, Step
from fluentlite.core.position import CHECKPOINT_SUFFIX, checkpoint_name
from fluentlite.errors import LetterError

VERSION = 1
DIRECTORY = "dead-letters"
"""Below ``state_dir``."""
SUFFIX = ".letter"

_LYING = "refused by every server"


@dataclass(frozen=True, slots=True)
class Letter:
    """
    A refused record.

    Attributes:
        tag: Of its event.
        path: The log, as configured; ``-`` is standard input.
        source: Identity and epoch of the file; of standard input, a name of that run.
        start, end: Bytes of the file from which the record was made.
        is_exact: Otherwise it is somewhere between them.
        chunk: The id under which it was sent.
        entries: How many there are; one.
        format: Of the entry.
        refused_at: Seconds since 1970.
        servers: Each with what it did.
        entry: As it was sent.
    """

    tag: str
    path: str
    source: str
    start: int
    end: int
    is_exact: bool
    chunk: str
    entries: int
    format: Literal["msgpack", "json"]
    refused_at: int
    servers: tuple[tuple[str, str], ...]
    entry: bytes

    @property
    def name(self) -> str:
        """
        The name of its file, which follows from the log, the place and the line alone: a record that is refused
        once more after a crash, with another time and in another chunk, replaces its letter.
        """
        line = bounds(self.entry, as_json=self.format == "json")[0].line
        place = f"{self.source}:{self.start}:{self.end}:".encode("utf-8", "surrogateescape")
        digest = hashlib.blake2b(place + line, digest_size=8).hexdigest()
        return f"{name_prefix(self.path)}{self.start}-{digest}{SUFFIX}"

    def to_chunk(self, encoder: ChunkEncoder) -> Chunk:
        """Return it as a chunk, with the id that it had."""
        step = Step(self.entry, self.entries, self.end - self.start, Position(0, self.end, b""))
        return encoder.encode(self.source, [step], ident=self.chunk)


def letter_of(chunk: Chunk, tag: str, path: str, *, as_json: bool, servers: Iterable[tuple[str, str]], now: int) -> Letter:  # fmt: skip
    """Make the letter of *chunk*, which has one entry; *now* in seconds since 1970."""
    step = chunk.steps[0]
    span = step.span
    return Letter(
        tag=tag,
        path=path,
        source=chunk.source,
        start=span.start,
        end=span.end,
        is_exact=span.is_exact,
        chunk=chunk.id,
        entries=step.count,
        format="json" if as_json else "msgpack",
        refused_at=now,
        servers=tuple(servers),
        entry=step.entries,
    )


def name_prefix(log_path: str) -> str:
    """Return how the names of all letters of a log begin."""
    log_path = "stdin" if log_path == "-" else log_path
    return checkpoint_name(log_path).removesuffix(CHECKPOINT_SUFFIX) + "."


def prefix_of(name: str) -> str:
    """Return the ``name_prefix`` of a letter's file; empty if *name* is no letter's."""
    stem = name.removesuffix(SUFFIX)
    return "" if stem == name else stem[: stem.rfind(".") + 1]


def encode_letter(letter: Letter) -> bytes:
    """Return the content of its file."""
    facts = asdict(letter)
    entry = letter.entry
    del facts["entry"]
    facts["servers"] = [{"server": server, "reason": reason} for server, reason in letter.servers]
    head = {"fluentlite_letter": VERSION, **facts, "bytes": len(entry)}
    line: bytes = _line(head | {"crc32": _checksum(head, entry)})
    return line + entry


def decode_letter(data: bytes) -> Letter:
    """
    Read the content of a letter's file.

    Raises:
        LetterError: It is none, or not as it was written.
    """
    line, _, entry = data.partition(b"\n")
    head = _head(line)
    is_as_written = _line(head) == line + b"\n"
    checksum = head.pop("crc32", None)
    if not is_as_written or checksum != _checksum(head, entry) or head.pop("bytes", None) != len(entry):
        raise LetterError("it is damaged: its checksum is wrong")
    try:
        del head["fluentlite_letter"]
        servers = tuple((answer["server"], answer["reason"]) for answer in head.pop("servers"))
        letter = Letter(**head, servers=servers, entry=entry)
        count = len(bounds(entry, as_json=letter.format == "json"))
        if count != letter.entries:
            raise ValueError(f"it has {count}")
    except (KeyError, TypeError, ValueError) as exc:
        raise LetterError(f"it is damaged ({exc})") from exc
    return letter


def lying(count: int, directory: str, path: str) -> str:
    """Say that *count* letters of the log *path* lie in *directory*; empty for none."""
    if not count:
        return ""
    them = "it" if count == 1 else "them"
    return (
        f"{path}: {refused(count)} in {directory} ({name_prefix(path)}*{SUFFIX}); see why with "
        f'"head -n 1 FILE", send {them} again with "fluentlite replay FILE", or remove {them}'
    )


def refused(count: int) -> str:
    """Name *count* letters, one or more; the place where they lie follows."""
    records, lie = ("1 record", "lies") if count == 1 else (f"{count} records", "lie")
    return f"{records} {_LYING} {lie}"


def is_lying(error: str) -> bool:
    """Tell whether an error is what ``lying`` says."""
    return f" {_LYING} li" in error


def _head(line: bytes) -> dict[str, Any]:
    try:
        head = json.loads(line)
    except (ValueError, RecursionError):
        head = None
    if not isinstance(head, dict) or not isinstance(version := head.get("fluentlite_letter"), int):
        raise LetterError("it is no dead letter of fluentlite")
    if version > VERSION:
        raise LetterError(f"it was written by a later version of fluentlite (format {version}); use that one")
    return head


def _line(head: dict[str, Any]) -> bytes:
    return b"%s\n" % json.dumps(head).encode("ascii")


def _checksum(head: dict[str, Any], entry: bytes) -> str:
    return f"{zlib.crc32(_line(head) + entry):08x}"
