"""What a checkpoint needs of its directory and of its disk."""

from __future__ import annotations

import contextlib
import errno
import os

from fluentlite.core.position import CHECKPOINT_SUFFIX, checkpoint_name
from fluentlite.errors import StateError

_DRAFT = ".new-"
"""Followed by the pid of whoever makes it."""


def checkpoint_file(state_dir: str, log_path: str) -> str:
    """Return the path of a log's checkpoint."""
    return os.path.join(state_dir, checkpoint_name(log_path))


def write_whole(fd: int, data: bytes, offset: int) -> None:
    """Write all of *data*; a part of it means that there is no space for the rest."""
    if os.pwrite(fd, data, offset) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def make_directory(state_dir: str) -> None:
    """Make *state_dir*, for this user alone; StateError if that cannot be."""
    try:
        os.makedirs(state_dir, mode=0o750, exist_ok=True)
    except OSError as exc:
        raise StateError(
            f"state_dir {state_dir!r} cannot be created ({exc.strerror}); create it for this user, or name another one"
        ) from exc


def sync_directory(directory: str) -> None:
    """Make the names in *directory* safe from a power loss."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def draft_of(file: str) -> str:
    """Return the name under which this process makes *file* before it gets its place."""
    return f"{file.removesuffix(CHECKPOINT_SUFFIX)}{_DRAFT}{os.getpid()}"


def remove_drafts(file: str) -> None:
    """Remove what is left half-made of *file* by processes that were killed over it."""
    directory, name = os.path.split(file.removesuffix(CHECKPOINT_SUFFIX) + _DRAFT)
    with contextlib.suppress(OSError):  # nobody needs them; they only take room
        for entry in os.listdir(directory):
            pid = entry.removeprefix(name)
            is_left = pid == str(os.getpid()) or not os.path.exists(f"/proc/{pid}")
            if entry.startswith(name) and pid.isdecimal() and is_left:
                os.unlink(os.path.join(directory, entry))
