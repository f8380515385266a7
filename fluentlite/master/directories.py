"""
The directories and files that a master needs, made with the right owner and mode.

What exists already keeps its owner: nobody's ``/tmp`` becomes ours because a configuration names it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Iterator

from fluentlite.config.model import MasterSettings
from fluentlite.errors import ConfigError
from fluentlite.master.account import Account


def pid_path(run_dir: str) -> str:
    return os.path.join(run_dir, "fluentlite.pid")


def state_lock_path(state_dir: str) -> str:
    return os.path.join(state_dir, "fluentlite.lock")


def socket_path(run_dir: str) -> str:
    return os.path.join(run_dir, "fluentlite.sock")


def prepare(master: MasterSettings, account: Account | None) -> None:
    """
    Make what is missing of run_dir, state_dir and the log file, and try that they can be used.

    Args:
        account: Whom state and log belong to; None: whoever calls.

    Raises:
        ConfigError: With everything that is wrong.
    """
    problems = [
        *_directory("run_dir", master.run_dir, 0o755, None, writer=None),
        *_directory("state_dir", master.state_dir, 0o750, account, writer=account),
    ]
    if master.log_file != "-" and not _is_device(master.log_file):
        directory = os.path.dirname(master.log_file)
        # Its files are ours to make, the workers need only write to them.
        problems += _directory("the directory of log_file", directory, 0o755, account, writer=None)
        problems += [] if problems else _log_file(master.log_file, account)
    if problems:
        raise ConfigError(*problems)


def _is_device(path: str) -> bool:
    """Whatever else it is: there is no file to be made."""
    try:
        return stat.S_ISCHR(os.stat(path).st_mode)
    except OSError:
        return False


def make_run_dir(path: str) -> None:
    """
    Raises:
        ConfigError: It cannot be made.
    """
    problems = list(_directory("run_dir", path, 0o755, None, writer=None))
    if problems:
        raise ConfigError(*problems)


def _directory(
    name: str, path: str, mode: int, owner: Account | None, *, writer: Account | None
) -> Iterator[str]:
    try:
        _make(path, mode, owner)
        with _rights_of(writer):
            # Where the file system can, it never has a name: whoever is killed here leaves nothing behind.
            tempfile.TemporaryFile(dir=path).close()
    except OSError as exc:
        who = writer.name if writer else f"user {os.geteuid()}"
        if exc.errno in (errno.EACCES, errno.EPERM):
            yield f"{name} {path}: {who} cannot write there ({exc.strerror}). {_remedy(path, who)}"
        elif exc.errno == errno.ENOSPC:
            yield f"{name} {path}: the disk is full. Make room, or name another directory."
        else:
            yield f"{name} {path}: it cannot be used ({exc.strerror}). Name a directory that {who} can write to."


def _remedy(path: str, who: str) -> str:
    name = who.removeprefix("user ")
    if os.path.isdir(path):
        # Whose it is, we cannot know: no advice to give away what may be the system's.
        return f"Name another one, made by: install -d -o {name} DIRECTORY. If it is fluentlite's alone, give it to {who}."
    as_root = "" if os.geteuid() == 0 else "Run this as root, or name a directory of your own; or, as root"
    return f"{as_root or 'Make it'}: install -d -o {name} {path}"


def _make(path: str, mode: int, account: Account | None) -> None:
    if os.path.isdir(path):
        return
    parent = os.path.dirname(path)
    if parent != path and not os.path.isdir(parent):
        _make(parent, 0o755, None)
    try:
        os.mkdir(path, mode)
    except FileExistsError:
        if not os.path.isdir(path):
            raise NotADirectoryError(errno.ENOTDIR, "it is not a directory") from None
        return  # another one was faster
    os.chmod(path, mode)  # whatever the umask
    if account is not None:
        os.chown(path, account.uid, account.gid, follow_symlinks=False)


def _log_file(path: str, account: Account | None) -> Iterator[str]:
    try:
        own_log_file(path, account)
    except OSError as exc:
        reason = "it is a symbolic link" if exc.errno == errno.ELOOP else exc.strerror
        yield f"log_file {path}: it cannot be written ({reason}). Correct its owner or mode, or name another file."


def own_log_file(path: str, account: Account | None) -> None:
    """
    Make the log file if it is missing, and give it to *account*, whose workers write to it too.

    Raises:
        OSError: It cannot be written to, or is a symbolic link.
    """
    how = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
    try:
        fd = os.open(path, how | os.O_CREAT | os.O_EXCL, 0o640)
        os.fchmod(fd, 0o640)  # whatever the umask
    except FileExistsError:
        fd = os.open(path, how)
    try:
        status = os.fstat(fd)
        # Not through a hard link that somebody put there: it would give them what it leads to.
        is_ours = stat.S_ISREG(status.st_mode) and status.st_nlink == 1
        if account is not None and is_ours and status.st_uid != account.uid:
            os.fchown(fd, account.uid, account.gid)
    finally:
        os.close(fd)


@contextlib.contextmanager
def _rights_of(account: Account | None) -> Iterator[None]:
    """Have the rights of *account* for a while."""
    if account is None:
        yield
        return
    groups, gid = os.getgroups(), os.getegid()
    os.setgroups(account.groups)
    os.setegid(account.gid)
    os.seteuid(account.uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(gid)
        os.setgroups(groups)
