"""The manifest of format 1.1: composed for signing, and read with every field checked.

A `Manifest` is not authenticated; `verify` makes it part of a `VerifiedManifest` once its signature is checked. This
module checks the types of the fields (step 3 of the reading plan) and their consistency (step 5).
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bundles.format.model import paths
from bundles.format.model.canonical import canonical_json
from bundles.format.model.errors import BundleRejectedError
from bundles.format.model.fields import exact, integer, invalid, listing, mapping, member_path, moment, sha256_hex, text
from bundles.format.model.limits import Limits

VERSION = "1.1.0"
ROWS_AT_ONCE = 1000  # rows hashed at a time, so that the digest needs no copy of the whole file list
SOURCE_OF = {paths.TIMELINE: "timeline", paths.ALERTS: "alerts", paths.ARTIFACTS: "artifacts"}

_FIELDS = {
    "chunk_size", "complete", "content_digest", "created_at", "files", "incident_id", "manifest_hash", "metadata",
    "missing", "version",
}  # fmt: skip
_METADATA_FIELDS = {"compression", "file_count", "generator", "sources", "total_size"}
_SOURCE_FIELDS = {"fetched_at", "record_count", "sha256", "url"}
_SOURCE_TEXTS = {"adapter", "adapter_version", "profile", "ref", "severities", "system"}
# Each only where there is something to say.
_SOURCE_EXTRAS = _SOURCE_TEXTS | {"as_of", "equal_records", "notes", "repeated_ids", "times"}


@dataclass(frozen=True, slots=True)
class Chunk:
    """A range of one large file: where it starts, its size in bytes, its SHA-256 (hex)."""

    index: int
    offset: int
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One payload member: its path, size in bytes, SHA-256 (hex), and chunks when it is larger than one chunk."""

    path: str
    size: int
    sha256: str
    artifact_id: str | None = None
    chunks: tuple[Chunk, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The entry as it is in the manifest."""
        entry: dict[str, Any] = {"path": self.path, "sha256": self.sha256, "size": self.size}
        if self.artifact_id is not None:
            entry["artifact_id"] = self.artifact_id
        if self.chunks:
            entry["chunks"] = [
                {"index": chunk.index, "offset": chunk.offset, "sha256": chunk.sha256, "size": chunk.size}
                for chunk in self.chunks
            ]
        return entry


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The content of a manifest; docs/bundle-format.md describes each field."""

    version: str
    incident_id: str
    created_at: str
    chunk_size: int
    files: tuple[FileEntry, ...]
    complete: bool
    missing: tuple[Mapping[str, str], ...]
    content_digest: str
    manifest_hash: str
    metadata: Mapping[str, Any]

    @property
    def total_size(self) -> int:
        """Bytes of all payload members."""
        return sum(entry.size for entry in self.files)


def content_digest(files: Iterable[FileEntry]) -> str:
    """SHA-256 (hex) of the canonical JSON of `[[path, size, sha256], …]`, in the order given."""
    digest, rows, lead = hashlib.sha256(b"["), iter(files), b""
    while part := [[entry.path, entry.size, entry.sha256] for entry in itertools.islice(rows, ROWS_AT_ONCE)]:
        digest.update(lead + canonical_json(part)[1:-1])
        lead = b","
    digest.update(b"]")
    return digest.hexdigest()


def manifest_hash(fields: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of the canonical JSON of a manifest's fields without `manifest_hash`."""
    return hashlib.sha256(
        canonical_json({key: value for key, value in fields.items() if key != "manifest_hash"})
    ).hexdigest()


def compose(
    *,
    incident_id: str,
    created_at: str,
    chunk_size: int,
    files: Iterable[FileEntry],
    missing: Iterable[Mapping[str, str]],
    generator: str,
    compression: str,
    sources: Mapping[str, Any],
) -> dict[str, Any]:
    """The fields of a 1.1 manifest, with `content_digest` and `manifest_hash` computed.

    Args:
        incident_id: the incident.
        created_at: RFC 3339 in UTC with six decimals.
        chunk_size: of a chunk, in bytes.
        files: the payload members, in any order.
        missing: `{"path" or "source": …, "reason": …}` for each missing file or source.
        generator: the writer's name and version.
        compression: `zstd` or `gzip`.
        sources: name → `url`, `fetched_at`, `record_count` and `sha256` of a source, and the optional fields.
    """
    entries = sorted(files, key=lambda entry: entry.path)
    gaps = [dict(gap) for gap in missing]
    fields: dict[str, Any] = {
        "chunk_size": chunk_size,
        "complete": not gaps,
        "content_digest": content_digest(entries),
        "created_at": created_at,
        "files": [entry.as_dict() for entry in entries],
        "incident_id": incident_id,
        "metadata": {
            "compression": compression,
            "file_count": len(entries),
            "generator": generator,
            "sources": {name: dict(source) for name, source in sources.items()},
            "total_size": sum(entry.size for entry in entries),
        },
        "missing": gaps,
        "version": VERSION,
    }
    fields["manifest_hash"] = manifest_hash(fields)
    return fields


def read(
    fields: Mapping[str, Any],
    limits: Limits,
    files: tuple[FileEntry, ...] | None = None,
    missing: tuple[Mapping[str, str], ...] | None = None,
) -> Manifest:
    """Check the fields of a strictly parsed 1.1 manifest (step 3).

    Args:
        fields: the manifest.
        limits: bounds on files and paths.
        files: the files, if they were read and checked already; the list in `fields` is then empty.
        missing: the gaps, if they were read and checked already; the list in `fields` is then empty.

    Raises:
        BundleRejectedError: `manifest_invalid`, or `path_invalid` for a file's path.
    """
    exact(fields, _FIELDS, "the manifest")
    metadata = mapping(fields["metadata"], "metadata")
    exact(metadata, _METADATA_FIELDS, "metadata")
    text(metadata["generator"], "generator")
    if metadata["compression"] not in ("zstd", "gzip"):
        raise invalid("metadata.compression is neither zstd nor gzip")
    integer(metadata["file_count"], "file_count")
    integer(metadata["total_size"], "total_size")
    for name, source in mapping(metadata["sources"], "sources").items():
        text(name, "a source's name")
        _check_source(mapping(source, "a source"))
    if not paths.valid_incident_id(fields["incident_id"]):
        raise invalid("incident_id is not an incident id")
    if not isinstance(fields["complete"], bool):
        raise invalid("complete is not true or false")
    entries, gaps = listing(fields["files"], "files"), listing(fields["missing"], "missing")
    if len(entries) + len(gaps) > limits.files:
        raise invalid(f"it lists more than {limits.files} files and gaps")
    if files is None:
        files = tuple(_file(mapping(entry, "a file"), limits) for entry in entries)
    if missing is None:
        missing = tuple(gap(mapping(entry, "missing"), limits) for entry in gaps)
    return Manifest(
        version=VERSION,
        incident_id=fields["incident_id"],
        created_at=moment(fields["created_at"], "created_at"),
        chunk_size=integer(fields["chunk_size"], "chunk_size", low=1),
        files=files,
        complete=fields["complete"],
        missing=missing,
        content_digest=sha256_hex(fields["content_digest"], "content_digest"),
        manifest_hash=sha256_hex(fields["manifest_hash"], "manifest_hash"),
        metadata=metadata,
    )


def _check_source(source: Mapping[str, Any]) -> None:
    exact(source, _SOURCE_FIELDS | (_SOURCE_EXTRAS & source.keys()), "a source")
    for name in _SOURCE_TEXTS & source.keys() | {"url"}:
        text(source[name], f"a source's {name}")
    for name, rule in mapping(source.get("times", {}), "a source's times").items():
        text(name, "the name of a rule of times")
        text(rule, "a rule of times")
    moment(source["fetched_at"], "a source's fetched_at")
    integer(source["record_count"], "a source's record_count")
    sha256_hex(source["sha256"], "a source's sha256")
    for name in ("equal_records", "repeated_ids"):
        integer(source.get(name, 1), f"a source's {name}", low=1)
    for note in listing(source.get("notes", []), "a source's notes"):
        text(note, "a note")
    if "as_of" in source:
        as_of = mapping(source["as_of"], "a source's as_of")
        exact(as_of, {"at", "later", "records"}, "a source's as_of")
        moment(as_of["at"], "as_of.at")
        integer(as_of["records"], "as_of.records")
        integer(as_of["later"], "as_of.later", low=1)


def check_consistency(manifest: Manifest, fields: Mapping[str, Any], own_hash: str | None = None) -> None:
    """Check that a manifest is consistent (step 5).

    Args:
        manifest: the manifest as read.
        fields: its fields; only needed without `own_hash`.
        own_hash: `manifest_hash` of its fields, if it is known already.

    Raises:
        BundleRejectedError: `manifest_hash_mismatch`, `content_digest_mismatch` or `manifest_inconsistent`.
    """
    if (own_hash or manifest_hash(fields)) != manifest.manifest_hash:
        raise BundleRejectedError("manifest_hash_mismatch", "The manifest's hash does not match its fields.")
    names = [entry.path for entry in manifest.files]
    if any(earlier >= later for earlier, later in itertools.pairwise(names)):
        raise inconsistent("its files are not sorted by path without duplicates")
    if content_digest(manifest.files) != manifest.content_digest:
        raise BundleRejectedError("content_digest_mismatch", "The content digest does not match the listed files.")
    if manifest.metadata["file_count"] != len(manifest.files):
        raise inconsistent("file_count is not the number of files")
    if manifest.metadata["total_size"] != manifest.total_size:
        raise inconsistent("total_size is not the sum of the sizes")
    for entry in manifest.files:
        check_cover(entry, manifest.chunk_size)
    check_gaps(manifest)


def check_cover(entry: FileEntry, chunk_size: int) -> None:
    """Check that chunks cover a file exactly, and that only a file larger than one chunk has them.

    Raises:
        BundleRejectedError: `manifest_inconsistent`.
    """
    if bool(entry.chunks) != (entry.size > chunk_size):
        raise inconsistent(f"{entry.path} has chunks it does not need, or lacks those it needs")
    offset = 0
    for index, chunk in enumerate(entry.chunks):
        size = min(chunk_size, entry.size - offset)
        if (chunk.index, chunk.offset, chunk.size) != (index, offset, size) or size <= 0:
            raise inconsistent(f"the chunks of {entry.path} do not cover it")
        offset += size
    if entry.chunks and offset != entry.size:
        raise inconsistent(f"the chunks of {entry.path} do not cover it")


def check_gaps(manifest: Manifest) -> None:
    """Check that every absent data member is listed as missing, and that no file is both listed and missing.

    Raises:
        BundleRejectedError: `manifest_inconsistent`.
    """
    if manifest.complete != (not manifest.missing):
        raise inconsistent("complete and missing contradict each other")
    listed = {entry.path for entry in manifest.files}
    missing_paths = {entry["path"] for entry in manifest.missing if "path" in entry}
    missing_sources = {entry["source"] for entry in manifest.missing if "source" in entry}
    if listed & missing_paths:
        raise inconsistent("a file is both listed and missing")
    for member, source in SOURCE_OF.items():
        if member not in listed and member not in missing_paths and source not in missing_sources:
            raise inconsistent(f"{member} is neither listed nor missing")


def _file(entry: Mapping[str, Any], limits: Limits) -> FileEntry:
    path = member_path(entry.get("path"), limits)
    artifact_id = paths.artifact_id_of(path)
    expected = {"path", "sha256", "size"} | ({"artifact_id"} if artifact_id is not None else set())
    if entry.keys() - {"chunks"} != expected or entry.get("artifact_id") != artifact_id:
        raise invalid("a file has missing or unknown fields, or an artifact_id that does not match its path")
    if entry.get("chunks") == []:
        raise invalid("a file has an empty list of chunks")
    return FileEntry(
        path=path,
        size=integer(entry["size"], "a file's size"),
        sha256=sha256_hex(entry["sha256"], "a file's sha256"),
        artifact_id=artifact_id,
        chunks=tuple(chunk(mapping(part, "a chunk")) for part in listing(entry.get("chunks", []), "chunks")),
    )


def chunk(part: Mapping[str, Any], *, extra: frozenset[str] = frozenset()) -> Chunk:
    """One chunk of a file; `extra` are additional fields of an older version."""
    exact(part, {"index", "offset", "sha256", "size"} | extra, "a chunk")
    return Chunk(
        integer(part["index"], "a chunk's index"),
        integer(part["offset"], "a chunk's offset"),
        integer(part["size"], "a chunk's size"),
        sha256_hex(part["sha256"], "a chunk's sha256"),
    )


def gap(entry: Mapping[str, Any], limits: Limits) -> Mapping[str, str]:
    """One entry of `missing`."""
    if entry.keys() not in ({"path", "reason"}, {"source", "reason"}):
        raise invalid("an entry of missing needs exactly a path or source, and a reason")
    text(entry["reason"], "a reason")
    if "path" in entry:
        member_path(entry["path"], limits)
    else:
        text(entry["source"], "a missing source")
    return entry


def inconsistent(why: str) -> BundleRejectedError:
    """`manifest_inconsistent`, with the reason."""
    return BundleRejectedError("manifest_inconsistent", f"The manifest contradicts itself: {why}.")
