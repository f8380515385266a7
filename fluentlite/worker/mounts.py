"""Whether all that changes a file is noticed by this machine's kernel."""

from __future__ import annotations

import os

LOCAL = frozenset(
    (b"ext2", b"ext3", b"ext4", b"xfs", b"btrfs", b"zfs", b"f2fs", b"jfs", b"reiserfs", b"bcachefs", b"tmpfs", b"ramfs")
)  # fmt: skip
"""Types of file systems that nobody but this kernel writes to. Network file systems, FUSE, overlays are not among them."""


def is_local(fd: int) -> bool:
    """Tell whether the open file or directory *fd* lies on a file system that only this kernel changes."""
    # By the mount of the descriptor: device numbers do not tell, those of btrfs stand in no table.
    facts = dict(line.split(b":", 1) for line in _lines(f"/proc/self/fdinfo/{fd}") if b":" in line)
    begin = facts.get(b"mnt_id", b"?").strip() + b" "
    mounts = [line for line in _lines("/proc/self/mountinfo") if line.startswith(begin)]
    return any(line.partition(b" - ")[2].split(b" ", 1)[0] in LOCAL for line in mounts)


def is_local_directory(path: str) -> bool:
    """Tell the same of the directory at *path*; False if there is none."""
    try:
        fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return is_local(fd)
    finally:
        os.close(fd)


def _lines(path: str) -> list[bytes]:
    """Return the lines of a file of the kernel; none without /proc."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        parts = []
        while part := os.read(fd, 65536):
            parts.append(part)
        return b"".join(parts).split(b"\n")
    except OSError:
        return []
    finally:
        os.close(fd)
