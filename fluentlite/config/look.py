"""What ``fluentlite check`` sees of the world: files, directories, users, names of servers."""

from __future__ import annotations

import contextlib
import os
import pwd
import socket
import stat
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from fluentlite.config.certificates import look_at_tls
from fluentlite.config.look_trust import untrusted
from fluentlite.config.model import LogSettings, MasterSettings, TlsSettings
from fluentlite.config.reading import Reading
from fluentlite.core.letter import DIRECTORY

Level = Literal["ok", "warning", "error"]
Resolve = Callable[[Collection[str]], Mapping[str, str]]

_RESOLVER_PATIENCE = 5.0
_LONGEST_RUN_DIR = 107 - len("/fluentlite.sock")
"""Bytes; the kernel takes 107 for a socket's path."""

_MUCH_MEMORY = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    level: Level
    subject: str
    """What it is about, as :func:`subject_of` names a log; ``[master]``, ``servers``, ``files`` otherwise."""
    text: str


def subject_of(log: LogSettings) -> str:
    return f"[[log]] {log.tag} {log.path}"


def look(reading: Reading, resolve: Resolve) -> list[Finding]:
    """
    Look at everything that *reading* needs.

    What the workers do is tried with the rights of the user they will run as, where the caller may do that.

    Args:
        resolve: Given names, returns those that do not resolve, each with its reason.
    """
    settings = reading.settings
    found = [Finding("warning", "files", warning) for warning in reading.warnings]
    found += [*_user(settings.master), *_own_files(settings.master)]
    found += _servers(settings.logs, resolve)
    has_state = os.path.lexists(settings.master.state_dir)
    with rights_of(settings.master.user) as who:
        if has_state:
            found.append(_directory("state_dir", settings.master.state_dir, who))
            found += _letters(settings.master.state_dir, who)
        found += _certificates(settings.logs)
        for log in settings.logs:
            found += _log(log, who)
    return found


def resolve_names(hosts: Collection[str], patience: float = _RESOLVER_PATIENCE) -> dict[str, str]:
    """
    Ask the resolver for all *hosts* at once, *patience* seconds in all.

    Returns:
        Those without an address, and why.
    """
    failed = dict.fromkeys(hosts, f"no answer within {patience:g} s")

    def ask(host: str) -> None:
        try:
            socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as exc:
            failed[host] = getattr(exc, "strerror", None) or str(exc)
        else:
            del failed[host]

    # Daemons: a resolver that hangs must not keep the command from ending.
    threads = [threading.Thread(target=ask, args=(host,), daemon=True) for host in hosts]
    deadline = time.monotonic() + patience
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return dict(failed)


@contextlib.contextmanager
def rights_of(user: str | None) -> Iterator[str]:
    """Have the rights of *user* for a while, if the caller may; yields the name of whose rights they are."""
    account = _account(user) if user else None
    group, groups = os.getegid(), os.getgroups()
    if account is None or account.pw_uid == os.geteuid() or not _becomes(account):
        yield _name_of_caller()
        return
    try:
        yield account.pw_name
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)


def _becomes(account: pwd.struct_passwd) -> bool:
    if os.geteuid() != 0:
        return False
    try:
        os.initgroups(account.pw_name, account.pw_gid)
    except (
        PermissionError
    ):  # root of a container that may not do this; then it may not start workers so either
        return False
    os.setegid(account.pw_gid)
    os.seteuid(account.pw_uid)
    return True


def _may(path: str, mode: int) -> bool:
    return os.access(path, mode, effective_ids=True)


