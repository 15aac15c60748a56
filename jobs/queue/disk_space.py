"""Room on a disk, as far as jobs may use it: what is free, less a reserve that stays free for everything else."""

from __future__ import annotations

import os
from pathlib import Path

from django.conf import settings


def free_bytes(directory: Path) -> int | None:
    """Bytes that a job may take in the file system of `directory`; negative when the reserve is touched already.

    Returns:
        None when it cannot be told; the job then finds out for itself, and says so.
    """
    try:
        found = os.statvfs(directory)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize - int(settings.ORCH_DISK_RESERVE_BYTES)
