"""Every bound on what is read and written, in one place; units are in the names. A reader uses nothing beyond these."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

# Files larger than one chunk get a digest for each chunk.
DEFAULT_CHUNK_MIB, MAX_CHUNK_MIB = 256, 65_536


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of reading one bundle.

    Attributes:
        manifest_bytes: `manifest.json` as stored.
        whole_manifest_bytes: a manifest that must be parsed in one piece because it is not a canonical 1.1 manifest;
            half of this if it is not ASCII (text then takes up to four bytes a character).
        signature_bytes: `manifest.sig` as stored.
        manifest_values: values in a manifest that is parsed in one piece.
        files: files and gaps that a manifest lists.
        json_depth: nesting of JSON; the outermost value has depth 1.
        window_bytes: zstd window of a frame, which bounds the memory that decompressing takes.
        frame_bytes: content of a frame that is decompressed in one go; larger frames are streamed.
        ratio: decompressed to compressed bytes of the whole file. 2 MiB of zeros in one frame reach about 25,000, and
            a sparse disk image is legitimate evidence.
        ratio_grace_bytes: decompressed bytes before the ratio applies.
        total_bytes: decompressed bytes of the whole file.
        path_bytes: a member's path in UTF-8.
        pax_bytes: the body of one pax header.
        whole_json_bytes: a data member of an older bundle, which must be parsed in one piece.
        record_bytes: one record of a data member.
        stall_s: seconds to wait for more bytes from a pipe.
    """

    manifest_bytes: int = 32 * MIB
    whole_manifest_bytes: int = 16 * MIB
    signature_bytes: int = 64 * KIB
    manifest_values: int = 300_000
    files: int = 200_000
    json_depth: int = 16
    window_bytes: int = 8 * MIB
    frame_bytes: int = 8 * MIB
    ratio: int = 30_000
    ratio_grace_bytes: int = 64 * MIB
    total_bytes: int = 16 * 1024 * GIB
    path_bytes: int = 1024
    pax_bytes: int = 16 * KIB
    whole_json_bytes: int = 512 * MIB
    record_bytes: int = 64 * MIB
    stall_s: float = 600.0


DEFAULT_LIMITS = Limits()
