"""
A worker to which the kernel refuses inotify: ``python without_inotify.py DIRECTORY CALL ERROR``.

Args:
    DIRECTORY: Of the log.
    CALL: "init" or "watch".
    ERROR: The number of the error that it gives.
"""

from __future__ import annotations

import ctypes
import logging
import platform
import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from following import Log
from test_tail_hints import Worker, everything

CALLS = {"x86_64": {"init": 294, "watch": 254}, "aarch64": {"init": 26, "watch": 27}}[platform.machine()]

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, ERRNO = 0x7FFF0000, 0x00050000


def refuse(call: int, error: int) -> None:
    """From now on the kernel answers each such system call of this process with *error*; see seccomp(2)."""
    steps = [
        (LOAD, 0, 0, 0),
        (JUMP_IF_EQUAL, 0, 1, call),
        (RETURN, 0, 0, ERRNO | error),
        (RETURN, 0, 0, ALLOW),
    ]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, ctypes.get_errno()
    rules = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(program))
    assert libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, rules, 0, 0) == 0, ctypes.get_errno()


def main(directory: str, call: str, error: str) -> None:
    refuse(CALLS[call], int(error))
    logging.basicConfig(level="WARNING", format="%(message)s", stream=sys.stdout)
    log = Log(Path(directory) / "app.log")
    log.append("one")
    worker = Worker(log.path, Path(directory) / "state", poll_interval=0.02)
    everything(log, worker)
    worker.close()
    print("all was noticed")


if __name__ == "__main__":
    main(*sys.argv[1:])
