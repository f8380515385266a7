"""
What a look at a path and at its directory means: pure decisions, the looking is done elsewhere.

A *generation* is one file that the configured path named at some time. Older generations are found again
by identity, whatever they are called now; generations that nobody ever saw at the path are recognised
by their names and ages.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

COMPRESSED_SUFFIXES = (".gz", ".bz2", ".xz", ".zst", ".lz4", ".Z")

_ROTATION = re.compile(r"[._-](?:\d(?:[\d._T:+-]*\dZ?)?|old|prev(?:ious)?)")


@dataclass(frozen=True, slots=True)
class Identity:
    """Which file, whatever its name: unique at one time, but inodes are used again."""

    device: int
    inode: int

    def __str__(self) -> str:
        return f"{self.device}:{self.inode}"


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What ``stat`` says of a file; *size* in bytes, *mtime_ns* and *ctime_ns* in nanoseconds since 1970."""

    identity: Identity
    size: int
    mtime_ns: int
    ctime_ns: int = 0


@dataclass(frozen=True, slots=True)
class Sibling:
    """A regular file in the directory of the log."""

    name: str
    facts: FileFacts


def is_rotated_name(base: str, name: str) -> bool:
    """
    Tell whether *name* is what a rotation may have made of the log *base*.

    ``app.log`` becomes ``app.log.1``, ``app.log-20260131``, ``app.log.old``, ``app-20260131.log`` or
    ``app.1.log``; never ``app-error.log``, which is another log, nor anything compressed.
    """
    stem, dot, extension = base.rpartition(".")
    if not name.startswith(stem or base):  # nearly all others of a large directory
        return False
    beginnings = [(base, ""), (stem, dot + extension)] if stem else [(base, "")]
    return any(
        name.startswith(begin)
        and name.endswith(end)
        and _ROTATION.fullmatch(name, len(begin), len(name) - len(end))
        for begin, end in beginnings
    )


def compressed_of(base: str, name: str) -> bool:
    """Tell whether *name* is a compressed generation of the log *base*."""
    return any(name.endswith(end) and is_rotated_name(base, name[: -len(end)]) for end in COMPRESSED_SUFFIXES)


def age_order(siblings: Iterable[Sibling]) -> list[Sibling]:
    """Sort generations, oldest first: by last write, then by last rename (a shift renames the oldest first)."""
    return sorted(siblings, key=lambda sibling: (sibling.facts.mtime_ns, sibling.facts.ctime_ns))


def missed_generations(
    rotated: Iterable[Sibling],
    *,
    known: Collection[Identity],
    finished: Mapping[Identity, tuple[int, int]],
    since_ns: int,
) -> list[Sibling]:
    """
    Return the generations that were at the path when nobody looked, oldest first.

    Args:
        rotated: The files that a rotation may have made.
        known: The files that are being followed.
        finished: The files that have been delivered: their size and last write then. With another size or
            a later write there is something to read again: late lines, or a new file with an old inode.
        since_ns: Last write to the newest generation that was known; what is older was there before it.
    """
    return age_order(
        sibling
        for sibling in rotated
        if sibling.facts.identity not in known
        and sibling.facts.mtime_ns >= since_ns
        and finished.get(sibling.facts.identity) != (sibling.facts.size, sibling.facts.mtime_ns)
    )
