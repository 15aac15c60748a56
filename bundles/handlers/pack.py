"""Writes a bundle from collected evidence, for the queue and for the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bundles.format.model import paths
from bundles.format.model.errors import CannotWriteError
from bundles.format.model.limits import MAX_CHUNK_MIB, MIB
from bundles.format.model.signing import SigningKey
from bundles.format.writing.assembly import available_compression
from bundles.format.writing.payload import Payload
from bundles.format.writing.writer import WrittenBundle, write_bundle
from bundles.sources.collect import Evidence


def require_request(incident_id: str, chunk_size_mb: int) -> None:
    """Check the parameters of a bundle before its evidence is collected.

    Raises:
        CannotWriteError: `incident_id_invalid` or `input_invalid`.
    """
    if not paths.valid_incident_id(incident_id):
        raise CannotWriteError("incident_id_invalid", paths.INCIDENT_ID_RULE)
    if not 1 <= chunk_size_mb <= MAX_CHUNK_MIB:
        raise CannotWriteError("input_invalid", f"The chunk size is from 1 to {MAX_CHUNK_MIB} MiB.")


def pack(
    evidence: Evidence,
    out: Path,
    *,
    incident_id: str,
    key: SigningKey,
    chunk_size_mb: int,
    compression: str,
    progress: Callable[[int, int], None] | None,
    ranges: bool = False,
) -> WrittenBundle:
    """Write the bundle of `evidence`.

    Args:
        evidence: the collected evidence.
        out: the new file.
        incident_id: the incident.
        key: signs the manifest.
        chunk_size_mb: files larger than this many MiB get chunk digests.
        compression: `zstd` or `gzip`; gzip is used if zstandard is missing.
        progress: called with payload bytes done and in all.
        ranges: whether to hash the file's ranges too.

    Raises:
        CannotWriteError: see `write_bundle`.
    """
    payloads = [Payload.of_file(name, file) for name, file in evidence.members.items()]
    payloads += [
        Payload(
            path=paths.artifact_path(artifact.artifact_id, artifact.name),
            size=artifact.size,
            open=artifact.open,
            expected_sha256=artifact.sha256,
        )
        for artifact in evidence.artifacts
    ]
    return write_bundle(
        out,
        incident_id=incident_id,
        payloads=payloads,
        key=key,
        sources=evidence.provenance,
        missing=evidence.missing,
        chunk_size=chunk_size_mb * MIB,
        compression=compression if available_compression() == "zstd" else "gzip",
        progress=progress,
        ranges=ranges,
    )
