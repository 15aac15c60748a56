"""Co-signing: adds a signature over the same manifest to `manifest.sig` and keeps the payload.

The manifest is authenticated first. The payload is not checked, so verify the bundle before co-signing it. In a zstd
bundle only the frames of manifest and signature are rewritten; all others are copied. A gzip bundle is one stream, so
it is verified and compressed again. On any error no new file is left.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bundles.format.model import manifest as manifests
from bundles.format.model import paths
from bundles.format.model.canonical import canonical_json, strict_loads
from bundles.format.model.errors import CannotCheckError, CannotWriteError
from bundles.format.model.limits import DEFAULT_LIMITS, KIB, Limits
from bundles.format.model.signature import MAX_COSIGNATURES
from bundles.format.model.signing import KeyRing, SigningKey
from bundles.format.reading import tarheader
from bundles.format.reading.container import open_bundle
from bundles.format.reading.raw_reader import BundleFile
from bundles.format.reading.verify import VerifiedManifest, authenticate, verify_bundle
from bundles.format.writing.packing import FRAME_BYTES, GzipPacker, Packer, ZstdPacker, write_all, write_error
from bundles.format.writing.publish import publish, sync_directory
from bundles.format.writing.sealing import seal

if TYPE_CHECKING:
    from bundles.format.reading.seeking import SeekTable  # needs zstandard, which may be missing

SPARE_BYTES = 64 * KIB  # room for the co-signatures after this one
FILLER_HEAD_BYTES = 8


@dataclass(frozen=True, kw_only=True)
class CosignedBundle:
    """A co-signed bundle.

    Attributes:
        path: the new file.
        size: in bytes.
        sha256: of the whole new file, hex.
        signatures: number of signatures.
        recompressed: the payload was compressed again (gzip, or frames shared by manifest and payload).
    """

    path: Path
    size: int
    sha256: str
    signatures: int
    recompressed: bool


def cosign_bundle(
    path: Path, key: SigningKey, keys: KeyRing, out: Path | None = None, *, limits: Limits = DEFAULT_LIMITS
) -> CosignedBundle:
    """Add a co-signature to a bundle.

    Args:
        path: the bundle; its manifest must be signed by one of `keys`.
        key: the co-signer's key.
        keys: the keys to trust.
        out: the new file, which must not exist. None replaces `path` atomically.
        limits: bounds on what is read.

    Raises:
        BundleRejectedError: the manifest is not authentic, or a bundle to be compressed again is not verified.
        CannotCheckError: it could not be checked.
        CannotWriteError: `already_signed` by this key, `name_taken`, `input_invalid`, `storage_full` or `write_failed`.
    """
    target = out or path
    if out is not None and os.path.lexists(out):
        raise CannotWriteError("name_taken", f"{out.name} already exists; a name is never reused.")
    staging = target.parent / f".cosign-{secrets.token_hex(8)}.part"
    with open_bundle(path) as file:
        verified = authenticate(file, keys, require=1, limits=limits)
        signature, count = _with_cosignature(verified, key, limits)
        mode = os.fstat(file.descriptor).st_mode & 0o777
        try:
            descriptor = os.open(staging, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise write_error(error) from error
        try:
            spliced = file.kind == "zstd" and _splice(file, verified, signature, descriptor, limits)
            if not spliced:
                _repack(path, file.kind, verified=verified, signature=signature, keys=keys, out=descriptor)
            size, sha256 = _sealed(descriptor, mode)
            _release(staging, target, replace=out is None)
        finally:
            os.close(descriptor)
            staging.unlink(missing_ok=True)
    return CosignedBundle(path=target, size=size, sha256=sha256, signatures=count, recompressed=not spliced)


def _with_cosignature(verified: VerifiedManifest, key: SigningKey, limits: Limits) -> tuple[bytes, int]:
    """The new `manifest.sig`, and its number of signatures."""
    if verified.manifest.version != manifests.VERSION or verified.signature is None:
        raise CannotWriteError("input_invalid", "Only bundles of version 1.1.0 can be co-signed.")
    known = {verified.signature.key_id, *(other.key_id for other in verified.signature.cosignatures)}
    if key.key_id in known:
        raise CannotWriteError("already_signed", f"The key {key.key_id} has already signed this bundle.")
    fields = strict_loads(verified.signature_raw, floats=False)
    others = [*fields.get("cosignatures", []), key.sign(verified.raw, verified.manifest.manifest_hash)]
    raw = canonical_json({**fields, "cosignatures": others})
    if len(others) > MAX_COSIGNATURES or len(raw) > limits.signature_bytes:
        raise CannotWriteError("input_invalid", "The bundle already has the largest number of signatures.")
    return raw, len(others) + 1


@dataclass(frozen=True)
class _Splice:
    """A new bundle: new bytes around a range of the old file, and the rows of the seek table."""

    lead: bytes
    kept: tuple[int, int]
    trail: bytes
    rows: Sequence[tuple[int, int]]


def _splice(file: BundleFile, verified: VerifiedManifest, signature: bytes, descriptor: int, limits: Limits) -> bool:
    """Write a zstd bundle with new frames for manifest and signature and the old frames for all else.

    Returns:
        Whether it was written: manifest and signature must have their own frames at the front or at the end.
    """
    from bundles.format.model import zstd_frames
    from bundles.format.reading import seeking  # zstandard may be missing if only gzip is used

    table = seeking.read_seek_table(file, limits)
    if table is None:
        return False
    manifest = tarheader.whole_member(paths.MANIFEST, verified.raw)
    old = manifest + tarheader.whole_member(paths.SIGNATURE, verified.signature_raw)
    new = manifest + tarheader.whole_member(paths.SIGNATURE, signature)
    at_end = table.tar_size - len(old) - len(tarheader.END)
    if _holds(table, 0, old, limits):
        splice = _at_front(table, len(old), new)
    elif at_end >= 0 and _holds(table, at_end, old + tarheader.END, limits):
        splice = _at_end(table, at_end, new + tarheader.END)
    else:
        return False
    write_all(descriptor, splice.lead)
    for piece in seeking.copy_range(file, *splice.kept):
        write_all(descriptor, piece)
    write_all(descriptor, splice.trail + zstd_frames.seek_table(list(splice.rows)))
    return True


def _holds(table: SeekTable, offset: int, content: bytes, limits: Limits) -> bool:
    """Whether the tar stream has `content` at `offset`, in frames of its own."""
    if table.boundary(offset) is None or table.boundary(offset + len(content)) is None:
        return False
    return b"".join(table.read(offset, len(content), limits)) == content


def _at_front(table: SeekTable, old_size: int, new: bytes) -> _Splice:
    from bundles.format.model import zstd_frames  # see `_splice`

    count = len(table.file_starts) - 1
    first = table.boundary(old_size) or 0
    while first < count and table.rows(first, first + 1)[0][1] == 0:
        first += 1  # skippable frames after the old front are reserved room
    packed, rows = _packed(new)
    room = table.file_starts[first] - len(packed)
    if room < FILLER_HEAD_BYTES:
        room = FILLER_HEAD_BYTES + SPARE_BYTES
    kept = (table.file_starts[first], table.file_starts[count])
    return _Splice(packed + zstd_frames.filler(room), kept, b"", [*rows, (room, 0), *table.rows(first, count)])


def _at_end(table: SeekTable, at_end: int, new: bytes) -> _Splice:
    first = table.boundary(at_end) or 0
    packed, rows = _packed(new)
    return _Splice(b"", (0, table.file_starts[first]), packed, [*table.rows(0, first), *rows])


def _packed(tar: bytes) -> tuple[bytes, list[tuple[int, int]]]:
    """Tar bytes as frames, and the frames' rows of the seek table."""
    from bundles.format.model import zstd_frames  # see `_splice`

    pieces = [tar[start : start + FRAME_BYTES] for start in range(0, len(tar), FRAME_BYTES)]
    frames = [zstd_frames.compress_frame(piece) for piece in pieces]
    return b"".join(frames), [(len(frame), len(piece)) for frame, piece in zip(frames, pieces, strict=True)]


