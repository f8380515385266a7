"""The directory of a demo, and the process that takes everything away when the demo is over."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile

from setproctitle import setproctitle

from fluentlite.errors import FluentliteError
from fluentlite.master.daemonize import null_descriptors
from fluentlite.master.directories import socket_path
from fluentlite.signals import fork_child
from fluentlite.stopping import stop

_PATIENCE = 2.0
"""Seconds that a daemon has for finishing when its demo was interrupted; then it is killed, which loses nothing."""

_LONGEST_SOCKET = 107
"""Bytes that the path of a Unix socket may have."""


class Keeper:
    """
    Makes a directory, and guards it: a child in a session of its own waits for the end of the demo, however that
    comes (SIGKILL too), stops the daemon that runs in the directory, and removes it with all that is in it.

    Raises:
        FluentliteError: There can be no directory, or no child.

    Attributes:
        directory: Absolute, and nobody else's.
        lifeline: Whoever has this descriptor keeps everything alive. Commands inherit it, so that a daemon which
            is being started while the demo dies is stopped too.
    """

    def __init__(self) -> None:
        self.directory = _make_directory()
        try:
            reader, self.lifeline = os.pipe()
            _flush()
            self._pid = fork_child(lambda: _keep(reader, self.directory), [reader])
        except OSError as exc:
            os.rmdir(self.directory)
            raise FluentliteError(
                f"no process can be started ({exc.strerror}). Raise the limit: ulimit -u."
            ) from exc
        os.close(reader)

    def __enter__(self) -> Keeper:
        return self

    def __exit__(self, *_exc_info: object) -> None:
        """
        Wait until nothing is left.

        Raises:
            FluentliteError: Something is.
        """
        os.close(self.lifeline)
        _, status = os.waitpid(self._pid, 0)
        if status:
            raise FluentliteError(
                f"{self.directory}: not everything of this demo could be taken away. Look for processes named fluentlite, "
                "end them, and remove the directory."
            )


def _make_directory() -> str:
    directory = _made_in(None)
    if len(os.fsencode(socket_path(os.path.join(directory, "run")))) <= _LONGEST_SOCKET:
        return directory
    os.rmdir(directory)
    return _made_in("/tmp")  # noqa: S108 - mkdtemp makes the name, and the directory is ours alone


def _made_in(parent: str | None) -> str:
    try:
        return tempfile.mkdtemp(prefix="fluentlite-demo-", dir=parent)
    except OSError as exc:
        raise FluentliteError(
            f"{parent or 'TMPDIR'}: a temporary directory is needed and cannot be made ({exc.strerror}). Set TMPDIR to a "
            "directory with a short name where you may write."
        ) from exc


def _keep(lifeline: int, directory: str) -> int:
    """Work in the child, where all signals that could end us stay blocked."""
    os.setsid()  # what is sent to the demo's group, or by its terminal, does not concern us
    null_descriptors()
    os.chdir("/")
    setproctitle("fluentlite: demo, waits to clean up")
    while os.read(lifeline, 1):
        pass
    try:
        stop(os.path.join(directory, "run"), _PATIENCE)
    finally:
        shutil.rmtree(directory)
    return 0


def _flush() -> None:
    """What waits to be printed must not be printed by a child as well."""
    if sys.stdout is not None:
        sys.stdout.flush()
