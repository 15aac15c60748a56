"""Keeps the C library's allocator from giving pages back and fetching them anew with every frame.

Frames and blocks are a few MiB each and live for milliseconds. By default glibc returns such memory to the kernel as
soon as it is freed, and the kernel clears every page that it hands out again: that costs as much as decompressing.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress
from functools import cache

from bundles.format.model.limits import MIB

# <malloc.h>
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
LARGEST_KEPT_BYTES = 8 * MIB  # frames and blocks are smaller; a manifest that is larger goes back at once
TRIM_BYTES = 64 * MIB
ARENAS = 2  # each keeps what its threads freed, so more of them would keep more


def give_back_freed_pages() -> None:
    """Return what was kept, before something that needs much memory at once."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


@cache
def keep_freed_pages() -> None:
    """Let this process reuse the memory of freed blocks; once is enough, and other C libraries are left as they are."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return  # no glibc: slower, nothing else
    mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT_BYTES)
    mallopt(M_TRIM_THRESHOLD, TRIM_BYTES)
    mallopt(M_ARENA_MAX, ARENAS)
