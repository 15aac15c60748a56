"""What vectors are made of: the register of all, their keys, and drafts that are changed before they are sealed.

Nothing here or beside it imports the reader or the writer: what is expected follows from docs/bundle-format.md alone.
"""

from __future__ import annotations

import inspect
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from fuzz import corpus
from fuzz.corpus import Draft
from tests.vectors.signers import Signer

SIGNER = Signer("signer")
COSIGNER = Signer("cosigner", 3072)
TWIN = Signer("cosigner", 3072, 65539)  # the cosigner's modulus under another exponent
THREE = Signer("three-1", 3072, 3)
FORMER = Signer("former")
STRANGER = Signer("stranger")
PUBLISHED = {
    "keys/signer.pem": SIGNER,
    "keys/cosigner.pem": COSIGNER,
    "keys/twin.pem": TWIN,
    "keys/three.pem": THREE,
    "keys/revoked/former.pem": FORMER,
}
ONE_KEY = ("keys/signer.pem",)
TWO_KEYS = ("keys/signer.pem", "keys/cosigner.pem")
TWIN_KEYS = ("keys/cosigner.pem", "keys/twin.pem")
ALL_KEYS = ("keys",)

NOTE, EMPTY, DISK = "artifacts/a-1/note.txt", "artifacts/a-2/empty.bin", "artifacts/a-3/disk.img"
IMAGE = "artifacts/a-4/\u00edmynd.dd"


def records(*paths: str) -> bytes:
    """artifacts.json for these artifacts."""
    parts = [path.split("/") for path in paths]
    told = [{"artifact_id": one, "collected_at": "2026-01-30T10:00:00Z", "name": name} for _, one, name in parts]
    return b"[\n" + b",\n".join(map(corpus.canonical, told)) + b"\n]"


FEW = {
    "timeline.json": b'{"event_count":1,"events":[\n{"timestamp":"t1"}\n],"incident_id":"incident-7"}',
    "alerts.json": b'[\n{"id":"1","timestamp":"t1"}\n]',
    "artifacts.json": records(NOTE),
    NOTE: b"what was seen\n",
}
WHOLE = FEW | {
    "artifacts.json": records(NOTE, EMPTY, DISK, IMAGE),
    EMPTY: b"",
    DISK: b"0123456789abcdef" * 160,  # 2,560 bytes: three chunks of 1,000
    IMAGE: bytes(700),
}
MIB = 1 << 20


@dataclass(frozen=True)
class Vector:
    """One file to be made.

    Attributes:
        name: of the file, without its suffix.
        code: why it is refused; None for one that is verified.
        why: one sentence for a person.
        keys: whom to trust, relative to this folder.
        require: how many trusted keys must have signed.
        weak: keys below 3,072 bits, as the usual signer's, and exponents below 65537 are allowed.
        make: gives the bundle, and for one that is verified its manifest.
    """

    name: str
    code: str | None
    why: str
    keys: tuple[str, ...]
    require: int
    weak: bool
    make: Callable[[], tuple[bytes, dict[str, Any]]]


REGISTER: dict[str, Vector] = {}


def verified(
    *, keys: tuple[str, ...] = ONE_KEY, require: int = 1, weak: bool = True
) -> Callable[[Callable[[], Any]], None]:
    """The decorated function makes a bundle (and its manifest) that is verified; its docstring says why."""
    return lambda make: _add(Vector(make.__name__, None, inspect.getdoc(make) or "", keys, require, weak, make))


def refused(
    code: str, *, keys: tuple[str, ...] = ONE_KEY, require: int = 1, weak: bool = True
) -> Callable[[Callable[[], bytes]], None]:
    """The decorated function makes a bundle that is refused with `code`; its docstring says why."""
    return lambda make: also_refused(
        make.__name__, code, inspect.getdoc(make) or "", make, keys=keys, require=require, weak=weak
    )


def also_refused(
    name: str,
    code: str,
    why: str,
    make: Callable[[], bytes],
    *,
    keys: tuple[str, ...] = ONE_KEY,
    require: int = 1,
    weak: bool = True,
) -> None:
    """The same for one of many that are made alike."""
    _add(Vector(name, code, why, keys, require, weak, lambda: (make(), {})))


