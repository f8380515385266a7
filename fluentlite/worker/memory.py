"""
Keeping the C library's heap from breathing.

A chunk is a megabyte that is built and freed some hundred times a second. By default glibc returns such
memory to the kernel each time and asks for it again, and clearing those pages costs a third of the speed.
"""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # glibc's malloc.h

_LIBC = ctypes.CDLL(None)

KEPT = 16 << 20
"""Bytes that the heap may keep while a worker is busy."""


def keep_heap() -> None:
    """Keep up to ``KEPT`` bytes of freed memory; without glibc nothing happens."""
    if hasattr(_LIBC, "mallopt"):
        _LIBC.mallopt(_M_TRIM_THRESHOLD, KEPT)
        _LIBC.mallopt(_M_MMAP_THRESHOLD, KEPT)
        _LIBC.mallopt(_M_TOP_PAD, 1 << 20)


def release_heap() -> None:
    """Give back what is free: the worker has become idle."""
    if hasattr(_LIBC, "malloc_trim"):
        _LIBC.malloc_trim(0)
