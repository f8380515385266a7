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
from collections.abc import Callable, Iterator

from fluentlite.config.model import MasterSettings
from fluentlite.errors import ConfigError
from fluentlite.logfile import open_own_log
from fluentlite.master.account import Account, rights_of
from fluentlite.trust import is_ours_alone, judge_log_dir, judge_run_dir, judge_state_dir, passes


def pid_path(run_dir: str) -> str:
    return os.path.join(run_dir, "fluentlite.pid")


def state_lock_path(state_dir: str) -> str:
    return os.path.join(state_dir, "fluentlite.lock")


def socket_path(run_dir: str) -> str:
    return os.path.join(run_dir, "fluentlite.sock")


def prepare(master: MasterSettings, account: Account | None) -> None:
    """
    Make what is missing of run_dir, state_dir and the log file, and try that they can be used, by nobody else.

    Args:
        account: Whom state and log belong to; None: whoever calls.

    Raises:
        ConfigError: With everything that is wrong.
    """
    user = account.uid if account else None
    problems = [
        *_directory("run_dir", master.run_dir, 0o755, None, judge_run_dir, writer=None),
        *_directory(
            "state_dir",
            master.state_dir,
            0o750,
            account,
            lambda path: judge_state_dir(path, user),
            writer=account,
        ),
    ]
    if master.log_file != "-" and not _is_device(master.log_file):
        directory = os.path.dirname(master.log_file)
        found = _directory(
            "the directory of log_file",
            directory,
            0o755,
            account,
            lambda path: judge_log_dir(path, user),
            # Its files are ours to make, the workers need only write to them; unless it is the workers'.
            writer=account if account and _owner(directory) == account.uid else None,
        )
        problems += found
        problems += [] if problems else _log_file(master.log_file, account)
    if problems:
        raise ConfigError(*problems)


def _is_device(path: str) -> bool:
    """Whatever else it is: there is no file to be made."""
    try:
        return stat.S_ISCHR(os.stat(path).st_mode)
    except OSError:
        return False


def _owner(path: str) -> int:
    """Whom *path* belongs to; -1 if it is not there."""
    try:
        return os.stat(path).st_uid
    except OSError:
        return -1


def make_run_dir(path: str) -> None:
    """
    Raises:
        ConfigError: It cannot be made.
    """
    problems = list(_directory("run_dir", path, 0o755, None, judge_run_dir, writer=None))
    if problems:
        raise ConfigError(*problems)


def _directory(
    name: str,
    path: str,
    mode: int,
    owner: Account | None,
    judge: Callable[[str], list[str]],
    *,
    writer: Account | None,
) -> Iterator[str]:
    problems = judge(path)
    try:
        if not problems and not os.path.isdir(path):
            with rights_of(owner if owner and passes(path, owner.uid) else None):
                _make(path, mode, owner)
            problems = judge(path)  # somebody else may have been faster
        if problems:
            yield from problems
            return
        with rights_of(writer):
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


def _make(path: str, mode: int, owner: Account | None) -> None:
    if os.path.isdir(path):
        return
    parent = os.path.dirname(path)
    if parent != path and not os.path.isdir(parent):
        _make(parent, 0o755, None)
    umask = os.umask(0)
    try:
        os.mkdir(path, mode)  # whatever the umask is
    except FileExistsError:
        if not os.path.isdir(path):
            raise NotADirectoryError(errno.ENOTDIR, "it is not a directory") from None
        return  # another one was faster
    finally:
        os.umask(umask)
    _sync(parent)  # positions will be relied upon
    if owner is not None and owner.uid != os.geteuid():
        _give(path, owner)


def _give(path: str, account: Account) -> None:
    """Give *account* the directory that we have just made, and not what somebody has put in its place since."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(fd).st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, "somebody has replaced it")
        os.fchown(fd, account.uid, account.gid)
    finally:
        os.close(fd)


def _sync(directory: str) -> None:
    """Make a name in *directory* safe from a power loss; where that cannot be, the kernel does it in its own time."""
    with contextlib.suppress(OSError):
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _log_file(path: str, account: Account | None) -> Iterator[str]:
    try:
        os.close(open_log(path, account))
    except OSError as exc:
        reason = "it is a symbolic link" if exc.errno == errno.ELOOP else exc.strerror
        yield f"log_file {path}: it cannot be written ({reason}). Correct its owner or mode, or name another file."


def open_log(path: str, account: Account | None) -> int:
    """
    Open our own log, made if it is missing, as a file of *account*, whose workers write to it too.

    Only with the rights of *account*, which the directory may belong to; with those of root where nobody but root can
    have put anything.

    Raises:
        OSError: It cannot be written to, or is a symbolic link, or somebody else's.
    """
    try:
        with rights_of(account):
            return open_own_log(path)
    except PermissionError:
        if account is None or os.geteuid() != 0 or not is_ours_alone(os.path.dirname(path)):
            raise
    fd = open_own_log(path)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        os.fchown(fd, account.uid, account.gid)
    return fd
