"""
Having the kernel ask before each system call of a process: seccomp's user notification.

It does what ``strace --inject`` does, at a tenth of the cost and without a tracer: nothing is attached or started, calls
of all threads are counted together, and counting begins at the very call that the process itself says.

Source: seccomp_unotify(2), linux/seccomp.h. Linux 5.19 or newer.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass

from .calls import PIDFD_GETFD, machine

_LIBC = ctypes.CDLL(None, use_errno=True)

_PR_SET_NO_NEW_PRIVS, _PR_SET_CHILD_SUBREAPER = 38, 36
_SET_MODE_FILTER = 1
_FLAG_NEW_LISTENER, _FLAG_WAIT_KILLABLE = 8, 32  # a call that we know of is not interrupted by signals
_RET_ALLOW, _RET_USER_NOTIF = 0x7FFF0000, 0x7FC00000
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_CONTINUE = 1

_NOTICE = struct.Struct("QII iIQ 6Q")
_ANSWER = struct.Struct("QqiI")


class Desk:
    """
    Shared memory, by which a process and its watcher agree without a system call that would be counted.

    Attributes:
        has_begun: What the process does from now on counts.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 4096)

    def offer(self, descriptor: int) -> None:
        """In the process: here is the listener; returns when the watcher has taken it."""
        self._memory[:4] = struct.pack("i", descriptor + 1)
        while not self._memory[4]:
            time.sleep(0.0005)

    def offered(self) -> int | None:
        """Return the number that the listener has in the process, or None: it is not there yet."""
        number: int = struct.unpack("i", self._memory[:4])[0]
        return number - 1 if number else None

    def take(self) -> None:
        """In the watcher: the listener is ours."""
        self._memory[4] = 1

    def begin(self) -> None:
        """In the process: from now on calls count."""
        self._memory[5] = 1

    @property
    def has_begun(self) -> bool:
        return bool(self._memory[5])


@dataclass(frozen=True, slots=True)
class Notice:
    """A call that waits for our word; *thread* makes it."""

    id: int
    thread: int
    number: int
    arguments: tuple[int, ...]


def give_away(desk: Desk, numbers: Iterable[int]) -> None:
    """In a process: from now on each call with one of these *numbers*, here and in children, waits for its watcher."""
    listener = _install(list(numbers))
    desk.offer(listener)
    os.close(listener)


def _install(numbers: list[int]) -> int:
    instructions = [(_LOAD, 0, 0, 0)]  # the call's number
    for index, number in enumerate(numbers):
        instructions.append((_JUMP_IF_EQUAL, len(numbers) - index, 0, number))
    instructions += [(_RETURN, 0, 0, _RET_ALLOW), (_RETURN, 0, 0, _RET_USER_NOTIF)]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *words) for words in instructions))
    # struct sock_fprog: a count, and behind its padding an address.
    head = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(instructions), ctypes.addressof(program)))
    _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    flags = _FLAG_NEW_LISTENER | _FLAG_WAIT_KILLABLE
    return _checked(_LIBC.syscall(machine().seccomp, _SET_MODE_FILTER, flags, head))


def take_listener(pid: int, desk: Desk) -> int:
    """Return our own descriptor of the listener that process *pid* has made."""
    deadline = time.monotonic() + 10.0
    while (number := desk.offered()) is None:
        assert time.monotonic() < deadline, f"process {pid} has made no listener"
        time.sleep(0.0005)
    pidfd = os.pidfd_open(pid)
    try:
        listener = _checked(_LIBC.syscall(PIDFD_GETFD, pidfd, number, 0))
    finally:
        os.close(pidfd)
    os.set_inheritable(listener, False)
    desk.take()
    return listener


def receive(listener: int) -> Notice | None:
    """Return the call that waits; None if who made it is gone."""
    data = bytearray(_NOTICE.size)
    try:
        fcntl.ioctl(listener, _RECEIVE, data, True)
    except OSError as exc:
        if exc.errno in (errno.ENOENT, errno.EINTR):
            return None
        raise
    number_id, thread, _flags, number, _audit, _ip, *arguments = _NOTICE.unpack(data)
    return Notice(number_id, thread, number, tuple(arguments))


def answer(listener: int, notice: Notice, error: int = 0) -> None:
    """Let the call happen, or have it fail with *error*; nothing happens if who made it is gone."""
    data = bytearray(_ANSWER.pack(notice.id, 0, -error, 0 if error else _CONTINUE))
    try:
        fcntl.ioctl(listener, _SEND, data, True)
    except OSError as exc:
        if exc.errno != errno.ENOENT:
            raise


def adopt_orphans() -> None:
    """Have all descendants whose parents end become children of this process."""
    _checked(_LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
