"""Looking around in the directory of a log."""

from __future__ import annotations

import errno
import functools
import os
import stat
from collections.abc import Callable, Iterator, Mapping

from fluentlite.core.rotation import COMPRESSED_SUFFIXES, Identity, Sibling, compressed_of, is_rotated_name
from fluentlite.worker.files import facts_of, is_out_of_descriptors, open_log

MOST_READS = 10
"""Times that a directory in which names move is read again."""


class LogDirectory:
    """
    The files beside a log.

    Args:
        path: The configured path. Where it is a symbolic link, rotated generations may lie beside the link
            or beside its target; both are looked at.

    Attributes:
        problem: Why the last look may have overlooked a file: a directory that cannot be listed, a file that
            cannot be opened. None if it saw all there is.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.problem: OSError | None = None

    def places(self) -> dict[str, str]:
        """Return the directories where generations may be, each with the log's name there."""
        real = os.path.realpath(self.path)
        return dict((os.path.split(self.path), os.path.split(real)))

    def identity_at_path(self) -> set[Identity]:
        """Return the identity of the file at the path, if there is one."""
        return {sibling.facts.identity for sibling in self._at_path()}

    def rotated(self) -> list[Sibling]:
        """Return those whose names a rotation may have made."""
        return self._named(is_rotated_name)

    def compressed(self) -> list[str]:
        """Return the paths of compressed generations."""
        return [sibling.name for sibling in self._named(compressed_of)]

    def open_identity(self, identity: Identity) -> tuple[int, str] | None:
        """
        Open the file with this identity, whatever its name is now; None if no name of it is found.

        The one at the path is found there even if its directory cannot be listed.

        Raises:
            OSError: It is there, but cannot be opened now.
        """
        for _ in range(3):  # names move while we look
            found = next((s for s in self._all(self.places()) if s.facts.identity == identity), None)
            if found is None:
                return None
            fd = self.open_sibling(found)
            if fd is not None:
                return fd, found.name
        raise OSError(errno.EAGAIN, "its name changes all the time", self.path)

    def open_sibling(self, sibling: Sibling) -> int | None:
        """
        Open *sibling*; None if it is gone, or another file has its name by now.

        Raises:
            OSError: It cannot be opened.
        """
        try:
            fd = open_log(sibling.name)
        except FileNotFoundError:
            return None
        if facts_of(os.fstat(fd)).identity == sibling.facts.identity:
            return fd
        os.close(fd)
        return None

    def open_copy(
        self, size: int, since_ns: int, is_copy: Callable[[int, Sibling], bool]
    ) -> tuple[int, str] | None:
        """
        Open the largest file for which *is_copy*, called with an open descriptor, says yes.

        A file that cannot be opened, though by its name it may be ours, is noted as a ``problem``; one that nobody may
        open only if it has more than *size*.

        Args:
            size: Bytes that it must have.
            since_ns: It must have been written at that time or later.

        Raises:
            OSError: There are no descriptors to look for it.
        """
        places = self.places()
        found = [s for s in self._all(places) if s.facts.size >= size and s.facts.mtime_ns >= since_ns]
        for sibling in sorted(found, key=lambda sibling: -sibling.facts.size):
            if sibling.name.endswith(COMPRESSED_SUFFIXES):
                continue
            try:
                fd = self._open_if(sibling, is_copy)
            except OSError as exc:
                if is_out_of_descriptors(exc):
                    raise
                directory, name = os.path.split(sibling.name)
                is_ours = sibling.name == self.path or is_rotated_name(places[directory], name)
                is_for_ever = isinstance(exc, PermissionError)
                if is_ours and (sibling.facts.size > size or not is_for_ever):
                    self.problem = OSError(exc.errno, exc.strerror, sibling.name)
                continue
            if fd is not None:
                return fd, sibling.name
        return None

    def _open_if(self, sibling: Sibling, is_wanted: Callable[[int, Sibling], bool]) -> int | None:
        fd = self.open_sibling(sibling)
        is_it = False
        try:
            is_it = fd is not None and is_wanted(fd, sibling)
        finally:
            if fd is not None and not is_it:
                os.close(fd)
        return fd if is_it else None

    def _at_path(self) -> list[Sibling]:
        """The file at the path, if there is one."""
        try:
            seen = os.stat(self.path)
        except OSError:
            return []
        return [Sibling(self.path, facts_of(seen))] if stat.S_ISREG(seen.st_mode) else []

    def _all(self, places: Mapping[str, str]) -> Iterator[Sibling]:
        yield from self._at_path()
        yield from self._files_in(places, lambda _base, _name: True)

    def _named(self, is_ours: Callable[[str, str], bool]) -> list[Sibling]:
        """Those for which *is_ours*, called with the log's name there and theirs, says yes."""
        return self._files_in(self.places(), is_ours)

    def _files_in(self, places: Mapping[str, str], is_ours: Callable[[str, str], bool]) -> list[Sibling]:
        """
        A file that is renamed while a directory is read can be missing, though it is always there: only what
        was read twice alike is believed, as long as names do not move without end.
        """
        found = self._read(places, is_ours)
        for _ in range(MOST_READS):
            before, found = found, self._read(places, is_ours)
            if _names(before) == _names(found):
                break
        return found

    def _read(self, places: Mapping[str, str], is_ours: Callable[[str, str], bool]) -> list[Sibling]:
        self.problem = None
        return [
            sibling
            for directory, base in places.items()
            for sibling in self._regular_files(directory, functools.partial(is_ours, base))
        ]

    def _regular_files(self, directory: str, is_ours: Callable[[str], bool]) -> list[Sibling]:
        """List a directory; one that cannot be read is empty, unless it is for want of a descriptor."""
        try:
            with os.scandir(directory) as entries:
                # By their names first: a thousand logs may lie in one directory.
                return [
                    sibling
                    for entry in entries
                    if is_ours(entry.name)
                    for sibling in self._regular_file(entry)
                ]
        except OSError as exc:
            if is_out_of_descriptors(exc):
                raise
            self.problem = exc
            return []

    def _regular_file(self, entry: os.DirEntry[str]) -> list[Sibling]:
        try:
            if entry.is_file(follow_symlinks=False):
                return [Sibling(entry.path, facts_of(entry.stat(follow_symlinks=False)))]
        except FileNotFoundError:
            pass  # gone meanwhile
        except OSError as exc:
            self.problem = exc
        return []


def _names(siblings: list[Sibling]) -> dict[str, Identity]:
    return {sibling.name: sibling.facts.identity for sibling in siblings}
