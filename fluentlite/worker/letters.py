"""
Dead letters: a record that every server refuses goes to a file, and its log goes on.

The file is whole and on the disk before the position moves past the record. As long as it cannot be, the log waits.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import math
import os
import time
from collections.abc import Callable

from fluentlite.config.model import LogSettings, Server
from fluentlite.core.dispatch import Refusal
from fluentlite.core.letter import DIRECTORY, Letter, encode_letter, letter_of
from fluentlite.errors import StateError
from fluentlite.report import Condition
from fluentlite.worker.sender import Sender
from fluentlite.worker.statedir import make_directory, sync_directory

log = logging.getLogger(__name__)

RETRY_INTERVAL = 5.0
"""Seconds between two attempts to write a letter."""


class DeadLetters:
    """
    The dead letters of one log.

    Args:
        clock: The wall clock, in nanoseconds: for people who ask when it was.
    """

    def __init__(self, settings: LogSettings, state_dir: str, clock: Callable[[], int]) -> None:
        self._settings, self._state_dir, self._clock = settings, state_dir, clock
        self._directory = os.path.join(state_dir, DIRECTORY)
        self._trouble = Condition(log)
        self._retry_at = -math.inf

    @property
    def trouble(self) -> str:
        """Why a refused record holds up its log, or an empty string."""
        return self._trouble.message

    @property
    def deadline(self) -> float:
        """When ``tick`` has something to do by itself, in monotonic seconds."""
        return self._retry_at if self._retry_at > time.monotonic() else math.inf

    def tick(self, sender: Sender, now: float) -> None:
        """Put away what every server refuses, if there is something."""
        refusal = sender.refusal(now)
        if refusal is None or now < self._retry_at:
            return
        if self._put_away(refusal):
            sender.give_up(now)
        else:
            self._retry_at = now + RETRY_INTERVAL

    def settled(self) -> None:
        """Something was delivered: nothing is held up."""
        self._trouble.clear(f"{self._settings.path}: the record that was refused has been taken")

    def _put_away(self, refusal: Refusal[Server]) -> bool:
        letter = self._letter(refusal)
        file = os.path.join(self._directory, letter.name)
        try:
            make_directory(self._state_dir)
            _make_private(self._directory)
            _write(self._directory, letter.name, encode_letter(letter))
        except (OSError, StateError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else exc
            self._trouble.raise_(
                f"{file}: a record that every server refuses cannot be put there ({reason}), so its log waits; free "
                "space, or let this user write there; trying again"
            )
            return False
        self._trouble.clear(f"{file}: the record that every server refuses could be put there")
        log.error(
            "%s: the record at offset %d (%d bytes) is refused by every server (%s) and was put into a file; the log goes "
            "on. Mend what they do not like and say: fluentlite replay %s",
            letter.path, letter.start, len(letter.entry), _said(letter), file,
        )  # fmt: skip
        return True

    def _letter(self, refusal: Refusal[Server]) -> Letter:
        return letter_of(
            refusal.chunk,
            self._settings.tag,
            self._settings.path,
            as_json=self._settings.forward.format == "json",
            servers=[(str(server), reason or "it was out of order") for server, reason in refusal.reasons],
            now=self._clock() // 1_000_000_000,
        )


def _said(letter: Letter) -> str:
    return "; ".join(
        reason if reason.startswith(server) else f"{server}: {reason}" for server, reason in letter.servers
    )


def _make_private(directory: str) -> None:
    """Make *directory* whatever the umask, and its name safe from a power loss."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(directory, 0o750)
        os.chmod(directory, 0o750)
        sync_directory(os.path.dirname(directory))


def _write(directory: str, name: str, content: bytes) -> None:
    """Write a file that is there whole, and for good, or not at all; no link is followed."""
    draft = f"{name}.new"
    place = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        with contextlib.suppress(FileNotFoundError):  # of one who was killed
            os.unlink(draft, dir_fd=place)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(draft, flags, 0o600, dir_fd=place)
        try:
            _write_all(fd, content)
            os.fsync(fd)
            os.rename(draft, name, src_dir_fd=place, dst_dir_fd=place)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(draft, dir_fd=place)
            raise
        finally:
            os.close(fd)
        os.fsync(place)
    finally:
        os.close(place)


def _write_all(fd: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        written = os.write(fd, rest)
        if not written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        rest = rest[written:]
