"""The marker file that makes a directory a store: one line with the store's id.

A new id is first written as a proposal (`.store-id.<id>`). Once the database has that id, any process renames the
proposal to the marker, so a process may die at any point.
"""

from __future__ import annotations

import contextlib
import os
from uuid import UUID

NAME = ".store-id"
UNREADABLE = "unreadable"
LONGEST_BYTES = 100


def read(folder: int) -> str:
    """The id in a store's marker.

    Args:
        folder: handle of the store's directory.

    Returns:
        The id; empty if there is no marker, `UNREADABLE` if it contains no id.
    """
    try:
        descriptor = os.open(NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        return ""
    except OSError:
        return UNREADABLE
    try:
        text = os.read(descriptor, LONGEST_BYTES).decode("ascii", "replace").strip()
    except OSError:
        return UNREADABLE
    finally:
        os.close(descriptor)
    return text if _is_id(text) else UNREADABLE


def propose(folder: int, store_id: UUID) -> None:
    """Write a proposal durably to the store's directory; it counts once the database has its id.

    Raises:
        OSError: the directory is not writable.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(_proposal(store_id), flags, 0o644, dir_fd=folder)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        # Readable by all, whatever the umask, since the command that adopts a store may run as another user.
        os.fchmod(descriptor, 0o644)
        file.write(f"{store_id}\n")
        file.flush()
        os.fsync(descriptor)
    os.fsync(folder)


def withdraw(folder: int, store_id: UUID) -> None:
    """Remove a proposal that lost the race, if it still exists."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_proposal(store_id), dir_fd=folder)


def confirm(folder: int, store_id: UUID) -> bool:
    """Make the proposal with the database's id the marker and remove all others; returns whether there was one.

    Raises:
        OSError: the directory is not writable.
    """
    try:
        os.rename(_proposal(store_id), NAME, src_dir_fd=folder, dst_dir_fd=folder)
    except FileNotFoundError:
        return False
    for name in os.listdir(folder):  # proposals of processes that died or lost the race
        if name.startswith(f"{NAME}."):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=folder)
    os.fsync(folder)
    return True


def _is_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def _proposal(store_id: UUID) -> str:
    return f"{NAME}.{store_id}"
