"""
The file of a dead letter, opened so that root can do it in a directory that belongs to somebody else.

No link is followed, nobody's file is believed but those of who may write letters, and what is removed is what was read.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Collection

from fluentlite.errors import LetterError

MOST_BYTES = 1 << 30
"""Of a letter: many times the longest line that anybody will have configured."""

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


class LetterFile:
    """
    An open, locked letter.

    Args:
        owners: Users whose letters are believed.

    Raises:
        LetterError: It cannot be used; this goes for all methods.
    """

    def __init__(self, path: str, owners: Collection[int]) -> None:
        directory, self._name = os.path.split(path)
        with contextlib.ExitStack() as opened:
            try:
                self._place = os.open(directory or ".", _FLAGS | os.O_DIRECTORY)
                opened.callback(os.close, self._place)
                self._fd = os.open(self._name, _FLAGS | os.O_NONBLOCK, dir_fd=self._place)
                opened.callback(os.close, self._fd)
                self._check(os.fstat(self._fd), owners)
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                is_there = self._is_there()
            except BlockingIOError:
                raise LetterError("another replay is sending it") from None
            except OSError as exc:
                raise LetterError(f"it cannot be opened ({exc.strerror})") from exc
            if not is_there:
                raise LetterError("another replay has sent it, or it was replaced just now")
            self._opened = opened.pop_all()

    def __enter__(self) -> LetterFile:
        return self

    def __exit__(self, *_exc_info: object) -> None:
        self._opened.close()

    def read(self) -> bytes:
        """Return its content."""
        try:
            with open(self._fd, "rb", closefd=False) as file:
                return file.read(MOST_BYTES)
        except OSError as exc:
            raise LetterError(f"it cannot be read ({exc.strerror})") from exc

    def remove(self) -> None:
        """Take it away, for good; what lies there by now under its name stays."""
        try:
            if self._is_there():
                os.unlink(self._name, dir_fd=self._place)
                os.fsync(self._place)
        except OSError as exc:
            raise LetterError(
                f"it was delivered, but cannot be removed ({exc.strerror}); remove it yourself, or it will be sent twice"
            ) from exc

    def _is_there(self) -> bool:
        try:
            there = os.stat(self._name, dir_fd=self._place, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return os.path.samestat(there, os.fstat(self._fd))

    @staticmethod
    def _check(facts: os.stat_result, owners: Collection[int]) -> None:
        if not stat.S_ISREG(facts.st_mode) or facts.st_nlink > 1:
            raise LetterError("it is no file of its own, but something that leads to another one")
        if facts.st_uid not in owners:
            raise LetterError(
                f"it belongs to user {facts.st_uid}, who writes no letters here; if you know what it is, run this as that user"
            )
        if facts.st_mode & 0o022:
            raise LetterError(
                "others may write to it, so it may be theirs; if you know what it is, chmod 600"
            )