def _add(vector: Vector) -> None:
    vector = replace(vector, name=vector.name.replace("_", "-"), why=" ".join(vector.why.split()))
    if vector.name in REGISTER or not vector.why:
        raise ValueError(vector.name)
    REGISTER[vector.name] = vector


class Small(Draft):
    """A draft that is packed small: the front, the filler and one frame for the rest; otherwise two frames."""

    def frames(self) -> list[tuple[bytes, int]]:
        """The zstd frames and their content sizes."""
        tar = self.tar()
        front = sum(len(header + data) for header, data in self.members[:2])
        filler = [(corpus.skippable(0x184D2A5D, bytes(9)), 0)] if self.shape == "zstd" else []
        return [frame_of(tar[:front]), *filler, frame_of(tar[front:])]


def frame_of(content: bytes) -> tuple[bytes, int]:
    """One zstd frame and its content size."""
    return corpus.frame(content, 19), len(content)


def joined(frames: list[tuple[bytes, int]]) -> bytes:
    """A file of these frames and the seek table that tells them."""
    table = corpus.seek_table([(len(one), size) for one, size in frames])
    return b"".join(one for one, _ in frames) + table


def new(shape: str = "zstd", files: dict[str, bytes] | None = None) -> Draft:
    """A sound bundle that nobody has signed yet, in one of the corpus's shapes, of few files unless told."""
    held = dict(FEW if files is None else files)
    fields = corpus.fields_of(held, shape)
    if shape != "legacy":
        fields["metadata"] |= {"generator": "test vectors", "sources": {}}
    return Small(shape, fields, b"", None, held)


def seal(draft: Draft, by: Signer = SIGNER, *, hashes: bool = True, raw: bytes | None = None) -> Draft:
    """Make digests (unless `hashes` says no), manifest (unless it is given), signature and members, in this order."""
    if hashes:
        corpus.hashed(draft.fields)
    draft.raw = corpus.raw_of(draft.fields, draft.shape) if raw is None else raw
    draft.signature = by.fields(draft.message(), str(draft.fields["manifest_hash"]))
    draft.lay_out()
    return draft


def sound(shape: str = "zstd") -> Draft:
    """A sound bundle of few files, signed."""
    return seal(new(shape))


def whole(shape: str = "zstd") -> Draft:
    """A sound bundle of every kind of file, signed."""
    return seal(new(shape, WHOLE))


def resigned(draft: Draft, signature: Any) -> Draft:
    """The same with another manifest.sig: its fields, or its bytes."""
    draft.signature = signature
    draft.lay_out()
    return draft


def without_chunks(draft: Draft, chunk_size: int) -> Draft:
    """The same with chunks so large that no file has any."""
    draft.fields["chunk_size"] = chunk_size
    for entry in draft.fields["files"]:
        entry.pop("chunks", None)
    return draft


def at(draft: Draft, path: str) -> int:
    """Where the member of that path stands among the members; its header may be preceded by a pax header."""
    name = path.encode()[:100]
    return next(i for i, (header, _) in enumerate(draft.members) if header[-512:-412].rstrip(b"\0") == name)


def retyped(header: bytes, kind: bytes, link: bytes = b"") -> bytes:
    """A header block with another type and link name, its checksum right."""
    block = header[:156] + kind + link.ljust(100, b"\0") + header[257:]
    return corpus.checksummed(block)


def unframed(draft: Draft) -> bytes:
    """One zstd frame without filler and seek table."""
    return frame_of(draft.tar())[0]


def repeated(byte: bytes, size: int) -> bytes:
    """One zstd frame of `size` equal bytes (RFC 8878, 3.1.1): blocks of the type RLE, made by hand, no checksum."""
    blocks = [min(128 * 1024, size - start) for start in range(0, size, 128 * 1024)]
    heads = [(length << 3 | 0b010 | (number == len(blocks))) for number, length in enumerate(blocks, 1)]
    return struct.pack("<IBI", 0xFD2FB528, 0xA0, size) + b"".join(head.to_bytes(3, "little") + byte for head in heads)


def pretty(draft: Draft) -> bytes:
    """The manifest as people like to read it."""
    return json.dumps(draft.fields, indent=1, sort_keys=True).encode()
