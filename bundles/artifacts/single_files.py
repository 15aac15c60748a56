"""Opens one file of a stored bundle to send or show it, after comparing it completely with its signed digests.

Only that file is read, through the bundle's seek table. It is spooled to a file without a name in quarantine, since
sent bytes cannot be taken back if a later byte does not match.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from typing import IO, Any, Literal
from uuid import UUID

from bundles import manifest_files, services
from bundles.errors import BundleUnavailableError, FileNotListedError, FileTooLargeError, StorageFullError
from bundles.format.model import paths
from bundles.format.model.errors import FormatError
from bundles.format.model.limits import GIB
from bundles.format.reading.container import Opened
from bundles.format.reading.single import match_file
from bundles.format.reading.target_names import windows_name
from bundles.keys import trusted_keys
from bundles.models import Bundle, Manifest
from bundles.storage import bundle_files
from custody import chain
from foundation.disk import is_disk_full
from foundation.principal import Principal

LARGEST_BYTES = GIB
_NOT_PORTABLE = re.compile(r'[<>:"|?*%]')  # refused or interpreted by other systems


@dataclass(frozen=True)
class OpenedFile:
    """A file that matches its signed digests.

    Attributes:
        bundle: it is in this bundle.
        file: open for reading, at the first byte.
        size: bytes.
        name: a file name that is valid on any system.
        path: its path in the bundle.
        sha256: of the file, hex.
    """

    bundle: Bundle
    file: IO[bytes]
    size: int
    name: str
    path: str
    sha256: str


def open_file(
    principal: Principal, bundle_id: UUID | str, place: int, *, use: Literal["download", "preview"] = "download"
) -> OpenedFile:
    """Open one file of a bundle.

    Args:
        principal: needs `bundles.download_bundle`.
        bundle_id: the bundle.
        place: index of the file in the manifest, from 0.
        use: what the file is opened for, for custody.

    Raises:
        AccessDeniedError: the principal may not download.
        BundleNotFoundError: there is no such bundle.
        FileNotListedError: the manifest has no such file.
        FileTooLargeError: the file is too large to be opened on its own.
        BundleUnavailableError: the bundle's file is missing, or is another bundle.
        BundleRejectedError: the file or the manifest is not as signed; nothing was released.
        CannotCheckError: the file could not be checked.
    """
    principal.require("bundles.download_bundle")
    bundle = services.get(principal, bundle_id)
    entry = manifest_files.file_at(bundle, place)
    if entry is None:
        raise FileNotListedError("The bundle's manifest lists no such file.")
    path, size = str(entry["path"]), int(entry["size"])
    if size > LARGEST_BYTES:
        raise FileTooLargeError("Files of more than 1 GiB are not opened on their own: download the bundle instead.")
    spool = tempfile.TemporaryFile(dir=bundle_files.quarantine())  # noqa: SIM115 # the response closes it
    try:
        _spool(bundle, path, spool)
    except BaseException as error:
        spool.close()
        if isinstance(error, FormatError | BundleUnavailableError):
            _record_custody(principal, bundle, entry, use, error.code)
        if isinstance(error, OSError) and is_disk_full(error):
            raise StorageFullError("There is no room to check the file before it is sent.") from error
        raise
    _record_custody(principal, bundle, entry, use, "ok")
    spool.seek(0)
    return OpenedFile(bundle, spool, size, saved_name(path), path, str(entry["sha256"]))


def saved_name(path: str) -> str:
    """The file name offered to a browser: the last component, neither hidden nor a path nor a device of Windows."""
    name = _NOT_PORTABLE.sub("_", paths.safe_name(path)).strip(" .")
    return _NOT_PORTABLE.sub("_", windows_name(name)) if name else "file"


def _spool(bundle: Bundle, path: str, spool: IO[bytes]) -> None:
    with bundle_files.open_bundle(bundle.name) as file:
        matched = match_file(Opened(file.fileno(), bundle.name), trusted_keys.trusted(), path, take=spool.write)
    if matched.manifest.raw != bytes(Manifest.objects.get(bundle=bundle).raw):
        raise BundleUnavailableError("The bundle's file was replaced by another bundle. Verify the bundle.")


def _record_custody(principal: Principal, bundle: Bundle, entry: dict[str, Any], use: str, outcome: str) -> None:
    chain.record(
        principal,
        "bundle.open_file",
        "bundle",
        str(bundle.bundle_id),
        incident_id=bundle.incident_id,
        digest=str(entry["sha256"]),
        outcome=outcome,
        details={"path": str(entry["path"]), "use": use},
    )
