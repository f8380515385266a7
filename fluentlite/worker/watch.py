"""Hints that a log may have changed. They can be missing or late: polling alone is correct."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import inotify_simple

from fluentlite.core.rotation import Identity
from fluentlite.loop import Loop
from fluentlite.report import Condition
from fluentlite.worker.generation import Generation
from fluentlite.worker.mounts import is_local, is_local_directory
from fluentlite.worker.way import names_on_the_way

log = logging.getLogger(__name__)

Key = TypeVar("Key", str, Identity)

_FLAGS = inotify_simple.flags
# As plain numbers: every operation on an enumeration's member makes a member.
_DIRECTORY_EVENTS = int(
    _FLAGS.CREATE | _FLAGS.MOVED_TO | _FLAGS.MOVED_FROM | _FLAGS.DELETE | _FLAGS.MOVE_SELF | _FLAGS.ONLYDIR
)
_FILE_EVENTS = int(_FLAGS.MODIFY)
_IGNORED = int(_FLAGS.IGNORED)
_NAMES_UNKNOWN = int(_FLAGS.Q_OVERFLOW | _FLAGS.MOVE_SELF)


class Watch:
    """
    inotify on a log's directories and on its open generations.

    Args:
        wake: Called when a followed file may have grown or a name has changed.

    Attributes:
        has_names: A name in the directory has changed; the tail should look. Reset by who looks.
        are_local: Nobody but this kernel writes to the files and directories.
    """

    def __init__(self, path: str, loop: Loop, wake: Callable[[], None]) -> None:
        self.path = path
        self.has_names = False
        self._loop, self._wake = loop, wake
        self._trouble = Condition(log, logging.WARNING)
        self._wanted_directories: dict[str, str] = {}
        self.are_local = False
        self._directories: dict[str, int] = {}
        self._files: dict[Identity, int] = {}
        self._wanted_files: dict[Identity, str] = {}
        self._names: set[str] = set()
        self._is_muted = False
        self._inotify = self._open()
        self.resume()

    @property
    def is_reliable(self) -> bool:
        """
        Whether whatever happens is hinted at: all is watched, and only this kernel can change it.

        But for two things that only polling finds: a directory above the watched ones gets another name, and a
        writer maps the file into its memory.
        """
        is_watched = (
            self._files.keys() >= self._wanted_files.keys()
            and self._directories.keys() >= self._wanted_directories.keys()
        )
        return self.are_local and is_watched and not self._is_muted and self._inotify is not None

    def pause(self) -> None:
        """Do not wake the loop; hints gather in the kernel, where equal ones are joined."""
        if self._inotify is not None:
            self._loop.unwatch(self._inotify.fileno())

    def mute(self) -> None:
        """No hints about data, for long: a busy writer would wake a worker that cannot send."""
        if not self._is_muted:
            self._is_muted = True
            self._sync(self._files, self._heard(), _FILE_EVENTS)

    def listen(self) -> None:
        """Wake the loop again."""
        if self._inotify is not None:
            self._loop.watch(self._inotify.fileno(), self._on_ready)

    def resume(self) -> None:
        """All hints again; what came meanwhile has to be looked for."""
        self.listen()
        if self._is_muted:
            self._is_muted = False
            self._sync(self._files, self._heard(), _FILE_EVENTS)

    def update(self, generations: Iterable[Generation]) -> None:
        """Watch what is followed now, and the directories that the path leads through."""
        if self._inotify is None:
            self._inotify = self._open()
            self.resume()
        way = names_on_the_way(self.path)
        self._names = {name for names in way.values() for name in names}
        self._wanted_directories = {directory: directory for directory in way}
        # By descriptor, not by name: names move. Known by identity: descriptors are used again.
        fds = {g.identity: g.fd for g in generations if not g.is_closed}
        self._wanted_files = {identity: f"/proc/self/fd/{fd}" for identity, fd in fds.items()}
        self.are_local = all(map(is_local_directory, way)) and all(map(is_local, fds.values()))
        is_complete = self._sync(self._directories, self._wanted_directories, _DIRECTORY_EVENTS)
        is_complete &= self._sync(self._files, self._heard(), _FILE_EVENTS)
        if is_complete and self._inotify is not None:
            self._trouble.clear(f"{self.path}: inotify watches it again")

    def _heard(self) -> dict[Identity, str]:
        """What is to be watched now: while muted, not the newest file, which alone is written to without end."""
        newest = list(self._wanted_files)[-1:] if self._is_muted else []
        return {identity: path for identity, path in self._wanted_files.items() if identity not in newest}

    def close(self) -> None:
        if self._inotify is not None:
            self.pause()
            self._inotify.close()

    def _open(self) -> inotify_simple.INotify | None:
        try:
            return inotify_simple.INotify(nonblocking=True)
        except OSError as exc:
            limit = (
                "the limit of open files" if _has_few_descriptors(exc) else "fs.inotify.max_user_instances"
            )
            self._trouble.raise_(
                f"{self.path}: inotify is not available ({exc.strerror}); polling alone, so lines come up to "
                f"poll_interval later; raise {limit}"
            )
            return None

    def _sync(self, table: dict[Key, int], wanted: Mapping[Key, str], events: int) -> bool:
        """Make the watches in *table* those that are *wanted* (key -> path); False if one could not be had."""
        if self._inotify is None:
            return False
        for key in table.keys() - wanted.keys():
            with contextlib.suppress(OSError):  # gone with its file
                self._inotify.rm_watch(table.pop(key))
        for key in wanted.keys() - table.keys():
            try:
                table[key] = self._inotify.add_watch(wanted[key], events)
            except (FileNotFoundError, NotADirectoryError, PermissionError):
                continue  # not there, or not to be seen: polling notices when it is
            except OSError as exc:
                self._trouble.raise_(
                    f"{self.path}: inotify cannot watch it ({exc.strerror}); polling alone, so lines come up to "
                    "poll_interval later; raise fs.inotify.max_user_watches"
                )
                return False
        return True

    def _on_ready(self, _events: int) -> None:
        if self._inotify is None:
            return
        is_news = False
        for event in self._inotify.read(timeout=0):
            if event.mask & _IGNORED:
                self.has_names |= self._forget(event.wd)
            elif event.mask & _NAMES_UNKNOWN:
                is_news = self.has_names = True
            elif not event.name:
                is_news = True
            elif event.name in self._names:
                self.has_names = True
        if is_news or self.has_names:
            self._wake()

    def _forget(self, descriptor: int) -> bool:
        """The kernel dropped a watch; True if not at our wish: its directory or file is gone."""
        for table in (self._directories, self._files):
            for key in [key for key, wd in table.items() if wd == descriptor]:
                del table[key]  # type: ignore[arg-type]
                return True
        return False


def _has_few_descriptors(exc: OSError) -> bool:
    """
    Tell whether it is our own limit that is reached.

    EMFILE means that, or too many instances of this user; and the library needs descriptors of its own to
    find the C library, and reports their lack as a missing directory.
    """
    try:
        os.close(os.dup(0))
    except OSError as dup_exc:
        return dup_exc.errno == errno.EMFILE
    return isinstance(exc, FileNotFoundError)
