"""Looking around in the directory of a log."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator

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
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def places(self) -> dict[str, str]:
        """Return the directories where generations may be, each with the log's name there."""
        real = os.path.realpath(self.path)
        return dict((os.path.split(self.path), os.path.split(real)))

    def siblings(self) -> list[Sibling]:
        """Return all regular files beside the log, by full path; those that vanish meanwhile are left out."""
        return _files_in(self.places())

    def identity_at_path(self) -> set[Identity]:
        """Return the identity of the file at the path, if there is one."""
        try:
            return {facts_of(os.stat(self.path)).identity}
        except OSError:
            return set()

    def rotated(self) -> list[Sibling]:
        """Return those whose names a rotation may have made."""
        places = self.places()  # once: a link may lead elsewhere meanwhile
        return [
            sibling
            for sibling in _files_in(places)
            if is_rotated_name(places[os.path.dirname(sibling.name)], os.path.basename(sibling.name))
        ]

    def compressed(self) -> list[str]:
        """Return the paths of compressed generations."""
        return [
            entry_path
            for directory, base in self.places().items()
            for entry_path, _ in _regular_files(directory)
            if entry_path.endswith(COMPRESSED_SUFFIXES) and compressed_of(base, os.path.basename(entry_path))
        ]

    def open_identity(self, identity: Identity) -> tuple[int, str] | None:
        """Open the file with this identity, whatever its name is now; None if no name of it is found."""
        for _ in range(3):  # names move while we look
            found = next((s for s in self.siblings() if s.facts.identity == identity), None)
            if found is None:
                return None
            fd = self.open_sibling(found)
            if fd is not None:
                return fd, found.name
        return None

    def open_sibling(self, sibling: Sibling) -> int | None:
        """
        Open *sibling*; None if another file has its name by now or it cannot be opened.

        Raises:
            OSError: There is no descriptor for it.
        """
        try:
            fd = open_log(sibling.name)
        except OSError as exc:
            if is_out_of_descriptors(exc):
                raise
            return None
        if facts_of(os.fstat(fd)).identity == sibling.facts.identity:
            return fd
        os.close(fd)
        return None

    def open_copy(self, is_copy: Callable[[int, Sibling], bool]) -> tuple[int, str] | None:
        """
        Open the largest sibling for which *is_copy*, called with an open descriptor, says yes.

        Raises:
            OSError: There are no descriptors to look for it.
        """
        for sibling in sorted(self.siblings(), key=lambda sibling: -sibling.facts.size):
            if sibling.name.endswith(COMPRESSED_SUFFIXES):
                continue
            fd = self.open_sibling(sibling)
            if fd is None:
                continue
            with contextlib.suppress(OSError):  # one that cannot be read is no copy
                if is_copy(fd, sibling):
                    return fd, sibling.name
            os.close(fd)
        return None


def _files_in(directories: Collection[str]) -> list[Sibling]:
    """
    A file that is renamed while a directory is read can be missing, though it is always there: only what
    was read twice alike is believed, as long as names do not move without end.
    """
    found = _read(directories)
    for _ in range(MOST_READS):
        before, found = found, _read(directories)
        if _names(before) == _names(found):
            break
    return found


def _read(directories: Iterable[str]) -> list[Sibling]:
    return [
        Sibling(entry_path, facts_of(result))
        for directory in directories
        for entry_path, result in _regular_files(directory)
    ]


def _names(siblings: list[Sibling]) -> dict[str, Identity]:
    return {sibling.name: sibling.facts.identity for sibling in siblings}


def _regular_files(directory: str) -> list[tuple[str, os.stat_result]]:
    """List a directory; one that cannot be read is empty, unless it is for want of a descriptor."""
    try:
        with os.scandir(directory) as entries:
            return list(_files_among(entries))
    except OSError as exc:
        if is_out_of_descriptors(exc):
            raise
        return []


def _files_among(entries: Iterable[os.DirEntry[str]]) -> Iterator[tuple[str, os.stat_result]]:
    for entry in entries:
        with contextlib.suppress(OSError):  # gone meanwhile
            result = entry.stat(follow_symlinks=False)
            if stat.S_ISREG(result.st_mode):
                yield entry.path, result