class _Repacker:
    """A sink that packs every member again, with the new signature."""

    def __init__(self, packer: Packer, verified: VerifiedManifest, signature: bytes) -> None:
        self._packer = packer
        self._signature = signature
        self._sizes = {entry.path: entry.size for entry in verified.manifest.files}
        self._sizes[paths.MANIFEST] = len(verified.raw)
        self._path = ""

    def begin(self, path: str) -> None:
        """Write a member's header, or the complete new signature."""
        self._path = path
        if path == paths.SIGNATURE:
            self._packer.write(tarheader.whole_member(path, self._signature))
        else:
            self._packer.write(tarheader.member_header(path, self._sizes[path]))

    def write(self, data: memoryview) -> None:
        """Pack a member's bytes."""
        if self._path != paths.SIGNATURE:
            self._packer.write(bytes(data))

    def end(self) -> None:
        """Write a member's padding."""
        if self._path != paths.SIGNATURE:
            self._packer.write(bytes(tarheader.padding(self._sizes[self._path])))


def _repack(path: Path, kind: str, *, verified: VerifiedManifest, signature: bytes, keys: KeyRing, out: int) -> None:
    """Write a bundle again from one that is verified at the same time."""
    packer: GzipPacker | ZstdPacker = GzipPacker(out) if kind == "gzip" else ZstdPacker(out)
    try:
        found = verify_bundle(path, keys, sink=_Repacker(packer, verified, signature))
        packer.write(tarheader.END)
        packer.flush()
    finally:
        if isinstance(packer, ZstdPacker):
            packer.close()
    if found.verified.raw != verified.raw:
        raise CannotCheckError("bundle_changed", "The file changed while it was read.")
    if isinstance(packer, ZstdPacker):
        from bundles.format.model import zstd_frames  # see `_splice`

        write_all(out, zstd_frames.seek_table(packer.frames))


def _sealed(descriptor: int, mode: int) -> tuple[int, str]:
    """Set the old bundle's mode and sync; the size and SHA-256 of the new file."""
    try:
        os.fchmod(descriptor, mode)
    except OSError as error:
        raise write_error(error) from error
    sealed = seal(descriptor)
    return sealed.size, sealed.sha256


def _release(staging: Path, target: Path, *, replace: bool) -> None:
    if not replace:
        publish(staging, target)
        return
    try:
        staging.replace(target)
        sync_directory(target.parent)
    except OSError as error:
        raise write_error(error) from error
