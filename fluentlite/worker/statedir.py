"""What a checkpoint needs of its directory and of its disk."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os

from fluentlite.core.position import CHECKPOINT_SUFFIX, checkpoint_name
from fluentlite.errors import LockedError, StateError

_DRAFT = ".new-"
"""Followed by the pid of whoever makes it."""


def checkpoint_file(state_dir: str, log_path: str) -> str:
    """Return the path of a log's checkpoint."""
    return os.path.join(state_dir, checkpoint_name(log_path))


def write_whole(fd: int, data: bytes, offset: int) -> None:
    """Write all of *data*; a part of it means that there is no space for the rest."""
    if os.pwrite(fd, data, offset) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def lock(fd: int, refusal: str) -> None:
    """
    Lock an open checkpoint.

    Args:
        refusal: What is said if that cannot be: which log, and where.

    Raises:
        LockedError: Another process has locked it.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise LockedError(
            f"{refusal}; stop it first{_told(_holder(fd))}, or two readers would send every line twice"
        ) from None


def _holder(fd: int) -> int:
    """Return the pid of who has locked an open file; 0 if the kernel does not tell (another container)."""
    seen = os.fstat(fd)
    place = f"{os.major(seen.st_dev):02x}:{os.minor(seen.st_dev):02x}:{seen.st_ino}"
    with contextlib.suppress(OSError), open("/proc/locks", encoding="ascii") as locks:
        for row in locks:
            match row.split():
                case [_, "FLOCK", _, _, pid, at, *_] if at == place:
                    return max(0, int(pid))
    return 0


def _told(pid: int) -> str:
    return f" (pid {pid})" if pid else ""


def is_at(fd: int, file: str) -> bool:
    """Tell whether an open file is still the one at its path: it may have been set aside meanwhile."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(file, follow_symlinks=False))
    except OSError:  # not there, or the way to it is closed
        return False


def put_whole(file: str, content: bytes, aside: str | os.PathLike[str] | None) -> None:
    """
    Put *content* at *file*, which never exists half-written, and what was there *aside*.

    Args:
        aside: None if nothing was there. If there is something by now, that stays: another process was faster.

    Raises:
        OSError: It cannot be done; all is as before.
    """
    draft = f"{file.removesuffix(CHECKPOINT_SUFFIX)}{_DRAFT}{os.getpid()}"
    _remove_drafts(file)
    try:
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            write_whole(fd, content, 0)
            os.fsync(fd)
        finally:
            os.close(fd)
        if aside is not None:  # only now: without the broken one, this would be a first start
            os.link(file, aside, follow_symlinks=False)  # whatever somebody puts there meanwhile
            os.replace(draft, file)
        else:
            with contextlib.suppress(FileExistsError):
                os.link(draft, file)
            os.unlink(draft)
        sync_directory(os.path.dirname(file))
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(draft)
        raise


def make_directory(state_dir: str) -> None:
    """Make *state_dir*, for this user alone, and its name safe from a power loss; StateError if that cannot be."""
    missing, above = [], os.path.abspath(state_dir)
    while not os.path.isdir(above):
        missing.append(above)
        above = os.path.dirname(above)
    try:
        os.makedirs(state_dir, mode=0o750, exist_ok=True)
        for directory in missing:
            with contextlib.suppress(PermissionError):  # open to us for making something, and not for reading
                sync_directory(os.path.dirname(directory))
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


def remove_other_names(fd: int, file: str) -> None:
    """Remove what is left of the making of *file*, which is open, if whoever made it was killed before that was done."""
    if os.fstat(fd).st_nlink > 1:
        _remove_drafts(file)


def _remove_drafts(file: str) -> None:
    """Remove what is left half-made of *file* by processes that were killed over it."""
    directory, name = os.path.split(file.removesuffix(CHECKPOINT_SUFFIX) + _DRAFT)
    with contextlib.suppress(OSError):  # nobody needs them; they only take room
        for entry in os.listdir(directory):
            pid = entry.removeprefix(name)
            is_left = pid == str(os.getpid()) or not os.path.exists(f"/proc/{pid}")
            if entry.startswith(name) and pid.isdecimal() and is_left:
                os.unlink(os.path.join(directory, entry))
