"""
The system calls that are covered, and how each can fail: one table for worker and master.

Each call can be the last one of a killed process. It fails with those errors that the kernel may really give there,
of ENOSPC, EIO, EMFILE, EINTR, EAGAIN, ECONNRESET and ENOMEM; an error stands for all that are dealt with alike.
Without errors are those that

* have done their work even so (``close``, ``close_range``: to fail them would keep open what the kernel closes),
* fail only if our own arguments are wrong (``listen``, ``shutdown``, ``setsockopt``, ``kill``, ``inotify_rm_watch``).

``connect`` has no EINTR: nobody waits in one that does not block.
"""

from __future__ import annotations

import errno
import platform
from collections.abc import Callable
from dataclasses import dataclass

_TABLE = """
# name             x86_64 aarch64 errors
open                    2       - EMFILE EIO EINTR
openat                257      56 EMFILE EIO EINTR
openat2               437     437 EMFILE EIO EINTR
read                    0      63 EIO EINTR
pread64                17      67 EIO EINTR
write                   1      64 ENOSPC EIO EINTR
pwrite64               18      68 ENOSPC EIO EINTR
writev                 20      66 ENOSPC EIO EINTR
fsync                  74      82 EIO ENOSPC EINTR
fdatasync              75      83 EIO ENOSPC EINTR
ftruncate              77      46 EIO ENOSPC EINTR
fallocate             285      47 ENOSPC EIO
rename                 82       - EIO ENOSPC
renameat              264      38 EIO ENOSPC
renameat2             316     276 EIO ENOSPC
link                   86       - EIO ENOSPC
linkat                265      37 EIO ENOSPC
symlink                88       - EIO ENOSPC
symlinkat             266      36 EIO ENOSPC
unlink                 87       - EIO
unlinkat              263      35 EIO
rmdir                  84       - EIO
mkdir                  83       - EIO ENOSPC
mkdirat               258      34 EIO ENOSPC
chmod                  90       - EIO
fchmod                 91      52 EIO
fchmodat              268      53 EIO
fchown                 93      55 EIO
fchownat              260      54 EIO
stat                    4       - EIO
lstat                   6       - EIO
fstat                   5      80 EIO
newfstatat            262      79 EIO
statx                 332     291 EIO
statfs                137      43 EIO
fstatfs               138      44 EIO
readlink               89       - EIO
readlinkat            267      78 EIO
getdents64            217      61 EIO
flock                  73      32 EINTR ENOMEM
close                   3      57
close_range           436     436
dup                    32      23 EMFILE
dup2                   33       - EMFILE
dup3                  292      24 EMFILE
pipe                   22       - EMFILE
pipe2                 293      59 EMFILE
eventfd2              290      19 EMFILE ENOMEM
socket                 41     198 EMFILE ENOMEM
connect                42     203 ECONNRESET EAGAIN ENOMEM
bind                   49     200 ENOSPC ENOMEM
listen                 50     201
accept                 43     202 EMFILE ENOMEM EAGAIN EINTR
accept4               288     242 EMFILE ENOMEM EAGAIN EINTR
sendto                 44     206 ECONNRESET EAGAIN ENOMEM EINTR
sendmsg                46     211 ECONNRESET EAGAIN ENOMEM EINTR
recvfrom               45     207 ECONNRESET EAGAIN ENOMEM EINTR
recvmsg                47     212 ECONNRESET EAGAIN ENOMEM EINTR
shutdown               48     210
setsockopt             54     208
getsockopt             55     209 ENOMEM
epoll_create1         291      20 EMFILE ENOMEM
epoll_ctl             233      21 ENOMEM ENOSPC
epoll_wait            232       - EINTR
epoll_pwait           281      22 EINTR
poll                    7       - EINTR ENOMEM
ppoll                 271      73 EINTR ENOMEM
inotify_init1         294      26 EMFILE ENOMEM
inotify_add_watch     254      27 ENOSPC ENOMEM
inotify_rm_watch      255      28
clone                  56     220 EAGAIN ENOMEM
clone3                435     435 EAGAIN ENOMEM
fork                   57       - EAGAIN ENOMEM
vfork                  58       - EAGAIN ENOMEM
wait4                  61     260 EINTR
kill                   62     129
"""

LASTING = {
    "pwrite64": ("ENOSPC", "EIO"),
    "fsync": ("EIO", "ENOSPC"),
    "fdatasync": ("EIO", "ENOSPC"),
}
"""Calls that fail for long, too: those by which a checkpoint is written."""


SELECTIVE = ("read", "write", "fstat", "newfstatat", "epoll_ctl")
"""Calls that only some of their uses can fail, but for EINTR: no pipe has a disk, and what is known is not allocated."""

AT_EMPTY_PATH = 0x1000
EPOLL_CTL_ADD = 1


@dataclass(frozen=True, slots=True)
class Machine:
    """The number of seccomp(2) here, and which column of the table has those of all others."""

    seccomp: int
    column: int


_MACHINES = {"x86_64": Machine(317, 0), "aarch64": Machine(277, 1)}


def machine() -> Machine:
    """Return that of this machine; the numbers of others are not known here."""
    name = platform.machine()
    if name not in _MACHINES:
        raise SystemExit(f"the sweep knows the system calls of {', '.join(_MACHINES)}, not of {name}")
    return _MACHINES[name]


def _rows() -> list[list[str]]:
    return [line.split() for line in _TABLE.splitlines() if line and not line.startswith("#")]


NUMBERS: dict[int, str] = {
    int(row[1 + machine().column]): row[0] for row in _rows() if row[1 + machine().column] != "-"
}
"""The name of each covered call, by its number on this machine."""

ERRORS: dict[str, tuple[str, ...]] = {row[0]: tuple(row[3:]) for row in _rows()}
"""How each can fail."""


def number_of(error: str) -> int:
    """Return the number of an error's name."""
    return int(getattr(errno, error))


def can_fail(call: str, arguments: tuple[int, ...], is_file: Callable[[int], bool]) -> bool:
    """
    Tell whether such a call can give the errors of the table.

    Args:
        is_file: Whether a descriptor of whoever calls is that of a file.
    """
    if call in ("read", "write", "fstat") or (call == "newfstatat" and arguments[3] & AT_EMPTY_PATH):
        return is_file(arguments[0])
    return call != "epoll_ctl" or arguments[1] == EPOLL_CTL_ADD