def _account(user: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(user)
    except KeyError:
        return None


def _name_of_caller() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"user {os.geteuid()}"


def _user(master: MasterSettings) -> Iterator[Finding]:
    if master.user is None:
        return
    account = _account(master.user)
    if account is None:
        text = f"user {master.user} does not exist. Create it (useradd --system {master.user}), or correct its name."
        yield Finding("error", "[master]", text)
    elif os.geteuid() not in (0, account.pw_uid):
        text = (
            f"only root can run workers as {master.user}; what follows was tried as {_name_of_caller()}. "
            "Run this command as root to see what the workers will see."
        )
        yield Finding("warning", "[master]", text)


def _own_files(master: MasterSettings) -> Iterator[Finding]:
    who = _name_of_caller()
    yield from (Finding("error", "[master]", text) for text in untrusted(master))
    yield _directory("run_dir", master.run_dir, who)
    if len(os.fsencode(master.run_dir)) > _LONGEST_RUN_DIR:
        text = f"run_dir {master.run_dir} is too long for a socket in it. Name one of at most {_LONGEST_RUN_DIR} bytes."
        yield Finding("error", "[master]", text)
    if not os.path.lexists(master.state_dir):  # a start makes it, and gives it to the workers' user
        yield _directory("state_dir", master.state_dir, who)
    if master.log_file == "-":
        return
    yield _directory("log_file's directory", os.path.dirname(master.log_file), who)
    if os.path.isdir(master.log_file):
        yield Finding("error", "[master]", f"log_file {master.log_file} is a directory. Name a file.")
    elif os.path.exists(master.log_file) and not _may(master.log_file, os.W_OK):
        text = f"log_file {master.log_file} cannot be written by {who}. Correct its owner or mode."
        yield Finding("error", "[master]", text)


def _directory(name: str, path: str, who: str) -> Finding:
    what = f"{name} {path}"
    if os.path.isdir(path):
        if name in ("run_dir", "state_dir") and _is_full(path):  # a start writes there
            return Finding("error", "[master]", f"{what}: the disk is full. Make room, or name another.")
        if _may(path, os.W_OK | os.X_OK):
            return Finding("ok", "[master]", f"{what} is writable")
        return Finding("error", "[master]", f"{what} cannot be written by {who}. Correct its owner or mode.")
    if os.path.lexists(path):
        return Finding("error", "[master]", f"{what} is not a directory. Name another, or move it away.")
    above = _nearest_that_exists(path)
    if os.path.isdir(above) and _may(above, os.W_OK | os.X_OK):
        return Finding("ok", "[master]", f"{what} does not exist and can be created")
    text = f"{what} does not exist, and {who} cannot create it in {above}. Run: install -d -o {who} {path}"
    return Finding("error", "[master]", text)


def _letters(state_dir: str, who: str) -> Iterator[Finding]:
    """Of the place of dead letters, if it is there already, only what is wrong."""
    path = os.path.join(state_dir, DIRECTORY)
    if os.path.lexists(path) and not (os.path.isdir(path) and _may(path, os.W_OK | os.X_OK)):
        text = (
            f"{path} cannot be written by {who}, so a record that all servers refuse would hold up its log. Make it a "
            f"directory of {who}."
        )
        yield Finding("error", "[master]", text)


def _is_full(path: str) -> bool:
    """Tell whether nothing can be put there for want of blocks or inodes; root may use those that are reserved."""
    disk = os.statvfs(path)
    blocks, inodes = (disk.f_bfree, disk.f_ffree) if os.geteuid() == 0 else (disk.f_bavail, disk.f_favail)
    counts_inodes = disk.f_files > 0
    return not blocks or (counts_inodes and not inodes)


def _nearest_that_exists(path: str) -> str:
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return path


def _servers(logs: Collection[LogSettings], resolve: Resolve) -> Iterator[Finding]:
    hosts = {server.host: None for log in logs for server in (*log.forward.primary, *log.forward.secondary)}
    failed = resolve(list(hosts))
    for host in hosts:
        if host in failed:
            text = f"{host} has no address ({failed[host]}). Correct the name, or the resolver."
            yield Finding("error", "servers", text)
        else:
            yield Finding("ok", "servers", f"{host} has an address")


def _log(log: LogSettings, who: str) -> Iterator[Finding]:
    subject = subject_of(log)
    yield _log_file(subject, log.path, who)
    directory = os.path.dirname(log.path)
    if os.path.isdir(directory) and not _may(directory, os.R_OK | os.X_OK):
        text = (
            f"{who} cannot list {directory}, so what is rotated away while fluentlite is not running cannot be "
            "found again. Let it read the directory."
        )
        yield Finding("warning", subject, text)
    memory = log.forward.max_in_flight * log.tail.read_buffer_size
    if memory > _MUCH_MEMORY:
        text = f"max_in_flight times read_buffer_size is {memory >> 20} MiB of memory. Lower one of them."
        yield Finding("warning", subject, text)
    if not log.forward.require_ack_response:
        text = "without acks, lines on their way are lost when a connection or a server breaks"
        yield Finding("warning", subject, text)


def _certificates(logs: Collection[LogSettings]) -> Iterator[Finding]:
    """With the log whose they are; what several logs share is said once, with the servers."""
    sharers: dict[TlsSettings, list[LogSettings]] = {}
    for log in logs:
        if log.forward.tls is not None:
            sharers.setdefault(log.forward.tls, []).append(log)
    for tls, owners in sharers.items():
        subject = subject_of(owners[0]) if len(owners) == 1 else "servers"
        yield from (Finding(level, subject, text) for level, text in look_at_tls(tls))


def _log_file(subject: str, path: str, who: str) -> Finding:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return Finding("warning", subject, "the file does not exist; fluentlite waits for it")
    except OSError as exc:
        return Finding(
            "error", subject, f"{who} cannot look at it ({exc.strerror}). Correct path or permissions."
        )
    if not stat.S_ISREG(status.st_mode):
        return Finding("error", subject, "it is not a regular file. Name a log file.")
    if not _may(path, os.R_OK):
        text = f"{who} cannot read it. Correct its owner or mode, or put {who} into its group."
        return Finding("error", subject, text)
    return Finding("ok", subject, f"the file is readable and has {status.st_size} bytes")
