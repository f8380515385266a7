"""
The pid file, held by a lock for the master's life.

Whether a master runs is decided by the lock alone: it ends with the process that holds it, however that
dies, and no stranger who has got its pid holds it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time

from fluentlite.errors import FluentliteError
from fluentlite.master.account import Account, rights_of
from fluentlite.trust import Seen

_PATIENCE = 0.3
"""Seconds to go on trying: somebody may be looking at the lock, and a look takes no longer."""

_MODE = 0o600
"""Whoever can open it can take its lock; everybody else asks the control socket."""

_LINK = "it is a symbolic link"


class PidFileError(FluentliteError):
    """The pid file cannot be used."""


class HeldError(FluentliteError):
    """
    Another master holds the lock.

    Attributes:
        pid: Its pid, or None if it has not yet written it.
    """

    def __init__(self, path: str, pid: int | None) -> None:
        who = f"process {pid}" if pid else "a process that is just starting, or is no fluentlite"
        super().__init__(f"{path} is locked by {who}: fluentlite runs already with this run_dir")
        self.pid = pid


class PidFile:
    """
    The lock, held from now until ``close``, by this process and by those it forks that keep ``fileno``.

    Args:
        account: With whose rights the file is opened and removed, where its directory is not root's; None: with ours.

    Raises:
        HeldError: Another one holds it.
        PidFileError: The file cannot be opened, or is none, or none of ours.
    """

    def __init__(self, path: str, account: Account | None = None) -> None:
        self._path, self._account = path, account
        try:
            self._fd = _locked(path, account)
        except OSError as exc:  # no memory for locks, an error of the disk
            raise PidFileError(
                f"{path}: the pid file cannot be locked ({exc.strerror}). See to the file system of its directory, or name "
                "another one."
            ) from exc

    def fileno(self) -> int:
        return self._fd

    def write(self, pid: int) -> None:
        """
        Raises:
            PidFileError: The disk is full.
        """
        try:
            text = b"%d\n" % pid
            os.pwrite(self._fd, text, 0)
            os.ftruncate(self._fd, len(text))
        except OSError as exc:
            raise PidFileError(f"{self._path}: the pid cannot be written ({exc.strerror})") from exc

    def is_there(self) -> bool:
        """Whether the file at the path is still the one that is locked; what cannot be seen now was not removed."""
        try:
            return Seen(self._path, self._fd).look()
        except OSError:
            return True

    def remove(self) -> None:
        """Remove the file and give the lock up, in this order: a file without its lock means a master that died."""
        with contextlib.suppress(OSError):  # somebody removed it, or the directory is read-only by now
            with rights_of(self._account):
                if Seen(self._path, self._fd).look():
                    os.unlink(self._path)
        self.close()

    def close(self) -> None:
        """Give the lock up here; other processes that have it keep it."""
        os.close(self._fd)


def holder(path: str) -> int | None:
    """
    Return the pid of the master that holds the lock of *path*: 0 if it is not known, None if there is no such master.

    A pid is believed only if that process has the file open and is of the file's owner: whoever signals it must not
    meet a stranger, nor a program of root's that somebody has started with his file open.

    Raises:
        PidFileError: The file is there and cannot be read.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except PermissionError as exc:
        raise PidFileError(
            f"{path}: the pid file cannot be read by user {os.geteuid()} ({exc.strerror}). Say this as root, or as the user "
            "who started fluentlite."
        ) from exc
    except OSError as exc:
        raise PidFileError(
            f"{path}: the pid file cannot be read ({exc.strerror}). Look at its file system."
        ) from exc
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = _pid_in(fd)
        owner = os.fstat(fd).st_uid
        return pid if pid and _has_open(pid, fd) and owner_of(pid) == owner else 0
    else:
        return None
    finally:
        os.close(fd)


def owner_of(pid: int) -> int | None:
    """
    Return whose process *pid* is; None if there is none.

    By the saved user id: a program of root's that somebody has started is root's whatever it does just now, and so is
    a master that has the rights of the workers' user for a moment.
    """
    with contextlib.suppress(OSError), open(f"/proc/{pid}/status", "rb") as status:
        for line in status:
            if line.startswith(b"Uid:"):
                return int(line.split()[3])
    return None


def _locked(path: str, account: Account | None) -> int:
    give_up_at = time.monotonic() + _PATIENCE
    while True:
        fd = _open(path, account)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if Seen(path, fd).look():
                os.fchmod(fd, _MODE)  # whatever the umask is
                os.ftruncate(fd, 0)  # what stands there is the pid of somebody who is gone
                return fd
        except BlockingIOError:
            pid = _pid_in(fd)
            pid = pid if pid and _has_open(pid, fd) else None
            if time.monotonic() >= give_up_at:
                os.close(fd)
                raise HeldError(path, pid) from None
            time.sleep(0.02)
        except OSError:
            os.close(fd)
            raise
        os.close(fd)  # its owner has removed it between our two steps, or holds it


def _open(path: str, account: Account | None) -> int:
    try:
        with rights_of(account):
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, _MODE)
    except OSError as exc:
        reason = _LINK if exc.errno == errno.ELOOP else exc.strerror
        raise PidFileError(
            f"{path}: the pid file cannot be opened ({reason}). Correct run_dir and its owner, or remove the file."
        ) from exc
    owners = {os.geteuid()} if account is None else {os.geteuid(), account.uid}
    strangeness = Seen(path, fd).strangeness(owners)
    if strangeness:  # its lock and its content are somebody else's
        os.close(fd)
        raise PidFileError(
            f"{path}: the pid file is none of ours: {strangeness}. Look who put it there, and remove it."
        )
    return fd


def _pid_in(fd: int) -> int | None:
    text = os.pread(fd, 32, 0).strip()
    return int(text) if text.isdigit() else None


def _has_open(pid: int, fd: int) -> bool:
    """Tell whether process *pid* has the file of *fd* open. Of others' processes only root may know that."""
    wanted = os.fstat(fd)
    directory = f"/proc/{pid}/fd"
    try:
        names = os.listdir(directory)
    except OSError:
        return False
    for name in names:
        with contextlib.suppress(OSError):  # closed meanwhile
            if os.path.samestat(os.stat(f"{directory}/{name}"), wanted):
                return True
    return False
