"""
What a power loss may leave of a directory: recorded from the real calls, then every such state is written out.

:class:`Disk` stands between the program and the os module. It lets each call through and notes what the disk holds
for sure, and what it may or may not hold: of what was not synced, every sector of 512 bytes by itself is the old
one or any of those written since, and every change of a name has happened or not, whatever happened to the others.
A sync covers what was written before it began. After one that failed nothing of it is sure, nor will it be by another
sync: the kernel may have dropped it (until it is written again). No file system leaves more behind, most leave less::

    with Disk(tmp_path).recorded() as disk:
        ...                              # the program works; disk.note(...) says what is true by now
    for moment in disk.moments:
        for state in moment.states(random.Random(1)):
            state.write(fresh_directory)
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import stat
from pathlib import Path
from unittest import mock

SECTOR = 512

MOST_COMBINED = 5
"""Writes, or changes of names, of which all combinations are tried; of more, the last ones."""

TORN_RANDOMLY = 4
"""States of each moment in which every sector is chosen by lot."""


class File:
    """One file: which content of each sector is on the disk for sure, and which others may be."""

    def __init__(self):
        self.content = bytearray()
        self.safe: dict[int, bytes] = {}
        self.maybe: dict[int, list[tuple[int, bytes]]] = {}  # sector -> (number of the write, content)
        self.dirty: set[int] = set()  # sectors that a sync writes

    def write(self, number, data, offset):
        self.content[len(self.content) :] = bytes(max(0, offset - len(self.content)))
        self.content[offset : offset + len(data)] = data
        for sector in range(offset // SECTOR, (offset + len(data) - 1) // SECTOR + 1):
            piece = bytes(self.content[sector * SECTOR : (sector + 1) * SECTOR]).ljust(SECTOR, b"\0")
            self.maybe.setdefault(sector, []).append((number, piece))
            self.dirty.add(sector)

    def sync(self, until):
        """What was written up to the write *until* is safe."""
        for sector in list(self.dirty):
            done = [piece for number, piece in self.maybe[sector] if number <= until]
            if done:
                self.safe[sector] = done[-1]
                self.maybe[sector] = [version for version in self.maybe[sector] if version[0] > until]
            if not self.maybe[sector]:
                del self.maybe[sector]
                self.dirty.discard(sector)

    def fail(self):
        """A sync has failed: the kernel takes all for written, and it may be nowhere."""
        self.dirty.clear()

    def copy(self):
        twin = File()
        twin.safe, twin.maybe = dict(self.safe), {sector: list(found) for sector, found in self.maybe.items()}
        return twin

    def contents(self, rng):
        """Every content that may be found, at least once."""
        writes = sorted({number for versions in self.maybe.values() for number, _piece in versions})
        combined = writes[-MOST_COMBINED:]
        for bits in itertools.product([False, True], repeat=len(combined)):
            kept = {number for number, bit in zip(combined, bits, strict=True) if bit}
            yield self._choose(lambda _sector, number, kept=kept: number in kept)
        for last in writes:  # torn within one write; those before it are there, or not
            sectors = [sector for sector, versions in self.maybe.items() if last in dict(versions)]
            for cut in _spread(sectors):
                yield self._choose(lambda s, n, last=last, cut=cut: n < last or (n == last and s < cut))
                yield self._choose(lambda s, n, last=last, cut=cut: n == last and s >= cut)
        for _ in range(TORN_RANDOMLY if len(writes) > 1 else 0):
            yield self._choose(lambda _sector, _number: rng.random() < 0.5)

    def _choose(self, is_there):
        """For each sector, the newest content for which *is_there*, else what is safe."""
        chosen = dict(self.safe)
        for sector, versions in self.maybe.items():
            chosen.update((sector, piece) for number, piece in versions if is_there(sector, number))
        end = max(chosen, default=-1) + 1
        return b"".join(chosen.get(sector, bytes(SECTOR)) for sector in range(end))


def _spread(sectors):
    """Some sectors between the first and the last one."""
    return sorted({sectors[len(sectors) * part // 4] for part in (1, 2, 3)} - {sectors[0]}) if sectors else []


class Directory:
    """Names: those that are safe, and what has happened since, one dict (name -> file or None) for each change."""

    def __init__(self):
        self.safe: dict[str, File | Directory] = {}
        self.changes: list[dict[str, File | Directory | None]] = []

    @property
    def names(self):
        return self.after(self.changes)

    def after(self, changes):
        """The names if of all changes only *changes* took place."""
        names: dict[str, File | Directory | None] = dict(self.safe)
        for change in changes:
            names.update(change)
        return {name: node for name, node in names.items() if node is not None}

    def sync(self):
        self.safe, self.changes = self.names, []

    def copy(self, seen):
        """A copy; *seen*: the copies made so far, by id, since a file may have two names."""

        def twin(node):
            if node is not None and id(node) not in seen:
                seen[id(node)] = node.copy() if isinstance(node, File) else node.copy(seen)
            return seen.get(id(node))

        copy = Directory()
        copy.safe = {name: twin(node) for name, node in self.safe.items()}
        copy.changes = [{name: twin(node) for name, node in change.items()} for change in self.changes]
        return copy

    def trees(self, rng):
        """Every tree that may be found: path -> content, None for a directory."""
        combined = self.changes[-MOST_COMBINED:]
        for bits in itertools.product([False, True], repeat=len(combined)):
            names = self.after([change for change, bit in zip(combined, bits, strict=True) if bit])
            parts = [list(_found(name, node, rng)) for name, node in sorted(names.items())]
            # Two files that are unsafe at the same time are independent: each state of one with some of the other.
            for index in range(max(map(len, parts), default=1)):
                yield {path: data for part in parts for path, data in part[index % len(part)].items()}


def _found(name, node, rng):
    if isinstance(node, File):
        for content in node.contents(rng):
            yield {name: content}
    else:
        for tree in node.trees(rng):
            yield {name: None} | {f"{name}/{path}": data for path, data in tree.items()}


class Moment:
    """
    An instant at which the power may fail.

    Attributes:
        call: What was done last.
        facts: What was true then, as ``note`` had said.
    """

    def __init__(self, root, call, facts):
        self.root, self.call, self.facts = root.copy({}), call, facts

    def states(self, rng):
        """Every state of the directory that may be found after it, each once: path -> content, None for a directory."""
        seen = set()
        for tree in self.root.trees(rng):
            key = tuple(sorted(tree.items()))
            if key not in seen:
                seen.add(key)
                yield tree


def write_tree(tree, directory):
    """Write a state into a fresh directory."""
    for path, content in sorted(tree.items()):
        if content is None:
            (directory / path).mkdir()
        else:
            (directory / path).write_bytes(content)


class Disk:
    """
    Args:
        root: An existing, empty directory; what happens below it is recorded.

    Attributes:
        moments: All instants so far.
        failing_syncs: Sync calls that are to fail from now on.
    """

    def __init__(self, root):
        self.root, self.moments, self.failing_syncs = Path(root), [], 0
        self._tree, self._files, self._number, self._facts = Directory(), {}, 0, ()
        self._until: int | None = None
        self._real = {name: getattr(os, name) for name in self._CALLS}

    _CALLS = (
        "open", "pwrite", "fsync", "fdatasync", "link", "rename", "replace", "unlink", "mkdir", "rmdir", "truncate",
        "ftruncate", "write", "symlink", "posix_fallocate",
    )  # fmt: skip

    @contextlib.contextmanager
    def recorded(self):
        """Record what happens inside; at its end nothing has gone by unseen."""
        with contextlib.ExitStack() as stack:
            for name in self._CALLS:
                stack.enter_context(
                    mock.patch.object(os, name, getattr(self, f"_{name}", self._refuse(name)))
                )
            yield self
        assert self._as_seen() == self._as_it_is(), "something was written by a call that is not recorded"

    def note(self, *facts):
        """From now on *facts* are true."""
        self._facts = facts
        self._moment("noted")

    def background(self, call):
        """Stands for Background: *call* begins now, and ends when somebody waits for it, or asks for the third time."""
        return _Syncing(self, call)

    # -- calls ------------------------------------------------------------------------------------------

    def _open(self, path, flags, mode=0o777, *, dir_fd=None):
        is_new = self._is_below(path) and flags & os.O_CREAT and not os.path.lexists(path)
        fd = self._real["open"](path, flags, mode, dir_fd=dir_fd)
        if is_new:
            file = self._files[_key(fd)] = File()
            self._change(f"open {path}", {path: file})
        return fd

    def _pwrite(self, fd, data, offset):
        count = self._real["pwrite"](fd, data, offset)
        if _key(fd) in self._files:
            self._number += 1
            self._files[_key(fd)].write(self._number, data[:count], offset)
            self._moment(f"pwrite {count} at {offset}")
        return count

    def _fsync(self, fd):
        self._sync(fd, "fsync")

    def _fdatasync(self, fd):
        self._sync(fd, "fdatasync")

    def _sync(self, fd, name):
        target = os.readlink(f"/proc/self/fd/{fd}")
        node = self._files.get(_key(fd)) or (
            self._node(target) if self._is_below(target, or_root=True) else None
        )
        if node is None:
            return
        if self.failing_syncs:
            self.failing_syncs -= 1
            if isinstance(node, File):
                node.fail()
            self._moment(f"{name} fails")
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if isinstance(node, File):
            node.sync(self._number if self._until is None else self._until)
        else:
            node.sync()
        self._moment(name)

    def _link(self, source, target, **_options):
        self._real["link"](source, target)
        self._change(f"link {target}", {target: self._node(source)})

    def _rename(self, source, target):
        self._real["rename"](source, target)
        assert os.path.dirname(source) == os.path.dirname(target), "two directories: that is two changes"
        self._change(f"rename {target}", {target: self._node(source), source: None})

    _replace = _rename

    def _unlink(self, path, *, dir_fd=None):
        self._real["unlink"](path, dir_fd=dir_fd)
        self._change(f"unlink {path}", {path: None})

    def _mkdir(self, path, mode=0o777):
        self._real["mkdir"](path, mode)
        self._change(f"mkdir {path}", {path: Directory()})

    def _refuse(self, name):
        real = getattr(os, name)

        def call(first, *args, **kwargs):
            place = os.readlink(f"/proc/self/fd/{first}") if isinstance(first, int) else first
            assert not self._is_below(place), f"{name} of {place} is not recorded"
            return real(first, *args, **kwargs)

        return call

    # -- what was seen ----------------------------------------------------------------------------------

    def _is_below(self, path, *, or_root=False):
        relative = os.path.relpath(path, self.root)
        return not relative.startswith("..") and (or_root or relative != ".")

    def _node(self, path):
        node: File | Directory | None = self._tree
        for part in Path(os.path.relpath(path, self.root)).parts:
            node = node.names.get(part) if isinstance(node, Directory) else None
        return node

    def _change(self, call, changes):
        """Names change, all in one directory, at once."""
        changes = {path: node for path, node in changes.items() if self._is_below(path)}
        if changes:
            directory = self._node(os.path.dirname(next(iter(changes))))
            directory.changes.append({os.path.basename(path): node for path, node in changes.items()})
            self._moment(call)

    def _moment(self, call):
        self.moments.append(Moment(self._tree, call, self._facts))

    def _as_seen(self, node=None, prefix=""):
        found: dict[str, bytes | None] = {}
        for name, child in (node or self._tree).names.items():
            if isinstance(child, File):
                found[prefix + name] = bytes(child.content)
            else:
                found[prefix + name] = None
                found |= self._as_seen(child, f"{prefix}{name}/") if child.names else {}
        return found

    def _as_it_is(self):
        return {
            path.relative_to(self.root).as_posix(): path.read_bytes() if path.is_file() else None
            for path in self.root.rglob("*")
        }


class _Syncing:
    """A sync in another thread, which takes its time: it covers what had been written when it began."""

    def __init__(self, disk, call):
        self._disk, self._call, self._until, self._asked = disk, call, disk._number, 0

    @property
    def is_over(self):
        self._asked += 1
        if self._asked > 3:
            self.wait(0)
        return self._call is None

    def wait(self, _timeout):
        if self._call is not None:
            call, self._call = self._call, None
            self._disk._until = self._until
            try:
                call()
            finally:
                self._disk._until = None
        return True


def _key(fd):
    seen = os.fstat(fd)
    return (seen.st_dev, seen.st_ino) if stat.S_ISREG(seen.st_mode) else (0, 0)
