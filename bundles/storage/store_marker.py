"""The file that makes a directory a store: it holds the store's id, one line, and is replaced in one step.

A new id is first written beside it, as a proposal (`.store-id.<id>`); once the database knows that id, whoever sees
both renames the proposal. So a process may die at any point.
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
        The id; empty when there is no marker, `UNREADABLE` when it holds none.
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
    """Write an id into the store's directory, durably; it counts once the database knows it.

    Raises:
        OSError: the directory takes no file.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(_proposal(store_id), flags, 0o644, dir_fd=folder)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        # Everybody may read it, whatever the umask: the command that adopts a store may run as another user.
        os.fchmod(descriptor, 0o644)
        file.write(f"{store_id}\n")
        file.flush()
        os.fsync(descriptor)
    os.fsync(folder)


def withdraw(folder: int, store_id: UUID) -> None:
    """Remove a proposal that another was quicker than, unless that one has done so already."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_proposal(store_id), dir_fd=folder)


def confirm(folder: int, store_id: UUID) -> bool:
    """Make the proposal that the database knows the marker, and remove all others; whether there was one.

    Raises:
        OSError: the directory takes no change.
    """
    try:
        os.rename(_proposal(store_id), NAME, src_dir_fd=folder, dst_dir_fd=folder)
    except FileNotFoundError:
        return False
    for name in os.listdir(folder):  # of processes that died, or that another was quicker than
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
