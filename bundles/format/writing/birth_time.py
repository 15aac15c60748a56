"""When a file was created, where the system tells it."""

from __future__ import annotations

import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

_SECOND = 1_000_000_000  # nanoseconds
# From linux/stat.h and linux/fcntl.h.
_AT_FDCWD = -100
_AT_SYMLINK_NOFOLLOW = 0x100
_STATX_BTIME = 0x800
_STATX_BYTES = 256
_MASK_AT, _BTIME_AT = 0, 80


def of(location: Path, status: os.stat_result) -> int | None:
    """The birth time of an entry in nanoseconds since 1970-01-01 UTC; None if the system does not tell it.

    Args:
        location: the entry; a link is not followed.
        status: its status, which has the birth time on some systems.
    """
    seconds = getattr(status, "st_birthtime", None)
    if seconds is not None:
        return int(getattr(status, "st_birthtime_ns", seconds * _SECOND))
    call = _statx() if sys.platform == "linux" else None
    if call is None:
        return None
    found = bytearray(_STATX_BYTES)
    buffer = _ctypes().c_char.from_buffer(found)
    if call(_AT_FDCWD, os.fsencode(location), _AT_SYMLINK_NOFOLLOW, _STATX_BTIME, _ctypes().byref(buffer)) != 0:
        return None
    if not int.from_bytes(found[_MASK_AT : _MASK_AT + 4], sys.byteorder) & _STATX_BTIME:
        return None
    whole = int.from_bytes(found[_BTIME_AT : _BTIME_AT + 8], sys.byteorder, signed=True)
    return whole * _SECOND + int.from_bytes(found[_BTIME_AT + 8 : _BTIME_AT + 12], sys.byteorder)


@cache
def _statx() -> Any:
    """The C library's `statx`, which Python's `os` does not have before 3.15; None if there is none."""
    try:
        call = _ctypes().CDLL(None).statx
    except (ImportError, OSError, AttributeError):
        return None
    call.argtypes = [
        _ctypes().c_int, _ctypes().c_char_p, _ctypes().c_int, _ctypes().c_uint, _ctypes().c_void_p,
    ]  # fmt: skip
    call.restype = _ctypes().c_int
    return call


def _ctypes() -> Any:
    import ctypes  # not built into every Python, and only needed here

    return ctypes
