"""Resolves the bundle path of a request to a file in OUTPUT_DIR.

A path counts only when every folder on its way below OUTPUT_DIR is a folder and its end a regular file, each reached
by handle without following links. Every refusal has the same message, so that none reveals what exists.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from django.conf import settings

from bundles.storage import store_identity
from rehydration.errors import BundlePathInvalidError

MAX_PATH_BYTES = 4096


def resolve(bundle_path: object) -> str:
    """The path of an existing bundle file, relative to OUTPUT_DIR.

    Args:
        bundle_path: absolute below OUTPUT_DIR, or relative to it.

    Raises:
        BundlePathInvalidError: it is anything else, or not there.
        StoreMismatchError: this host's OUTPUT_DIR is not the store that the database knows.
    """
    relative = "/".join(_components(bundle_path))
    with pinned(relative):
        return relative


@contextmanager
def pinned(relative: str) -> Iterator[Path]:
    """A path on which a bundle file can be opened, while no renamed or linked folder can lead elsewhere.

    The folder is held open by handle, and the path goes through that handle.

    Args:
        relative: the file's path as `resolve` gave it.

    Raises:
        BundlePathInvalidError: it does not lead to a regular file.
        StoreMismatchError: this host's OUTPUT_DIR is not the store that the database knows.
    """
    *folders, name = _components(relative)
    with store_identity.opened(store_identity.BUNDLES) as root:
        folder = os.dup(root)
    try:
        try:
            for part in folders:
                below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
                os.close(folder)
                folder = below
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except OSError as error:
            raise BundlePathInvalidError from error
        if not stat.S_ISREG(found.st_mode):
            raise BundlePathInvalidError
        yield Path(f"/proc/self/fd/{folder}") / name
    finally:
        os.close(folder)


def _components(bundle_path: object) -> list[str]:
    """The names below OUTPUT_DIR that the path consists of, at least one."""
    if not isinstance(bundle_path, str) or not bundle_path or "\x00" in bundle_path:
        raise BundlePathInvalidError
    try:
        size = len(bundle_path.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise BundlePathInvalidError from error
    path = PurePosixPath(bundle_path)
    if path.is_absolute():
        path = _below_output_dir(path)
    if size > MAX_PATH_BYTES or not path.parts or ".." in path.parts:
        raise BundlePathInvalidError
    return list(path.parts)


def _below_output_dir(path: PurePosixPath) -> PurePosixPath:
    """`path` relative to OUTPUT_DIR, by its configured name or its real one."""
    root = Path(settings.OUTPUT_DIR)
    for name in (root, root.resolve()):
        if path.is_relative_to(name):
            return path.relative_to(name)
    raise BundlePathInvalidError
