"""Bundles for tests: valid ones, and crafted ones built byte by byte and signed by a key of the test's choice.

Headers, canonical JSON, digests and frames are built here without the product's code, so that reader and writer are
tested against a second implementation of the format.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import struct
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import zstandard
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from bundles.format.model.limits import DEFAULT_LIMITS, Limits
from bundles.format.model.signing import KeyRing, SigningKey, TrustedKey
from bundles.format.reading.report import VerificationReport, check_bundle
from bundles.format.writing.payload import Payload
from bundles.format.writing.writer import WrittenBundle, write_bundle

INCIDENT = "incident-7"
MOMENT = "2026-01-31T12:00:00.000000Z"
CHUNK_SIZE = 1000
PEOPLE = {
    "timeline.json": b'{"event_count":1,"events":[\n{"timestamp":"t1"}\n],"incident_id":"incident-7"}',
    "alerts.json": b'[\n{"id":"1","timestamp":"t1"}\n]',
    "artifacts.json": b"[]",
}
SAMPLE = PEOPLE | {
    "artifacts/a-1/note.txt": b"what was seen\n",
    "artifacts/a-2/empty.bin": b"",
    "artifacts/a-3/disk.img": bytes(range(256)) * 10,  # 2,560 bytes: three chunks of 1,000
}


@dataclass(frozen=True)
class Signer:
    """A key pair, and signatures as the format defines them."""

    private: rsa.RSAPrivateKey
    name: str

    @property
    def pem(self) -> bytes:
        return self.private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    @property
    def public_pem(self) -> bytes:
        return self.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    @property
    def key_id(self) -> str:
        der = self.private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return hashlib.sha256(der).hexdigest()

    def raw_signature(self, message: bytes, *, salt: Any = padding.PSS.MAX_LENGTH, digest: Any = None) -> bytes:
        digest = digest or hashes.SHA256()
        return self.private.sign(message, padding.PSS(mgf=padding.MGF1(digest), salt_length=salt), digest)

    def signature(self, message: bytes, manifest_hash: str, *, salt: Any = padding.PSS.MAX_LENGTH) -> dict[str, Any]:
        return {
            "algorithm": "RSA-PSS-SHA256",
            "key_id": self.key_id,
            "manifest_hash": manifest_hash,
            "signature": base64.b64encode(self.raw_signature(message, salt=salt)).decode(),
            "signed_at": MOMENT,
        }


def signer(name: str = "signer", bits: int = 3072) -> Signer:
    """A signer for this test run, the same for each name and size."""
    return _signer(name, bits)


@cache
def _signer(name: str, bits: int) -> Signer:
    return Signer(rsa.generate_private_key(public_exponent=65537, key_size=bits), name)


@cache
def signing_key(name: str = "signer") -> SigningKey:
    """The same key as the writer's type."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "key.pem"
        path.write_bytes(signer(name).pem)
        return SigningKey.load(path)


def ring(*trusted: Signer, revoked: Iterable[Signer] = ()) -> KeyRing:
    """A key ring of these signers; of the usual signer if none is given."""
    known = [(one, False) for one in trusted] + [(one, True) for one in revoked]
    return KeyRing(
        tuple(
            TrustedKey(one.key_id, one.name, gone, one.private.public_key())
            for one, gone in known or [(signer(), False)]
        )
    )


def key_folder(directory: Path, *trusted: Signer) -> Path:
    """A directory of public keys, one `<name>.pem` per signer."""
    directory.mkdir(parents=True, exist_ok=True)
    for one in trusted or (signer(),):
        (directory / f"{one.name}.pem").write_bytes(one.public_pem)
    return directory


def canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def file_entry(path: str, data: bytes, chunk_size: int = CHUNK_SIZE) -> dict[str, Any]:
    entry: dict[str, Any] = {"path": path, "sha256": sha256(data), "size": len(data)}
    if path.startswith("artifacts/"):
        entry["artifact_id"] = path.split("/")[1]
    if len(data) > chunk_size:
        starts = range(0, len(data), chunk_size)
        pieces = [data[start : start + chunk_size] for start in starts]
        entry["chunks"] = [
            {"index": index, "offset": index * chunk_size, "sha256": sha256(piece), "size": len(piece)}
            for index, piece in enumerate(pieces)
        ]
    return entry


def fields_of(
    files: Mapping[str, bytes] = SAMPLE, *, change: Callable[[dict[str, Any]], Any] | None = None, **changes: Any
) -> dict[str, Any]:
    """A 1.1 manifest of `files`; `changes` replace fields, `change` edits them; then the hashes are recomputed."""
    fields: dict[str, Any] = {
        "chunk_size": CHUNK_SIZE,
        "complete": True,
        "created_at": MOMENT,
        "files": [file_entry(path, files[path]) for path in sorted(files)],
        "incident_id": INCIDENT,
        "metadata": {
            "compression": "zstd",
            "file_count": len(files),
            "generator": "crafted",
            "sources": {},
            "total_size": sum(map(len, files.values())),
        },
        "missing": [],
        "version": "1.1.0",
    } | changes
    if change is not None:
        change(fields)
    return hashed(fields)


def hashed(fields: dict[str, Any]) -> dict[str, Any]:
    """`fields` with the manifest hash recomputed, and the content digest where it is absent."""
    try:
        listed = [[entry["path"], entry["size"], entry["sha256"]] for entry in fields["files"]]
    except (KeyError, TypeError):
        listed = []
    fields.setdefault("content_digest", sha256(canonical(listed)))
    fields["manifest_hash"] = sha256(canonical({key: fields[key] for key in fields if key != "manifest_hash"}))
    return fields


