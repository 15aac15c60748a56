"""Reads manifests of format 1.0.0: pretty-printed, with the chunks of all files in one list.

The signature of a 1.0.0 manifest is over its canonical form. Only reading is supported.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bundles.format.model import manifest as m
from bundles.format.model import paths
from bundles.format.model.canonical import depth_exceeds
from bundles.format.model.errors import BundleRejectedError
from bundles.format.model.fields import integer, invalid, listing, mapping, member_path, sha256_hex, text
from bundles.format.model.limits import MIB, Limits

VERSION = "1.0.0"
# Of a manifest that does not state it. Part of version 1.0.0, so it does not follow the writer's default.
CHUNK_SIZE_IF_ABSENT = 256 * MIB

_REQUIRED = {"version", "incident_id", "created_at", "files", "manifest_hash"}
_OPTIONAL = {"chunks", "chunk_size", "content_digest", "complete", "missing", "metadata"}


def read(fields: Mapping[str, Any], limits: Limits) -> m.Manifest:
    """Check the fields of a strictly parsed 1.0.0 manifest (step 3) and convert it to a `Manifest`.

    Raises:
        BundleRejectedError: `manifest_invalid` or `path_invalid`.
    """
    if not fields.keys() >= _REQUIRED or not fields.keys() <= _REQUIRED | _OPTIONAL:
        raise invalid("its fields are not those of version 1.0.0")
    if not paths.valid_incident_id(fields["incident_id"]):
        raise invalid("incident_id is not an incident id")
    entries, gaps = listing(fields["files"], "files"), listing(fields.get("missing", []), "missing")
    if len(entries) + len(gaps) > limits.files:
        raise invalid(f"it lists more than {limits.files} files and gaps")
    metadata = mapping(fields.get("metadata", {}), "metadata")
    if depth_exceeds(metadata, limits.json_depth):
        raise invalid("metadata is nested too deeply")
    text(json.dumps(metadata, ensure_ascii=False), "metadata")
    complete = fields.get("complete", not gaps)
    if not isinstance(complete, bool):
        raise invalid("complete is not true or false")
    chunk_size = integer(fields.get("chunk_size", CHUNK_SIZE_IF_ABSENT), "chunk_size", low=1)
    chunks = _chunks_by_path(fields, limits)
    files = tuple(_file(mapping(entry, "a file"), chunks, limits) for entry in entries)
    if chunks:
        raise invalid("a chunk belongs to no listed file")
    ordered = tuple(sorted(files, key=lambda entry: entry.path))
    return m.Manifest(
        version=VERSION,
        incident_id=fields["incident_id"],
        created_at=text(fields["created_at"], "created_at"),
        chunk_size=chunk_size,
        files=ordered,
        complete=complete,
        missing=tuple(m.gap(mapping(entry, "missing"), limits) for entry in gaps),
        content_digest=sha256_hex(fields.get("content_digest", m.content_digest(ordered)), "content_digest"),
        manifest_hash=sha256_hex(fields["manifest_hash"], "manifest_hash"),
        metadata=metadata,
    )


def check_consistency(manifest: m.Manifest, fields: Mapping[str, Any]) -> None:
    """Check that a 1.0.0 manifest is consistent (step 5), as far as it has the fields.

    Raises:
        BundleRejectedError: `manifest_hash_mismatch`, `content_digest_mismatch` or `manifest_inconsistent`.
    """
    if m.manifest_hash(fields) != manifest.manifest_hash:
        raise BundleRejectedError("manifest_hash_mismatch", "The manifest's hash does not match its fields.")
    names = [entry.path for entry in manifest.files]
    if len(set(names)) != len(names):
        raise m.inconsistent("a file is listed twice")
    if m.content_digest(manifest.files) != manifest.content_digest:
        raise BundleRejectedError("content_digest_mismatch", "The content digest does not match the listed files.")
    if manifest.complete != (not manifest.missing):
        raise m.inconsistent("complete and missing contradict each other")
    for name, actual in (("file_count", len(manifest.files)), ("total_size", manifest.total_size)):
        if name in manifest.metadata and manifest.metadata[name] != actual:
            raise m.inconsistent(f"{name} does not match the files")
    for entry in manifest.files:
        if entry.chunks:
            _check_cover(entry)


def _check_cover(entry: m.FileEntry) -> None:
    """Check that chunks cover a file exactly; their size is free, since older manifests may not state it."""
    offset = 0
    for index, chunk in enumerate(entry.chunks):
        if (chunk.index, chunk.offset) != (index, offset) or not chunk.size:
            raise m.inconsistent(f"the chunks of {entry.path} do not cover it")
        offset += chunk.size
    if offset != entry.size:
        raise m.inconsistent(f"the chunks of {entry.path} do not cover it")


def _chunks_by_path(fields: Mapping[str, Any], limits: Limits) -> dict[str, list[m.Chunk]]:
    found: dict[str, list[m.Chunk]] = {}
    for part in listing(fields.get("chunks", []), "chunks"):
        entry = mapping(part, "a chunk")
        path = member_path(entry.get("path"), limits)
        found.setdefault(path, []).append(m.chunk(entry, extra=frozenset({"path"})))
    return found


def _file(entry: Mapping[str, Any], chunks: dict[str, list[m.Chunk]], limits: Limits) -> m.FileEntry:
    if not {"path", "sha256", "size"} <= entry.keys() or not entry.keys() <= {"path", "sha256", "size", "artifact_id"}:
        raise invalid("a file has missing or unknown fields")
    path = member_path(entry["path"], limits)
    artifact_id = paths.artifact_id_of(path)
    if "artifact_id" in entry and entry["artifact_id"] != artifact_id:
        raise invalid("a file's artifact_id does not match its path")
    return m.FileEntry(
        path=path,
        size=integer(entry["size"], "a file's size"),
        sha256=sha256_hex(entry["sha256"], "a file's sha256"),
        artifact_id=artifact_id,
        chunks=tuple(sorted(chunks.pop(path, []), key=lambda part: part.index)),
    )
