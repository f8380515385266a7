"""A listening Unix socket at a path, with the modes that it is to have and in nobody's place."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import time

from fluentlite.errors import StateError

_BACKLOG = 128

_PATIENCE = 1.0
"""Seconds that a listener of before may take to vanish: the kernel closes a killed process' files one by one."""


class Listener:
    """
    Args:
        path: Where the socket is made, readable and writable for everybody whatever the umask is. A socket
            that nobody listens on any more is replaced, anything else is refused.

    Raises:
        StateError: The socket cannot be made, or something else is in its place.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        _make_room(path)
        self.socket = _listen(path)
        try:
            self._identity = _identity(path)
        except OSError as exc:
            self.socket.close()
            raise _unusable(path, exc) from exc

    def is_there(self) -> bool:
        """Whether the socket at the path is ours; what cannot be seen now was not removed."""
        try:
            return self._identity is not None and _identity(self._path) == self._identity
        except OSError:
            return True

    def close(self) -> None:
        """Stop listening and remove the socket, unless it has been replaced by somebody else's."""
        self.socket.close()
        if self.is_there():
            with contextlib.suppress(OSError):  # the next start replaces it
                os.unlink(self._path)


def _make_room(path: str) -> None:
    """Remove the socket of a master that is dead."""
    try:
        status = os.lstat(path)
        if stat.S_ISSOCK(status.st_mode):
            _wait_until_unused(path)
            os.unlink(path)
            return
    except FileNotFoundError:
        return
    except OSError as exc:
        raise _unusable(path, exc) from exc
    kind = "a symbolic link" if stat.S_ISLNK(status.st_mode) else "no socket"
    raise StateError(
        f"{path}: the control socket cannot be made, because what is there is {kind}, and not ours. "
        f'Look who put it there ("ls -l {path}"), remove it, and start again.'
    )


def _wait_until_unused(path: str) -> None:
    """
    Raises:
        StateError: Somebody listens on it.
    """
    give_up_at = time.monotonic() + _PATIENCE
    while _is_used(path):
        if time.monotonic() >= give_up_at:
            raise StateError(
                f"{path}: somebody listens on this control socket already, most likely a fluentlite whose pid "
                f'file was removed. Look for it with "ss -xlp src {path}" and stop that process first.'
            )
        time.sleep(0.01)


def _is_used(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        code = probe.connect_ex(path)
    # Of another type, or with a full queue (EAGAIN): both have a living owner.
    return code not in (errno.ECONNREFUSED, errno.ENOENT)


def _listen(path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    # The umask and not chmod: the socket never has another mode, and nobody can put a link in between.
    umask = os.umask(0o111)
    try:
        listener.bind(path)
        listener.listen(_BACKLOG)
    except OSError as exc:
        listener.close()
        raise _unusable(path, exc) from exc
    finally:
        os.umask(umask)
    return listener


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    return status.st_dev, status.st_ino


def _unusable(path: str, exc: OSError) -> StateError:
    # Python itself refuses a path that does not fit into the kernel's 108 bytes; such an error has no number.
    remedy = (
        "Make run_dir a directory that this user may write." if exc.errno else "Choose a shorter run_dir."
    )
    return StateError(f"{path}: the control socket cannot be made ({exc.strerror or exc}). {remedy}")
