"""Extraction: verifies and unpacks in one pass; the target folder appears only if everything matched.

Files are written through a directory handle into a staging folder next to the target, which is renamed at the end. No
link is followed; modes and owners are those of this process, not of the bundle. On any error the staging folder is
removed.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bundles.format.model.errors import CannotCheckError
from bundles.format.model.limits import DEFAULT_LIMITS, Limits
from bundles.format.model.signing import KeyRing
from bundles.format.reading.container import Source
from bundles.format.reading.report import VerificationReport, check_bundle
from bundles.format.reading.verify import VerifiedManifest

DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class ExtractedBundle:
    """A verified bundle and the folder with its members."""

    report: VerificationReport
    manifest: VerifiedManifest
    directory: Path


def extract_bundle(
    path: Source,
    keys: KeyRing | None,
    into: Path,
    *,
    require: int = 1,
    limits: Limits = DEFAULT_LIMITS,
    durable: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> ExtractedBundle:
    """Verify a bundle and unpack it.

    Args:
        path: the bundle.
        keys: the keys to trust; None skips the signature check only.
        into: the folder to create; it must not exist, its parent must.
        require: how many different trusted keys must have signed.
        limits: bounds on what is read.
        durable: fsync every file and folder before `into` appears.
        progress: called with payload bytes done and in all.

    Raises:
        BundleRejectedError: it is not verified; nothing is left behind.
        CannotCheckError: it could not be checked, or `cannot_extract`: the target exists or cannot be written.
    """
    with extraction(into, durable=durable) as sink:
        report = check_bundle(path, keys, require=require, limits=limits, sink=sink, progress=progress)
        if report.error is not None:
            raise report.error
    if report.manifest is None:
        raise AssertionError("a verified bundle has a manifest")
    return ExtractedBundle(report, report.manifest, into)


@contextmanager
def extraction(into: Path, *, durable: bool = False) -> Iterator[FolderSink]:
    """A sink whose files appear in `into` if the block ends without an error.

    Raises:
        CannotCheckError: `cannot_extract`.
    """
    if os.path.lexists(into):
        raise CannotCheckError("cannot_extract", "The target folder already exists.")
    staging = into.parent / f".extract-{secrets.token_hex(8)}.part"
    try:
        staging.mkdir(mode=0o700)
        with FolderSink(staging, durable=durable) as sink:
            yield sink
        staging.chmod(0o750)
        publish_folder(staging, into, durable=durable)
    except OSError as error:
        raise CannotCheckError("cannot_extract", f"The target folder cannot be written: {error.strerror}.") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


class FolderSink:
    """Writes members as files below a directory handle."""

    def __init__(self, directory: Path, *, durable: bool) -> None:
        self._directory = directory
        self._durable = durable
        self._root = -1
        self._file = -1

    def __enter__(self) -> Self:
        self._root = os.open(self._directory, DIRECTORY_FLAGS)
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in (self._file, self._root):
            if descriptor >= 0:
                os.close(descriptor)

    def begin(self, path: str) -> None:
        """Create a member's file and its folders."""
        *folders, name = path.split("/")
        parent = os.dup(self._root)
        try:
            for folder in folders:
                inner = self._folder(parent, folder)
                os.close(parent)
                parent = inner
            self._file = os.open(name, FILE_FLAGS, 0o640, dir_fd=parent)
            if self._durable:
                os.fsync(parent)
        finally:
            os.close(parent)

    def write(self, data: memoryview) -> None:
        """Append to the member's file."""
        while data:
            data = data[os.write(self._file, data) :]

    def end(self) -> None:
        """Close the member's file."""
        if self._durable:
            os.fsync(self._file)
        descriptor, self._file = self._file, -1
        os.close(descriptor)

    def _folder(self, parent: int, name: str) -> int:
        try:
            os.mkdir(name, 0o750, dir_fd=parent)
            if self._durable:
                os.fsync(parent)
        except FileExistsError:
            pass
        return os.open(name, DIRECTORY_FLAGS, dir_fd=parent)


def publish_folder(staging: Path, into: Path, *, durable: bool = False) -> None:
    """Rename a finished folder to its name.

    Raises:
        OSError: it cannot be renamed, or the name is taken.
    """
    if os.path.lexists(into):
        raise FileExistsError(17, "the target already exists")
    staging.rename(into)
    if durable:
        parent = os.open(into.parent, DIRECTORY_FLAGS)
        try:
            os.fsync(parent)
        finally:
            os.close(parent)
