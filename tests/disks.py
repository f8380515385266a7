"""
Disks that are full, read-only or broken: real ones where the tests run as root, and calls that fail where they do not.

Both kinds have the same verbs, so that a test holds for either::

    disk.fail(errno.ENOSPC)   # nothing can be written below disk.directory any more
    disk.mend()

:class:`BadSpots` are of a disk that can be written to, and not be read.
"""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess


class RealDisk:
    """A tmpfs of 1 MiB with 64 names; it can be full, have no inode left, or be read-only."""

    def __init__(self, directory):
        self.directory, self._failing = directory, 0
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m,nr_inodes=64,mode=755", "fluentlite-test", directory],
            check=True,
        )

    def fail(self, number):
        """ENOSPC: full; EDQUOT: no inode is left; EROFS: read-only, if nothing is open for writing."""
        self._failing = number
        if number == errno.EROFS:
            self._remount("ro")
        elif number == errno.ENOSPC:
            with contextlib.suppress(OSError), open(self.directory / "filler", "wb", buffering=0) as filler:
                while filler.write(b"\0" * 4096) == 4096:
                    pass
        else:
            with contextlib.suppress(OSError):
                for name in range(1000):
                    (self.directory / f"filler-{name}").touch()

    def mend(self):
        if self._failing == errno.EROFS:
            self._remount("rw")
        for filler in self.directory.glob("filler*"):
            filler.unlink()

    def _remount(self, how):
        subprocess.run(["mount", "-o", f"remount,{how}", self.directory], check=True)

    def close(self):
        subprocess.run(["umount", "-l", self.directory], check=True)


class FailingCalls:
    """For this process, all calls fail that would write below *directory*."""

    def __init__(self, directory, monkeypatch):
        self.directory, self._number = directory, 0
        for name in ("open", "pwrite", "fsync", "fdatasync", "link", "replace", "unlink", "mkdir"):
            monkeypatch.setattr(os, name, self._failing(name, getattr(os, name)))

    def fail(self, number):
        self._number = number

    def mend(self):
        self._number = 0

    def close(self):
        self.mend()

    def _failing(self, name, real):
        def call(first, *args, **kwargs):
            if self._number and self._is_ours(first) and self._writes(name, args):
                raise OSError(self._number, os.strerror(self._number), first)
            return real(first, *args, **kwargs)

        return call

    def _is_ours(self, target):
        path = os.readlink(f"/proc/self/fd/{target}") if isinstance(target, int) else os.fspath(target)
        return path.startswith(f"{self.directory}/")

    def _writes(self, name, args):
        is_disk_gone = self._number in (errno.EIO, errno.ENODEV, errno.ESTALE)
        if name == "open":  # of what exists, only a disk that is gone or read-only refuses to be written to
            flags = args[0]
            return is_disk_gone or flags & os.O_CREAT or (self._number == errno.EROFS and flags & os.O_RDWR)
        return name != "unlink" or self._number not in (errno.ENOSPC, errno.EDQUOT)


def kinds(*numbers, is_open):
    """``(class, errno)`` of each way in which a disk can fail, for a test's parameters; *is_open*: with a file in use."""
    real = [errno.ENOSPC, errno.EDQUOT, *([] if is_open else [errno.EROFS])] if os.geteuid() == 0 else []
    return [*((RealDisk, n) for n in numbers if n in real), *((FailingCalls, n) for n in numbers)]


class ReadOnlyMount:
    """A directory that is read-only under its path from then on; what is open already is not."""

    def __init__(self, directory):
        self.directory, self._is_mounted = directory, False

    def fail(self, _number):
        subprocess.run(["mount", "--bind", self.directory, self.directory], check=True)
        self._is_mounted = True
        subprocess.run(["mount", "-o", "remount,bind,ro", self.directory], check=True)

    def mend(self):
        if self._is_mounted:
            subprocess.run(["umount", "-l", self.directory], check=True)
            self._is_mounted = False

    def close(self):
        self.mend()


class ClosedDirectory:
    """A directory that does not let its owner, who is not root, write."""

    def __init__(self, directory):
        self.directory = directory

    def fail(self, _number):
        self.directory.chmod(0o555)

    def mend(self):
        self.directory.chmod(0o755)

    def close(self):
        self.mend()


class BadSpots:
    """
    Files parts of which cannot be read, for this process: ``os.pread`` stops before such a part, as the kernel does,
    and fails at it.

    Attributes:
        attempts: How often something was read there.
    """

    def __init__(self, monkeypatch):
        self.attempts, self._spots, self._pread = 0, {}, os.pread
        monkeypatch.setattr(os, "pread", self._read)

    def add(self, path, begin, end=10**12):
        self._spots[os.stat(path).st_ino] = begin, end

    def mend(self, path=None):
        """All of them, or that of *path*."""
        if path is None:
            self._spots.clear()
        else:
            del self._spots[os.stat(path).st_ino]

    def _read(self, fd, size, offset):
        begin, end = self._spots.get(os.fstat(fd).st_ino, (0, 0)) if self._spots else (0, 0)
        if begin <= offset < end and size:
            self.attempts += 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return self._pread(fd, min(size, begin - offset) if offset < begin else size, offset)
