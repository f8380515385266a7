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
import signal
import socket
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .calls import machine

_LIBC = ctypes.CDLL(None, use_errno=True)

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 36, 38
_SET_MODE_FILTER = 1
_FLAG_NEW_LISTENER, _FLAG_WAIT_KILLABLE = 8, 32  # a call that we know of is not interrupted by signals
_RET_ALLOW, _RET_USER_NOTIF = 0x7FFF0000, 0x7FC00000
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_NUMBER, _FIRST_ARGUMENT = 0, 16  # in struct seccomp_data, of which the lower half is the first one
_CHANNEL = 900
"""A descriptor that nothing else gets: there is none so high."""

_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_CONTINUE = 1

_NOTICE = struct.Struct("QII iIQ 6Q")
_ANSWER = struct.Struct("QqiI")


class Desk:
    """
    By which a process and its watcher agree: shared memory, so that nothing of it is counted, and a socket for a descriptor.

    Attributes:
        far_end: Stays open in the process.
        has_begun: What the process does from now on counts.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 4096)
        self._near, self._far = socket.socketpair()

    @property
    def far_end(self) -> int:
        return self._far.fileno()

    def give(self, make: Callable[[], int]) -> None:
        """In the process: hand over the descriptor that *make* makes; returns when the watcher has it."""
        os.dup2(self.far_end, _CHANNEL)
        self._far.close()
        with socket.socket(fileno=_CHANNEL) as channel:
            descriptor = make()
            socket.send_fds(channel, [b"x"], [descriptor])
            while not self._memory[0]:
                time.sleep(0.0005)
        os.close(descriptor)

    def take(self) -> int:
        """In the watcher: return it."""
        self._far.close()
        self._near.settimeout(10.0)
        _data, descriptors, _flags, _address = socket.recv_fds(self._near, 1, 1)
        assert descriptors, "the process has ended before it could be watched"
        self._near.close()
        self._memory[0] = 1
        return descriptors[0]

    def begin(self) -> None:
        """In the process: from now on calls count."""
        self._memory[1] = 1

    @property
    def has_begun(self) -> bool:
        return bool(self._memory[1])


@dataclass(frozen=True, slots=True)
class Notice:
    """A call that waits for our word; *thread* makes it."""

    id: int
    thread: int
    number: int
    arguments: tuple[int, ...]


def give_away(desk: Desk, numbers: Mapping[int, str]) -> None:
    """In a process: from now on each call with one of these *numbers*, here and in children, waits for its watcher."""
    desk.give(lambda: _install(numbers))


def _install(numbers: Mapping[int, str]) -> int:
    [sendmsg] = [number for number, name in numbers.items() if name == "sendmsg"]
    allow = 5 + len(numbers)
    instructions = [
        (_LOAD, 0, 0, _NUMBER),
        (_JUMP_IF_EQUAL, 0, 3, sendmsg),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_JUMP_IF_EQUAL, allow - 4, 0, _CHANNEL),  # by which the listener itself is handed over
        (_LOAD, 0, 0, _NUMBER),
        *((_JUMP_IF_EQUAL, allow - 5 - index, 0, number) for index, number in enumerate(numbers)),
        (_RETURN, 0, 0, _RET_ALLOW),
        (_RETURN, 0, 0, _RET_USER_NOTIF),
    ]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *words) for words in instructions))
    # struct sock_fprog: a count, and behind its padding an address.
    head = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(instructions), ctypes.addressof(program)))
    _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    flags = _FLAG_NEW_LISTENER | _FLAG_WAIT_KILLABLE
    return _checked(_LIBC.syscall(machine().seccomp, _SET_MODE_FILTER, flags, head))


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


def die_with_parent() -> None:
    """Have this process killed when its parent ends: nothing is left of a sweep that is killed itself."""
    _checked(_LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
