"""Assembles one bundle: every payload byte is read once; hashing, compressing and writing run in parallel.

zstd bundles have manifest and signature at the front, although their content is known last. Their lengths are known
before, so room for their frames is reserved, and what remains of it is filled with a skippable frame. gzip bundles have
them at the end. The manifest is checked by the reader's rules before it is signed, so that no unreadable bundle is
written.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bundles.format.model import manifest as manifests
from bundles.format.model import paths
from bundles.format.model.canonical import canonical_json
from bundles.format.model.errors import BundleRejectedError, CannotWriteError
from bundles.format.model.hashing import FileLanes
from bundles.format.model.limits import DEFAULT_CHUNK_MIB, DEFAULT_LIMITS, MIB
from bundles.format.model.manifest import Chunk, FileEntry, Manifest
from bundles.format.model.signing import SigningKey, timestamp
from bundles.format.model.timeline_incident import TimelineIncident
from bundles.format.reading import canonical_manifest, tarheader
from bundles.format.version import PRODUCT_VERSION
from bundles.format.writing.packing import FRAME_BYTES, GzipPacker, Packer, ZstdPacker, write_all
from bundles.format.writing.payload import Payload, PayloadHasher, expect_end, open_payload, read_into

GENERATOR = f"ransomeye-orchestrator {PRODUCT_VERSION}"


def available_compression() -> str:
    """`zstd`, or `gzip` if zstandard cannot be imported."""
    try:
        import zstandard  # noqa: F401 # only checks that it exists
    except ImportError:
        return "gzip"
    return "zstd"


def prepare(
    *,
    incident_id: str,
    payloads: Iterable[Payload],
    key: SigningKey,
    sources: Mapping[str, Any] | None = None,
    missing: Iterable[Mapping[str, str]] = (),
    chunk_size: int = DEFAULT_CHUNK_MIB * MIB,
    compression: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Assembly:
    """Prepare a bundle and check its parameters before the payload is read; see `write_bundle`.

    Raises:
        CannotWriteError: `input_invalid` or `zstandard_missing`.
    """
    compression = compression or available_compression()
    if compression == "zstd" and available_compression() != "zstd":
        raise CannotWriteError("zstandard_missing", "Writing zstd needs the zstandard library; gzip does not.")
    ordered = sorted(payloads, key=lambda payload: (payload.path not in paths.DATA_MEMBERS, payload.path))
    assembly = Assembly(
        incident_id=incident_id,
        payloads=ordered,
        key=key,
        sources=dict(sources or {}),
        missing=[dict(gap) for gap in missing],
        chunk_size=chunk_size,
        compression=compression,
        created_at=timestamp(),
        progress=progress,
    )
    _ = assembly.manifest_size  # checks the manifest
    return assembly


@dataclass(frozen=True)
class _Signed:
    manifest: Manifest
    raw: bytes
    signature: bytes

    def tar(self) -> bytes:
        """Both members as tar bytes."""
        manifest = tarheader.whole_member(paths.MANIFEST, self.raw)
        return manifest + tarheader.whole_member(paths.SIGNATURE, self.signature)


@dataclass(frozen=True, kw_only=True)
class Assembly:
    """One bundle being assembled."""

    incident_id: str
    payloads: Sequence[Payload]
    key: SigningKey
    sources: dict[str, Any]
    missing: list[dict[str, str]]
    chunk_size: int
    compression: str
    created_at: str
    progress: Callable[[int, int], None] | None

    def write_zstd(self, descriptor: int) -> _Signed:
        """Write manifest and signature into room reserved at the front; the descriptor must be seekable."""
        from bundles.format.model import zstd_frames  # zstandard may be missing if only gzip is used

        front_size = self._front_size()
        reserved = 8 + sum(zstd_frames.compress_bound(size) for size in _frame_sizes(front_size))
        os.lseek(descriptor, reserved, os.SEEK_SET)
        packer = ZstdPacker(descriptor)
        try:
            entries = self._pack(packer)
            packer.write(tarheader.END)
            packer.flush()
        finally:
            packer.close()
        signed = self.sign(entries)
        front = signed.tar()
        if len(front) != front_size:
            raise AssertionError("manifest and signature have the expected lengths")
        frames, start = [], 0
        for size in _frame_sizes(front_size):
            frames.append((zstd_frames.compress_frame(front[start : start + size]), size))
            start += size
        packed = b"".join(frame for frame, _ in frames)
        table = [(len(frame), size) for frame, size in frames]
        table += [(reserved - len(packed), 0), *packer.frames]
        write_all(descriptor, zstd_frames.seek_table(table))
        os.lseek(descriptor, 0, os.SEEK_SET)
        write_all(descriptor, packed + zstd_frames.filler(reserved - len(packed)))
        return signed

    def write_zstd_last(self, descriptor: int) -> _Signed:
        """Write the payload, then manifest and signature in frames of their own, without seeking."""
        from bundles.format.model import zstd_frames  # see `write_zstd`

        packer = ZstdPacker(descriptor)
        try:
            entries = self._pack(packer)
            packer.flush()
            signed = self.sign(entries)
            packer.write(signed.tar() + tarheader.END)
            packer.flush()
        finally:
            packer.close()
        write_all(descriptor, zstd_frames.seek_table(packer.frames))
        return signed

    def write_gzip(self, descriptor: int) -> _Signed:
        """Write the payload, then manifest and signature, without seeking."""
        packer = GzipPacker(descriptor)
        signed = self.sign(self._pack(packer))
        packer.write(signed.tar())
        packer.write(tarheader.END)
        packer.flush()
        return signed

    def check(self, entries: Sequence[FileEntry]) -> tuple[Manifest, bytes]:
        """The manifest for `entries`, checked by the reader's rules.

        Raises:
            CannotWriteError: `input_invalid`.
        """
        fields = manifests.compose(
            incident_id=self.incident_id,
            created_at=self.created_at,
            chunk_size=self.chunk_size,
            files=entries,
            missing=self.missing,
            generator=GENERATOR,
            compression=self.compression,
            sources=self.sources,
        )
        try:
            manifest = manifests.read(fields, DEFAULT_LIMITS)
            manifests.check_consistency(manifest, fields)
            raw = canonical_json(fields)
            readable = len(raw) <= DEFAULT_LIMITS.manifest_bytes and canonical_manifest.read(raw, DEFAULT_LIMITS)
        except BundleRejectedError as error:
            raise CannotWriteError("input_invalid", error.detail) from error
        if not readable:
            raise CannotWriteError("input_invalid", "The manifest would be larger than readers accept.")
        return manifest, raw

    def sign(self, entries: Sequence[FileEntry]) -> _Signed:
        """The manifest for `entries`, and its signature."""
        manifest, raw = self.check(entries)
        return _Signed(manifest, raw, canonical_json(self.key.sign(raw, manifest.manifest_hash)))

    @cached_property
    def manifest_size(self) -> int:
        """Bytes of the manifest, known before the payload is read since digests and times have fixed lengths.

        Raises:
            CannotWriteError: `input_invalid`.
        """
        _, raw = self.check([_placeholder(payload, self.chunk_size) for payload in self.payloads])
        return len(raw)

    def _front_size(self) -> int:
        """Bytes of the tar members of manifest and signature."""
        signature = len(canonical_json(self.key.sign(b"", "0" * 64)))
        manifest = tarheader.stored_size(paths.MANIFEST, self.manifest_size)
        return manifest + tarheader.stored_size(paths.SIGNATURE, signature)

    def _pack(self, packer: Packer) -> list[FileEntry]:
        total, done, entries = sum(payload.size for payload in self.payloads), 0, []
        with FileLanes() as lanes:
            for payload in self.payloads:
                hasher = PayloadHasher(payload, self.chunk_size, lanes)
                incident = TimelineIncident(self.incident_id) if payload.path == paths.TIMELINE else None
                packer.write(tarheader.member_header(payload.path, payload.size))
                with open_payload(payload) as stream:

                    def read(
                        view: memoryview,
                        payload: Payload = payload,
                        hasher: PayloadHasher = hasher,
                        stream: Any = stream,
                        incident: TimelineIncident | None = incident,
                    ) -> int:
                        nonlocal done
                        count = read_into(payload, stream, view)
                        hasher.update(view[:count])
                        if incident is not None:
                            incident.update(view[:count])
                        done += count
                        if self.progress is not None:
                            self.progress(done, total)
                        return count

                    packer.fill(payload.size, read)
                    expect_end(payload, stream)
                if incident is not None and incident.names_another:
                    raise CannotWriteError(
                        "input_invalid", f"timeline.json names another incident than {self.incident_id}."
                    )
                packer.write(bytes(tarheader.padding(payload.size)))
                entries.append(hasher.entry())
        return entries


def _placeholder(payload: Payload, chunk_size: int) -> FileEntry:
    """An entry of the final length, before the payload is read."""
    zero, chunks = "0" * 64, []
    if payload.size > chunk_size > 0:
        for index, offset in enumerate(range(0, payload.size, chunk_size)):
            chunks.append(Chunk(index, offset, min(chunk_size, payload.size - offset), zero))
    return FileEntry(payload.path, payload.size, zero, paths.artifact_id_of(payload.path), tuple(chunks))


def _frame_sizes(total: int) -> list[int]:
    """The sizes of the frames for `total` tar bytes."""
    return [min(FRAME_BYTES, total - start) for start in range(0, total, FRAME_BYTES)]
