"""Telling people something, where not being able to tell it must change nothing."""

from __future__ import annotations

import contextlib
import os
import sys

from fluentlite.core.display import defuse


def say(text: str, *, is_error: bool = False) -> None:
    """
    Print *text*; a full disk or a reader that has gone keeps nobody from what he does.

    Names in it do nothing to the terminal, and its further lines are indented: none can be taken for another message.
    """
    stream = sys.stderr if is_error else sys.stdout
    if stream is None:  # it was closed when we began
        return
    try:
        print("\n  ".join(map(defuse, text.split("\n"))), file=stream, flush=True)
    except OSError:
        silence(stream.fileno())


def silence(fd: int) -> None:
    """Let what still waits to be written to *fd* vanish: it would fail again when the interpreter ends."""
    with contextlib.suppress(OSError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, fd)
        os.close(null)
