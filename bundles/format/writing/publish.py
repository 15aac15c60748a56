"""Gives a finished file its name: atomically, durably, and never over an existing file."""

from __future__ import annotations

import os
from pathlib import Path

from bundles.format.model.errors import CannotWriteError
from bundles.format.writing.packing import write_error


def publish(finished: Path, name: Path) -> None:
    """Rename `finished` to `name` in the same file system, and fsync the directory.

    Args:
        finished: a file that is written and fsynced.
        name: must not exist.

    Raises:
        CannotWriteError: `name_taken`, `storage_full` or `write_failed`.
    """
    try:
        os.link(finished, name, follow_symlinks=False)
    except FileExistsError as error:
        raise CannotWriteError("name_taken", f"{name.name} already exists; a name is never reused.") from error
    except OSError as error:
        raise write_error(error) from error
    finished.unlink()
    sync_directory(name.parent)


def sync_directory(directory: Path) -> None:
    """Sync a directory, so that the names in it survive a power failure."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
