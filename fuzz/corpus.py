"""Good bundles in parts, from which mutants are made; built without the product's writer.

A `Draft` keeps each layer separate (fields, signature, members, frames), so that any of them can be mutated.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any

import zstandard

from fuzz.signer import MOMENT, signature_fields

SHAPES = ("zstd", "gzip", "payload-first", "legacy")
CHUNK_SIZE = 1000
FILES = {
    "timeline.json": b'{"event_count":1,"events":[\n{"timestamp":"t1"}\n],"incident_id":"incident-7"}',
    "alerts.json": b'[\n{"id":"1","timestamp":"t1"}\n]',
    "artifacts.json": b"[]",
    "artifacts/a-1/note.txt": b"what was seen\n",
    "artifacts/a-2/empty.bin": b"",
    "artifacts/a-3/disk.img": bytes(range(256)) * 10,
    "artifacts/a-4/\u00edmynd.dd": b"\0" * 700,
}
Listing = tuple[str, tuple[tuple[str, int, str], ...]]
Member = tuple[bytes, bytes]  # header blocks (pax included), data with padding


def canonical(value: Any) -> bytes:
    """Canonical JSON, as the format defines it."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("utf-8")


def sha256(data: bytes) -> str:
    """Hex digest."""
    return hashlib.sha256(data).hexdigest()


def ustar(name: bytes, size: int, kind: bytes = b"0") -> bytes:
    """One header block as version 1.1 prescribes it."""
    block = bytearray(512)
    block[: len(name[:100])] = name[:100]
    block[100:148] = b"0000644\0" + b"0000000\0" * 2 + b"%011o\0" % size + b"00000000000\0"
    block[156:157], block[257:265], block[329:345] = kind, b"ustar\x0000", b"0000000\0" * 2
    return checksummed(block)


def checksummed(block: bytes | bytearray) -> bytes:
    """The header with its checksum recomputed."""
    block = bytearray(block)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(data: bytes) -> bytes:
    """`data` padded with zeros to a full block."""
    return data + bytes(-len(data) % 512)


def pax(*records: tuple[str, bytes]) -> bytes:
    """A pax `x` member with these records."""
    body = b""
    for keyword, value in records:
        rest = b" " + keyword.encode() + b"=" + value + b"\n"
        body += str(next(n for n in range(len(rest), 9999) if len(str(n)) + len(rest) == n)).encode() + rest
    return ustar(b"PaxHeader", len(body), b"x") + padded(body)


@lru_cache(1024)
def member(path: str, data: bytes) -> Member:
    """A member as version 1.1 prescribes it."""
    name = path.encode()
    return (b"" if path.isascii() else pax(("path", name))) + ustar(name, len(data)), padded(data)


@cache
def _compressor(level: int, *, checksum: bool, content_size: bool) -> zstandard.ZstdCompressor:
    return zstandard.ZstdCompressor(level=level, write_checksum=checksum, write_content_size=content_size)


@lru_cache(1024)
def frame(content: bytes, level: int = 3, *, write_checksum: bool = True, write_content_size: bool = True) -> bytes:
    """One zstd frame; cached, as mutants share most of them."""
    return _compressor(level, checksum=write_checksum, content_size=write_content_size).compress(content)


def skippable(magic: int, content: bytes) -> bytes:
    """One skippable frame."""
    return struct.pack("<II", magic, len(content)) + content


def seek_table(rows: list[tuple[int, int]]) -> bytes:
    """The seek table for frames of these sizes."""
    body = b"".join(struct.pack("<II", *row) for row in rows)
    return skippable(0x184D2A5E, body + struct.pack("<IBI", len(rows), 0, 0x8F92EAB1))


