"""Writes a bundle to a new file, fsynced; on any error nothing is left behind."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bundles.format.model.limits import DEFAULT_CHUNK_MIB, MIB
from bundles.format.model.manifest import Manifest
from bundles.format.model.signing import SigningKey
from bundles.format.writing.assembly import prepare
from bundles.format.writing.packing import write_error
from bundles.format.writing.payload import Payload
from bundles.format.writing.sealing import seal

SUFFIXES = {"zstd": ".tar.zst", "gzip": ".tar.gz"}


@dataclass(frozen=True, kw_only=True)
class WrittenBundle:
    """A written bundle, fsynced.

    Attributes:
        path: the file.
        size: in bytes.
        sha256: of the whole file, hex.
        manifest: its manifest.
        manifest_bytes: the signed bytes.
        key_id: of the key that signed it.
        ranges: SHA-256 (hex) of its ranges, see `reading.ranges`; empty unless requested.
    """

    path: Path
    size: int
    sha256: str
    manifest: Manifest
    manifest_bytes: bytes
    key_id: str
    ranges: str = ""


def write_bundle(
    out: Path,
    *,
    incident_id: str,
    payloads: Iterable[Payload],
    key: SigningKey,
    sources: Mapping[str, Any] | None = None,
    missing: Iterable[Mapping[str, str]] = (),
    chunk_size: int = DEFAULT_CHUNK_MIB * MIB,
    compression: str | None = None,
    progress: Callable[[int, int], None] | None = None,
    ranges: bool = False,
) -> WrittenBundle:
    """Write a signed bundle.

    Args:
        out: the new file, which must not exist. On any error it is removed.
        incident_id: the incident.
        payloads: the members, in any order.
        key: signs the manifest.
        sources: where the evidence came from, see `manifest.compose`.
        missing: what is not in the bundle and why, see `manifest.compose`.
        chunk_size: files larger than this many bytes get chunk digests.
        compression: `zstd` or `gzip`; by default zstd if available.
        progress: called with payload bytes done and in all; may raise to stop the work.
        ranges: whether to hash the file's ranges too.

    Raises:
        CannotWriteError: `input_invalid`, `zstandard_missing`, `storage_full` or `write_failed`; `PayloadError` if a
            payload does not match its record.
    """
    assembly = prepare(
        incident_id=incident_id,
        payloads=payloads,
        key=key,
        sources=sources,
        missing=missing,
        chunk_size=chunk_size,
        compression=compression,
        progress=progress,
    )
    try:
        descriptor = os.open(out, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise write_error(error) from error
    try:
        signed = assembly.write_zstd(descriptor) if assembly.compression == "zstd" else assembly.write_gzip(descriptor)
        sealed = seal(descriptor, ranges=ranges)
    except BaseException:
        out.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    return WrittenBundle(
        path=out,
        size=sealed.size,
        sha256=sealed.sha256,
        manifest=signed.manifest,
        manifest_bytes=signed.raw,
        key_id=key.key_id,
        ranges=sealed.ranges,
    )
