"""Keeps glibc from returning freed memory to the kernel after every frame.

Frames and blocks are a few MiB each and live for milliseconds. By default glibc returns such memory at once, and the
kernel clears every page that it hands out again, which takes as long as decompressing.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress
from functools import cache

from bundles.format.model.limits import MIB

# <malloc.h>
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
LARGEST_KEPT_BYTES = 8 * MIB  # frames and blocks are smaller; larger blocks, such as manifests, are returned at once
TRIM_BYTES = 64 * MIB
ARENAS = 2  # each arena keeps what its threads freed


def give_back_freed_pages() -> None:
    """Return kept memory to the kernel, before an allocation that is large."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


@cache
def keep_freed_pages() -> None:
    """Let this process reuse the memory of freed blocks; runs once, and does nothing without glibc."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return  # without glibc decompressing is only slower
    mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT_BYTES)
    mallopt(M_TRIM_THRESHOLD, TRIM_BYTES)
    mallopt(M_ARENA_MAX, ARENAS)
