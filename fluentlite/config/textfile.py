"""Read a small text file, or say in words why it cannot be read."""

from __future__ import annotations

import os
import stat

_LARGEST = 16 * 1024 * 1024


class UnreadableError(Exception):
    """The text completes "FILE ..." with reason and remedy."""


def read_text(path: str) -> str:
    """
    Returns:
        The text; a byte order mark is left out.

    Raises:
        UnreadableError: Missing, unreadable, a directory, larger than 16 MiB, not UTF-8.
    """
    try:
        # A FIFO would keep us waiting for a writer for ever.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC), "rb") as file:
            _check_kind(os.fstat(file.fileno()).st_mode)
            # A terminal with nothing typed has no data at all, not even none.
            data = file.read(_LARGEST + 1) or b""
    except FileNotFoundError:
        raise UnreadableError("does not exist. Create it, or correct its name.") from None
    except IsADirectoryError:
        raise UnreadableError("is a directory. Name a file.") from None
    except OSError as exc:
        raise UnreadableError(
            f"cannot be read ({os.strerror(exc.errno or 0)}). Correct its permissions or its name."
        ) from exc
    if len(data) > _LARGEST:
        raise UnreadableError("is larger than 16 MiB, so it is something else. Name the right file.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise UnreadableError(
            f"is not UTF-8: line {line} has the byte 0x{data[exc.start]:02x}. Save the file as UTF-8."
        ) from None


def _check_kind(mode: int) -> None:
    if not stat.S_ISREG(mode) and not stat.S_ISCHR(mode):
        raise UnreadableError("is no regular file (a pipe, a socket or a device). Name a file.")