@dataclass
class Draft:
    """A bundle in parts.

    Attributes:
        shape: one of `SHAPES`.
        fields: the manifest.
        raw: the bytes of manifest.json.
        signature: manifest.sig as fields, or as bytes.
        files: the payload, in the order of the tar stream.
        members: the tar members in order, made from the parts above by `lay_out`.
        end: what follows the last member.
    """

    shape: str
    fields: dict[str, Any]
    raw: bytes
    signature: Any
    files: dict[str, bytes] = field(default_factory=lambda: dict(FILES))
    members: list[Member] = field(default_factory=list)
    end: bytes = bytes(1024)

    def message(self) -> bytes:
        """The bytes that are signed."""
        return canonical(self.fields) if self.shape == "legacy" else self.raw

    def sign(self) -> None:
        """Sign the current manifest with the trusted key."""
        claimed = self.fields.get("manifest_hash")
        self.signature = signature_fields(self.message(), claimed if isinstance(claimed, str) else "0" * 64)

    def lay_out(self) -> None:
        """Build the tar members from the parts."""
        sig = self.signature if isinstance(self.signature, bytes) else canonical(self.signature)
        front = [member("manifest.json", self.raw), member("manifest.sig", sig)]
        payload = [member(path, data) for path, data in self.files.items()]
        self.members = front + payload if self.shape == "zstd" else payload + front

    def tar(self) -> bytes:
        """The tar stream."""
        return b"".join(header + data for header, data in self.members) + self.end

    def frames(self) -> list[tuple[bytes, int]]:
        """The zstd frames and their content sizes: for the front, the filler, and for the payload."""
        if self.shape != "zstd":
            return [(frame(piece), len(piece)) for piece in _cut(self.tar(), 3000)]
        front = b"".join(header + data for header, data in self.members[:2])
        made = [(frame(front), len(front)), (skippable(0x184D2A5D, bytes(90)), 0)] if front else []
        rest = b"".join(header + data for header, data in self.members[2:]) + self.end
        return made + [(frame(piece), len(piece)) for piece in _cut(rest, 3000)]

    def pack(self) -> bytes:
        """The whole bundle."""
        if self.shape == "gzip":
            return zlib.compress(self.tar(), 6, 31)  # gzip.compress names another system from Python 3.13 on
        frames = self.frames()
        table = b"" if self.shape == "legacy" else seek_table([(len(one), size) for one, size in frames])
        return b"".join(one for one, _ in frames) + table


def file_entry(path: str, data: bytes, *, chunks: bool) -> dict[str, Any]:
    """The manifest's entry for a file."""
    entry: dict[str, Any] = {"path": path, "sha256": sha256(data), "size": len(data)}
    if path.startswith("artifacts/"):
        entry["artifact_id"] = path.split("/")[1]
    if chunks and len(data) > CHUNK_SIZE:
        entry["chunks"] = [
            {"index": index, "offset": index * CHUNK_SIZE, "sha256": sha256(part), "size": len(part)}
            for index, part in enumerate(_cut(data, CHUNK_SIZE))
        ]
    return entry


def hashed(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields with both digests recomputed where possible."""
    try:
        listed = [[entry["path"], entry["size"], entry["sha256"]] for entry in fields["files"]]
        fields["content_digest"] = sha256(canonical(listed))
    except (KeyError, TypeError):
        pass
    fields["manifest_hash"] = sha256(canonical({key: value for key, value in fields.items() if key != "manifest_hash"}))
    return fields


def fields_of(files: dict[str, bytes], shape: str) -> dict[str, Any]:
    """A valid manifest of `files`."""
    entries = [file_entry(path, files[path], chunks=shape != "legacy") for path in sorted(files)]
    fields: dict[str, Any] = {"created_at": MOMENT, "files": entries, "incident_id": "incident-7"}
    if shape == "legacy":
        return hashed(fields | {"version": "1.0.0"})
    metadata = {
        "compression": "gzip" if shape == "gzip" else "zstd",
        "file_count": len(files),
        "generator": "fuzz",
        "sources": {"alerts": {"fetched_at": MOMENT, "record_count": 1, "sha256": "0" * 64, "url": "http://a.test/"}},
        "total_size": sum(map(len, files.values())),
    }
    own = {"chunk_size": CHUNK_SIZE, "complete": True, "metadata": metadata, "missing": [], "version": "1.1.0"}
    return hashed(fields | own)


def raw_of(fields: Any, shape: str) -> bytes:
    """The usual bytes of a manifest: canonical, or pretty-printed in older bundles."""
    return json.dumps(fields, indent=1).encode() if shape == "legacy" else canonical(fields)


@cache
def _original(shape: str) -> bytes:
    fields = fields_of(FILES, shape)
    draft = Draft(shape, fields, raw_of(fields, shape), None)
    draft.sign()
    return canonical([fields, draft.raw.decode(), draft.signature])


def original(shape: str) -> Draft:
    """A new copy of the good bundle of that shape."""
    fields, raw, signature = json.loads(_original(shape))
    draft = Draft(shape, fields, raw.encode(), signature)
    draft.lay_out()
    return draft


def listing_of(fields: dict[str, Any]) -> Listing:
    """Incident id, and path, size and digest of every file."""
    rows = sorted((entry["path"], entry["size"], entry["sha256"]) for entry in fields["files"])
    return fields["incident_id"], tuple(rows)


@cache
def original_listing() -> Listing:
    """The listing of every original."""
    return listing_of(fields_of(FILES, "zstd"))


def _cut(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]
