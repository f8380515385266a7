"""Files that hold a secret of ours, and that everybody can read."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Collection, Iterable

from fluentlite.config.model import LogSettings


def open_to_all(files: Collection[str], logs: Iterable[LogSettings]) -> tuple[str, ...]:
    """
    Args:
        files: Those that hold a key or a password in plain text.
        logs: Their certificates have keys, too.

    Returns:
        A warning for each file that everybody can read, with the remedy; never what is in it.
    """
    keys = {log.forward.tls.key_file for log in logs if log.forward.tls is not None} - {""}
    return tuple(
        f"{path} holds a secret and everybody can read it. Run: chmod o-rwx {shlex.quote(path)}"
        for path in sorted({*files, *keys})
        if _is_open_to_all(path)
    )


def _is_open_to_all(path: str) -> bool:
    try:
        return bool(os.stat(path).st_mode & stat.S_IROTH)
    except OSError:
        return False  # gone or unreadable, and then nobody's secret
