"""Reads an accepted bundle with tarfile, zstandard and hashlib alone, without the product's code."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile

import zstandard

from fuzz.corpus import Listing

GZIP_MAGIC = b"\x1f\x8b"
MOST_BYTES = 64 << 20


class OracleError(Exception):
    """An accepted bundle contradicts its manifest."""


def unpacked(bundle: bytes) -> bytes:
    """The tar stream."""
    if bundle.startswith(GZIP_MAGIC):
        return gzip.decompress(bundle)
    with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(bundle), read_across_frames=True) as stream:
        return stream.read(MOST_BYTES)


def read(bundle: bytes) -> Listing:
    """The bundle's listing: incident id, and path, size and digest of each file, hashed here.

    Raises:
        OracleError: a file is duplicate, missing, extra, or not as the manifest lists it.
    """
    found: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(unpacked(bundle)), mode="r:") as archive:
        for entry in archive:
            stream = archive.extractfile(entry)
            if not entry.isreg() or stream is None:
                raise OracleError(f"{entry.name} is not a regular file")
            if entry.name in found:
                raise OracleError(f"{entry.name} is duplicate")
            found[entry.name] = stream.read()
    manifest = json.loads(found.pop("manifest.json"))
    del found["manifest.sig"]
    said = sorted((entry["path"], entry["size"], entry["sha256"]) for entry in manifest["files"])
    held = sorted((path, len(data), hashlib.sha256(data).hexdigest()) for path, data in found.items())
    if said != held:
        raise OracleError("the manifest does not list exactly the files present")
    for entry in manifest["files"]:
        for part in entry.get("chunks", []):
            piece = found[entry["path"]][part["offset"] : part["offset"] + part["size"]]
            if hashlib.sha256(piece).hexdigest() != part["sha256"]:
                raise OracleError(f"a chunk of {entry['path']} has another digest")
    return manifest["incident_id"], tuple(held)
