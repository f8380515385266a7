"""The user that workers run as: looked up once, in the master, so that no worker waits for a directory service."""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Iterator
from dataclasses import dataclass

from fluentlite.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Account:
    """A user with all its groups."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]


def find_account(user: str | None) -> Account | None:
    """
    Return the account of *user*, or None if workers run as whoever starts them.

    Raises:
        ConfigError: There is no such user, or only root could become it.
    """
    if user is None:
        return None
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise ConfigError(
            f"[master] user = {user!r}: there is no such user. Create it (useradd --system {user}), or correct its name."
        ) from None
    if os.geteuid() == entry.pw_uid:
        return None
    if os.geteuid() != 0:
        raise ConfigError(
            f"[master] user = {user!r}: only root can run workers as another user. Start fluentlite as root or as "
            f"{user}, or remove the key."
        )
    groups = os.getgrouplist(user, entry.pw_gid)
    return Account(user, entry.pw_uid, entry.pw_gid, tuple(groups))


def become(account: Account) -> None:
    """Give up root for *account*, for good."""
    os.setgroups(account.groups)
    os.setresgid(account.gid, account.gid, account.gid)
    os.setresuid(account.uid, account.uid, account.uid)


@contextlib.contextmanager
def rights_of(account: Account | None) -> Iterator[None]:
    """
    Have the rights of *account* for a while.

    In a place of its own root does nothing with its own: what waits there, a link, a pipe, the name of somebody else's
    file, then leads nowhere where that user could not go by itself. Who is not root has but its own rights.
    """
    if account is None or os.geteuid() != 0:
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
