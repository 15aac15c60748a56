"""The disk space that jobs may take: free bytes, less a reserve for everything else."""

from __future__ import annotations

import os
from pathlib import Path

from django.conf import settings


def free_bytes(directory: Path) -> int | None:
    """Bytes that a job may take in the file system of `directory`; negative when the reserve is already in use.

    Returns:
        None when it is unknown; the job then fails when the disk is full.
    """
    try:
        found = os.statvfs(directory)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize - int(settings.ORCH_DISK_RESERVE_BYTES)