def signed(fields: dict[str, Any], by: Signer | None = None) -> tuple[bytes, bytes]:
    """manifest.json and manifest.sig for `fields`."""
    raw = canonical(fields)
    return raw, canonical((by or signer()).signature(raw, fields.get("manifest_hash", "0" * 64)))


def signed_raw(raw: bytes, by: Signer | None = None) -> tuple[bytes, bytes]:
    """Any bytes as manifest.json, and a signature over them."""
    return raw, canonical((by or signer()).signature(raw, "0" * 64))


def ustar(name: bytes, size: int, kind: bytes = b"0", **fields: bytes) -> bytes:
    """One header block; `fields` replace mode, mtime, magic, link, prefix, uname, tail, sizetext, device."""
    block = b"".join(
        [
            name.ljust(100, b"\0")[:100],
            fields.get("mode", b"0000644\0"),
            fields.get("uid", b"0000000\0"),
            b"0000000\0",
            fields.get("sizetext", b"%011o\0" % size),
            fields.get("mtime", b"00000000000\0"),
            b" " * 8,
            kind,
            fields.get("link", b"").ljust(100, b"\0"),
            fields.get("magic", b"ustar\00000"),
            fields.get("uname", b"").ljust(32, b"\0"),
            bytes(32),
            fields.get("device", b"0000000\0" * 2),
            fields.get("prefix", b"").ljust(155, b"\0"),
            fields.get("tail", bytes(12)),
        ]
    )
    assert len(block) == 512
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def pax_record(keyword: str, value: bytes) -> bytes:
    rest = b" " + keyword.encode() + b"=" + value + b"\n"
    length = next(n for n in range(len(rest), len(rest) + 9) if len(str(n)) + len(rest) == n)
    return str(length).encode() + rest


def pax(*records: bytes, kind: bytes = b"x") -> bytes:
    body = b"".join(records)
    return ustar(b"PaxHeader", len(body), kind) + padded(body)


def member(path: str, data: bytes) -> bytes:
    """A member as version 1.1 prescribes it (sizes below 8 GiB)."""
    name = path.encode()
    lead = pax(pax_record("path", name)) if len(name) > 100 or not path.isascii() else b""
    return lead + ustar(name[:100], len(data)) + padded(data)


def tar_of(
    pair: tuple[bytes, bytes], files: Mapping[str, bytes] = SAMPLE, *, extra: bytes = b"", end: bytes = bytes(1024)
) -> bytes:
    """A whole tar archive: manifest, signature, payload, `extra` members, end mark."""
    front = member("manifest.json", pair[0]) + member("manifest.sig", pair[1])
    return front + b"".join(member(path, data) for path, data in files.items()) + extra + end


def frame(content: bytes, **options: Any) -> bytes:
    return zstandard.ZstdCompressor(level=3, write_checksum=True, **options).compress(content)


def skippable(magic: int, content: bytes) -> bytes:
    return struct.pack("<II", magic, len(content)) + content


def seek_table(sizes: Iterable[tuple[int, int]]) -> bytes:
    rows = [struct.pack("<II", *row) for row in sizes]
    return skippable(0x184D2A5E, b"".join(rows) + struct.pack("<IBI", len(rows), 0, 0x8F92EAB1))


def zstd(tar: bytes, *, frame_bytes: int = 2 * 1024 * 1024, table: bool = True) -> bytes:
    pieces = [tar[start : start + frame_bytes] for start in range(0, len(tar), frame_bytes)]
    frames = [frame(piece) for piece in pieces]
    sizes = [(len(packed), len(piece)) for packed, piece in zip(frames, pieces, strict=True)]
    return b"".join(frames) + (seek_table(sizes) if table else b"")


def gzipped(tar: bytes) -> bytes:
    return gzip.compress(tar, mtime=0)


def crafted(
    files: Mapping[str, bytes] = SAMPLE, *, change: Callable[[dict[str, Any]], Any] | None = None, **changes: Any
) -> bytes:
    """A zstd bundle whose manifest is changed before the trusted key signs it."""
    return zstd(tar_of(signed(fields_of(files, change=change, **changes)), files))


SOUND: Callable[[], bytes] = cache(lambda: crafted())  # noqa: PLW0108 # a bundle that verifies; made once


def report_of(
    bundle: bytes, tmp_path: Path, keys: KeyRing | None = None, limits: Limits = DEFAULT_LIMITS
) -> VerificationReport:
    path = tmp_path / "bundle"
    path.write_bytes(bundle)
    return check_bundle(path, keys or ring(), limits=limits)


def verdict(bundle: bytes, tmp_path: Path, keys: KeyRing | None = None, limits: Limits = DEFAULT_LIMITS) -> str:
    """`verified`, or the code for which the bundle is refused."""
    report = report_of(bundle, tmp_path, keys, limits)
    assert report.verified is (report.error is None)
    return report.error.code if report.error else "verified"


def payloads_of(files: Mapping[str, bytes]) -> list[Payload]:
    def opener(data: bytes) -> Callable[[], io.BytesIO]:
        return lambda: io.BytesIO(data)

    return [Payload(path=path, size=len(data), open=opener(data)) for path, data in files.items()]


def written(out: Path, files: Mapping[str, bytes] = SAMPLE, **options: Any) -> WrittenBundle:
    """A bundle by the product's own writer."""
    usual: dict[str, Any] = {"incident_id": INCIDENT, "payloads": payloads_of(files), "key": signing_key()}
    return write_bundle(out, **(usual | options))
