"""
Put files into a system, remember them, and take them away again.

What the administrator has changed is never touched: a file is replaced or removed only while it is, byte for
byte, what was put there. The record of that is a small JSON file beside the configuration.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from fluentlite.errors import FluentliteError

RECORD_VERSION = 1

_UNLIKE = "unlike any"
"""Stands for the digest of what is no regular file."""


@dataclass(frozen=True, slots=True)
class File:
    """A file to be put in place."""

    path: str
    """Absolute, as the system will see it."""
    content: bytes
    mode: int
    aside: str = ".new"
    """What its name ends in when it has to lie beside a changed one."""


@dataclass(frozen=True, slots=True)
class Step:
    """What is done with one path, or not done."""

    action: Literal["create", "update", "keep", "leave", "remove"]
    path: str
    why: str = ""
    content: bytes = b""
    mode: int = 0o644

    @property
    def writes(self) -> bool:
        return self.action in ("create", "update")


@dataclass(slots=True)
class Record:
    """What was put in place, when this was done the last time."""

    files: dict[str, str] = field(default_factory=dict)
    """Path to the digest of the content that was written there."""
    directories: list[str] = field(default_factory=list)
    """Those that were made for it, outer ones first."""


class System:
    """
    The file system below *prefix*, which stands for ``/``.

    Paths are what they will be called by the running system, without the prefix.
    """

    def __init__(self, prefix: str, record_path: str) -> None:
        self._prefix = prefix
        self._record_path = record_path

    def real(self, path: str) -> str:
        """Return where *path* lies from our point of view."""
        return os.path.join(self._prefix, path.lstrip("/"))

    def digest(self, path: str) -> str | None:
        """Return the digest of what is at *path*; None if nothing is, and what equals nothing if it is no file."""
        try:
            with open(self.real(path), "rb", opener=_open_regular) as file:
                return _digest(file.read())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:
            return _UNLIKE

    def load_record(self) -> Record:
        """
        Raises:
            FluentliteError: It is there and cannot be used.
        """
        path = self.real(self._record_path)
        try:
            with open(path, "rb") as file:
                data = json.load(file)
            if data["version"] > RECORD_VERSION:
                raise FluentliteError(
                    f"{path} was written by a later version of fluentlite. Use that version for this."
                )
            return Record(dict(data["files"]), list(data["directories"]))
        except FileNotFoundError:
            return Record()
        except OSError as exc:
            raise FluentliteError(f"{path} cannot be read ({exc.strerror}). Run this as root.") from exc
        except (ValueError, TypeError, KeyError) as exc:
            raise FluentliteError(
                f"{path}, which says what was installed, is damaged. Remove it and install again: files that differ "
                "from ours are left alone."
            ) from exc

    def problems(self, steps: Iterable[Step]) -> list[str]:
        """Return why *steps* cannot be carried out: a sentence for each reason, with all directories."""
        touched = [step.path for step in steps if step.writes or step.action == "remove"]
        directories = {os.path.dirname(self.real(path)) for path in [*touched, self._record_path] if touched}
        found: dict[str, list[str]] = {}
        for path in sorted(set(map(_nearest, directories))):
            found.setdefault(_obstacle(path), []).append(path)
        return [f"{', '.join(paths)}: {reason}" for reason, paths in found.items() if reason]

    def carry_out(self, steps: Iterable[Step], record: Record) -> None:
        """
        Do what *steps* say; *record* is what is to be remembered afterwards, and gets the directories that are made.

        Raises:
            FluentliteError: Something could not be done. Doing all again continues where this ended.
        """
        try:
            os.makedirs(self._prefix, exist_ok=True)
            for step in steps:
                if step.writes:
                    self._make_directory(os.path.dirname(step.path), record)
                    _write(self.real(step.path), step.content, step.mode)
                elif step.action == "remove":
                    os.unlink(self.real(step.path))
            self._save(record)
        except OSError as exc:
            where = exc.filename2 or exc.filename or self._prefix
            raise FluentliteError(
                f"{where}: {exc.strerror}. Mend that and run the command again: it goes on where it ended."
            ) from exc

    def _make_directory(self, path: str, record: Record) -> None:
        if os.path.isdir(self.real(path)):
            return
        self._make_directory(os.path.dirname(path), record)
        os.mkdir(self.real(path))
        os.chmod(self.real(path), 0o755)  # whatever the umask
        record.directories.append(path)

    def _save(self, record: Record) -> None:
        if record.files:
            self._make_directory(os.path.dirname(self._record_path), record)
            data = {"version": RECORD_VERSION, "files": record.files, "directories": record.directories}
            content = (json.dumps(data, indent=1) + "\n").encode()
            if self.digest(self._record_path) != _digest(content):
                _write(self.real(self._record_path), content, 0o644)
            return
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.real(self._record_path))
        for directory in reversed(record.directories):
            with contextlib.suppress(OSError):  # somebody else's files are in it, or it is gone
                os.rmdir(self.real(directory))


def to_install(files: Iterable[File], system: System, old: Record) -> tuple[list[Step], Record]:
    """Return the steps after which *files* are in place, and what is to be remembered then."""
    steps: list[Step] = []
    new = Record(directories=list(old.directories))
    for file in files:
        for step, digest in _put(file, system, old.files):
            steps.append(step)
            if digest:
                new.files[step.path] = digest
    gone = {path: digest for path, digest in old.files.items() if path not in new.files}
    return [*steps, *_take(gone, system)], new


def to_uninstall(system: System, old: Record, keep: Mapping[str, str]) -> tuple[list[Step], Record]:
    """Return the steps after which only what was changed is left, and what is in *keep*, a path and why."""
    kept = [Step("leave", path, keep[path]) for path in old.files if path in keep and system.digest(path)]
    rest = {path: digest for path, digest in old.files.items() if path not in keep}
    return [*_take(rest, system), *kept], Record(directories=list(old.directories))


def _put(file: File, system: System, put: Mapping[str, str]) -> Iterator[tuple[Step, str]]:
    """The steps for one file, each with the digest to be remembered; an empty one if the path is none of ours."""
    digest, there, before = _digest(file.content), system.digest(file.path), put.get(file.path)
    if there is None:
        yield Step("create", file.path, "", file.content, file.mode), digest
    elif there == digest:
        yield Step("keep", file.path), digest
    elif there == before:
        mode = stat.S_IMODE(os.stat(system.real(file.path)).st_mode)
        yield Step("update", file.path, "", file.content, mode), digest
    else:
        why = "you have changed it" if before else "it is not from us"
        yield Step("leave", file.path, f"{why}; ours is in {file.path}{file.aside}"), before or ""
        there = system.digest(file.path + file.aside)
        action: Literal["create", "keep", "update"] = "update"
        if there in (None, digest):
            action = "create" if there is None else "keep"
        # Nobody runs what lies aside.
        yield Step(action, file.path + file.aside, "", file.content, file.mode & 0o666), digest


def _take(put: Mapping[str, str], system: System) -> Iterator[Step]:
    for path, before in put.items():
        there = system.digest(path)
        if there == before:
            yield Step("remove", path)
        elif there is not None:
            yield Step("leave", path, "you have changed it")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _write(path: str, content: bytes, mode: int) -> None:
    """Put a file in place so that nobody ever sees half of it, also after a power failure."""
    directory, name = os.path.split(path)
    fd, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=directory)
    try:
        with open(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(fd, mode)
            os.fsync(fd)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    directory_fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory_fd)
    finally:
        os.close(directory_fd)


def _open_regular(path: str, flags: int) -> int:
    """A link is not followed: whoever made it manages the file in another way."""
    fd = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise IsADirectoryError(path)
    return fd


def _nearest(path: str) -> str:
    """What exists of *path*."""
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return path


def _obstacle(path: str) -> str:
    """Why nothing can be written in *path*; empty if it can."""
    if not os.path.isdir(path):
        return "not a directory. Move it away."
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        return "on a read-only file system. Make it writable, or install below another --prefix DIR."
    if not os.access(path, os.W_OK | os.X_OK, effective_ids=True):
        return f"user {os.geteuid()} cannot write there. Run this as root, or with --prefix DIR."
    return ""
