"""The artifact store: files at FORENSIC_STORAGE_PATH/<incident_id>/<artifact_id>/<name>.

Every step below the store goes by directory handle and follows no link. A file is put in place by a hard link, which
never replaces an existing file; a conflict is reported.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bundles.sources.store import NotPlainError, open_beneath

FILE_MODE = 0o640
FOLDER_MODE = 0o750
BLOCK_BYTES = 1024 * 1024


@dataclass(frozen=True)
class FileState:
    """The state of a file's place: `verdict` is new (nothing), equal or conflict; `reason` describes the conflict.

    `sha256` is that of the file found, empty where none was read.
    """

    verdict: str
    reason: str = ""
    sha256: str = ""


def open_file(root: Path, stored_path: str) -> BinaryIO:
    """Open a stored file for reading.

    Args:
        root: the store.
        stored_path: relative to it, folders by `/`.

    Raises:
        FileNotFoundError: nothing is there.
        NotPlainError: a link or something else than a regular file is there.
    """
    return os.fdopen(open_beneath(root, stored_path.split("/")), "rb")


def state_of(root: Path, stored_path: str, size: int, sha256: str, on_bytes: Callable[[int], None]) -> FileState:
    """Compare what is at a file's place with what belongs there.

    Args:
        root: the store.
        stored_path: relative to it.
        size: bytes that the file must have.
        sha256: hex digest that it must have.
        on_bytes: called with the size of each block read.
    """
    try:
        with open_file(root, stored_path) as file:
            found_bytes = os.fstat(file.fileno()).st_size
            if found_bytes != size:
                return FileState("conflict", f"a different file of {found_bytes} bytes is in its place")
            found = digest_of(file, on_bytes)
    except FileNotFoundError:
        return FileState("new")
    except NotPlainError:
        return FileState("conflict", "a link or another non-regular file is in its place")
    if found != sha256:
        return FileState("conflict", "a different file of the same size is in its place", found)
    return FileState("equal", sha256=found)


def digest_of(file: BinaryIO, on_bytes: Callable[[int], None]) -> str:
    """SHA-256 (hex) of the rest of `file`, reporting the size of each block."""
    digest = hashlib.sha256()
    while block := file.read(BLOCK_BYTES):
        digest.update(block)
        on_bytes(len(block))
    return digest.hexdigest()


def place(root: Path, staged: Path, stored_path: str) -> None:
    """Put a staged file in its place, durably, without ever replacing anything.

    Args:
        root: the store.
        staged: a file on the same file system; it keeps its name there too.
        stored_path: relative to the store; folders are made as needed.

    Raises:
        FileExistsError: something is in its place.
        OSError: the disk refused, or something that is no folder stands where a folder belongs (ELOOP, ENOTDIR).
    """
    *folders, name = stored_path.split("/")
    with staged.open("rb") as file:
        os.fchmod(file.fileno(), FILE_MODE)
        os.fsync(file.fileno())
    with _folder(root, folders) as folder:
        os.link(staged, name, dst_dir_fd=folder, follow_symlinks=False)
        os.fsync(folder)


@contextmanager
def _folder(root: Path, names: list[str]) -> Iterator[int]:
    """A handle on the folder `names` below `root`, made where it is missing."""
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in names:
            with suppress(FileExistsError):
                os.mkdir(name, FOLDER_MODE, dir_fd=folder)
            os.fsync(folder)  # also where it is there: whoever made it may have died before this
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            os.close(folder)
            folder = below
        yield folder
    finally:
        os.close(folder)
