"""Memory of processes that live long and are mostly idle: shared where it can be, given back where it is not needed."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress

M_ARENA_MAX = -8  # <malloc.h>
ARENAS = 2  # otherwise each thread has one, which keeps what the thread has freed


def share() -> None:
    """Before forking: keep what is loaded now shared. A child's collector would otherwise write to every page of it."""
    with suppress(OSError, AttributeError):  # an allocator other than glibc's
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS)
    gc.collect()
    gc.freeze()


def give_back() -> None:
    """After work: let the kernel have what was freed; the allocator alone would keep most of it for the next time."""
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
