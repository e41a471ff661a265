"""Memory that one step of a training frees serves the next one."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4  # of mallopt, see <malloc.h>
MOST = 2**31 - 1
LARGE, FREE = 32 << 20, 64 << 20  # bytes; the most that glibc itself comes to by and by
MAPPED = 65_536  # its default


@contextmanager
def reused() -> Iterator[None]:
    """Keep freed memory in the process inside the block, and give it back at the end.

    A step of a large LSTM allocates tens of megabytes and frees them. By default the system takes
    them back each time and hands them out again as pages of zeros, which costs up to a third of a
    training. Only glibc is told; elsewhere nothing happens.
    """
    libc = _glibc()
    if libc is None:
        yield
        return
    libc.mallopt(MMAP_MAX, 0)
    libc.mallopt(TRIM_THRESHOLD, MOST)
    try:
        yield
    finally:
        libc.mallopt(MMAP_MAX, MAPPED)
        libc.mallopt(MMAP_THRESHOLD, LARGE)
        libc.mallopt(TRIM_THRESHOLD, FREE)
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    """Return the C library of this process, if it is glibc."""
    try:
        libc = ctypes.CDLL(None)
    except TypeError:  # Windows has none of that kind
        return None
    return libc if hasattr(libc, "gnu_get_libc_version") else None
