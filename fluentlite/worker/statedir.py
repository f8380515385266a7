"""What a checkpoint needs of its directory and of its disk."""

from __future__ import annotations

import errno
import os

from fluentlite.core.position import checkpoint_name
from fluentlite.errors import StateError


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
