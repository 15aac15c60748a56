"""Opens artifact files below FORENSIC_STORAGE_PATH by directory handles, so that no link can lead out of it."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from bundles.sources import faults

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# Without O_NONBLOCK, opening a FIFO would wait for a writer.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NOTHING_THERE = frozenset({errno.ENOENT, errno.ENAMETOOLONG})
_NOT_PLAIN = frozenset({errno.ELOOP, errno.ENOTDIR, errno.ENXIO})


class NotPlainError(Exception):
    """The path contains a link, or something that is neither a folder nor a regular file."""


def relative_parts(root: Path, location: str) -> tuple[str, ...]:
    """The components of `location` below `root`; empty if it is not below it.

    Args:
        root: the store, absolute.
        location: from a record: relative to the store, or absolute. Untrusted.
    """
    if "\0" in location or any(0xD800 <= ord(character) <= 0xDFFF for character in location):
        return ()
    path = PurePosixPath(location)
    if path.is_absolute():
        if not path.is_relative_to(root):
            return ()
        path = path.relative_to(root)
    return () if ".." in path.parts else path.parts


def open_beneath(root: Path, parts: Sequence[str]) -> int:
    """Open a regular file below `root` for reading, following no link below it.

    Args:
        root: a directory; only this component may be a link, as the operator chose it.
        parts: components below it, none of them `..`.

    Returns:
        A file descriptor that the caller must close.

    Raises:
        FileNotFoundError: there is no such file.
        NotPlainError: the path contains a link, or it is not a regular file.
        OSError: it cannot be read.
    """
    folder = os.open(root, _FOLDER)
    try:
        for part in parts[:-1]:
            inner = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = inner
        opened = os.open(parts[-1], _FILE, dir_fd=folder)
    except OSError as error:
        if error.errno in _NOT_PLAIN:
            raise NotPlainError(str(error.errno)) from None
        if error.errno in _NOTHING_THERE:
            raise FileNotFoundError(errno.ENOENT, "no such file") from None
        raise
    finally:
        os.close(folder)
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise NotPlainError("not a regular file")
    return opened


def find(root: Path, locations: Sequence[str]) -> tuple[str, ...]:
    """The components of the first of a record's locations that is a file in the store; empty if none is.

    Raises:
        NotPlainError, OSError: see `open_beneath`.
    """
    for location in locations:
        parts = relative_parts(root, location)
        if parts:
            try:
                os.close(open_beneath(root, parts))
            except FileNotFoundError:
                continue
            return parts
    return ()


class StoredReader(io.RawIOBase):
    """A local file of exactly `size_bytes` bytes.

    Args:
        descriptor: open for reading; closed with the reader.
        size_bytes: according to the record.
        artifact_id: for error messages.

    Raises:
        jobs.errors.PermanentError: the file has another size; also while reading, if it shrinks or grows.
    """

    def __init__(self, descriptor: int, size_bytes: int, artifact_id: str) -> None:
        super().__init__()
        self._file = io.FileIO(descriptor, "rb")
        self._left = size_bytes
        self._artifact_id = artifact_id
        if os.fstat(descriptor).st_size != size_bytes:
            self._file.close()
            raise self._differs()

    def readable(self) -> bool:
        """Always true."""
        return True

    def fileno(self) -> int:
        """The file's descriptor."""
        return self._file.fileno()

    def readinto(self, buffer: Any) -> int:
        """Read some bytes."""
        if not len(buffer):
            return 0
        got = self._file.readinto(buffer) or 0
        self._left -= got
        if self._left < 0 or (got == 0 and self._left > 0):
            raise self._differs()
        return got

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()

    def _differs(self) -> Exception:
        what = f"the stored file of artifact {self._artifact_id} has another size than its record."
        return faults.invalid(faults.ARTIFACTS, what)
