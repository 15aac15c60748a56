"""Recognizes the errors of a full disk."""

from __future__ import annotations

import errno

# EDQUOT: the user's quota is used up. EFBIG: the file reached the largest size that the process or the file system
# allows. The remedy is that of a full disk: make room, or raise the limit.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def is_disk_full(error: OSError) -> bool:
    """Whether a write failed for lack of room.

    The bundle format has its own (`bundles.format.writing.packing.write_error`): it imports nothing else of this
    project, and this package imports nothing above it.
    """
    return error.errno in _FULL
