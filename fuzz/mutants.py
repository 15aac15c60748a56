"""Mutants: each is determined by a seed and a number, and changes one layer of a good bundle, sometimes two.

To simulate a signer as the attacker, some mutants are signed again by the trusted key after the change.
"""

from __future__ import annotations

import base64
import copy
import gzip
import json
import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fuzz import corpus
from fuzz.corpus import Draft

NUMBERS = (-1, 0, 1, 2, 255, 256, 999, 1001, 65535, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64, 10**30)
VALUES: tuple[Any, ...] = (
    None, True, False, 0.5, 1e300, "", "0", "../x", "a" * 300, "\ud800", "\u202e", "\0", [], {}, [[]], {"a": 1},
    *NUMBERS,
)  # fmt: skip
FIELDS = (
    (0, 100), (100, 108), (108, 116), (116, 124), (124, 136), (136, 148), (148, 156), (156, 157), (157, 257),
    (257, 265), (265, 297), (297, 329), (329, 337), (337, 345), (345, 500), (500, 512),
)  # fmt: skip
TEXTS = (
    b"manifest.json", b"manifest.sig", b"alerts.json", b"../x", b"/etc/x", b"artifacts/a-1/note.txt", b"artifacts/",
    b"artifacts/../x/y", b"0000001", b"7" * 12, b"\x80" + bytes(11), b"\xff" * 12, b"-1", b" 12 ", b"9", b"\0a",
)  # fmt: skip
NAMES = ("artifacts/a-9/x", "artifacts/a-1/note.txt", "alerts.json", "../x", "artifacts/..", "manifest.json", "a\0b")


@dataclass(frozen=True)
class Mutant:
    """One bundle to read.

    Attributes:
        layer: where it was changed.
        resigned: the trusted key signed the changed manifest.
        bundle: the file.
    """

    layer: str
    resigned: bool
    bundle: bytes


def mutant(seed: int, number: int) -> Mutant:
    """Mutant `number` of `seed`; deterministic."""
    draw = random.Random(f"{seed}/{number}")
    draft = corpus.original(draw.choice(corpus.SHAPES))
    layer = draw.choice(tuple(LAYERS))
    resigned = False
    if layer in {"bytes", "frames"}:
        bundle = LAYERS[layer](draw, draft)
    else:
        resigned = bool(LAYERS[layer](draw, draft))
        bundle = draft.pack()
    if draw.random() < 0.05:
        bundle = damaged(draw, bundle)
    return Mutant(layer, resigned, bundle)


def damaged(draw: random.Random, data: bytes) -> bytes:
    """Bytes flipped, set, inserted, deleted, repeated, or cut off."""
    out = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        at = draw.randrange(len(out) + 1)
        length = draw.choice((1, 1, 2, 4, 8, 512))
        kind = draw.randrange(6)
        if kind == 0 and at < len(out):
            out[at] ^= 1 << draw.randrange(8)
        elif kind == 1 and at < len(out):
            out[at] = draw.choice((0, 1, 0x7F, 0x80, 0xFF))
        elif kind == 2:
            out[at:at] = draw.randbytes(length)
        elif kind == 3:
            del out[at : at + length]
        elif kind == 4:
            out[at:at] = out[at : at + length]
        elif draw.random() < 0.3:
            del out[at:]
    return bytes(out)


def _bytes(draw: random.Random, draft: Draft) -> bytes:
    return damaged(draw, draft.pack())


def _frames(draw: random.Random, draft: Draft) -> bytes:
    """Drop, double, swap or recompress frames; insert skippable ones; change the seek table."""
    if draft.shape == "gzip":
        return _gzip(draw, draft.tar())
    frames = draft.frames()
    for _ in range(draw.choice((1, 1, 2))):
        if not frames:
            break
        at, other, kind = draw.randrange(len(frames)), draw.randrange(len(frames)), draw.randrange(7)
        if kind == 0:
            del frames[at]
        elif kind == 1:
            frames.insert(at, frames[other])
        elif kind == 2:
            frames[at], frames[other] = frames[other], frames[at]
        elif kind == 3:
            magic = draw.randrange(0x184D2A50, 0x184D2A60)
            content = bytes(draw.choice((0, 1, 9, 17, 700))) + draw.choice((b"", b"", b"x"))
            frames.insert(at, (corpus.skippable(magic, content), 0))
        elif kind == 4:
            frames = _recompressed(draw, draft.tar())
        elif kind == 5:
            frames[at] = (damaged(draw, frames[at][0]), frames[at][1])
        else:
            frames = [frames[at], *frames]
    rows = [(len(packed), size) for packed, size in frames]
    return b"".join(packed for packed, _ in frames) + _table(draw, rows)


def _recompressed(draw: random.Random, tar: bytes) -> list[tuple[bytes, int]]:
    size = draw.choice((300, 512, 1024, 4000, 1 << 20))
    options: dict[str, Any] = {
        "level": draw.choice((-5, 1, 3, 9, 19)),
        "write_checksum": draw.random() < 0.5,
        "write_content_size": draw.random() < 0.6,
    }
    pieces = [tar[start : start + size] for start in range(0, len(tar), size)]
    return [(corpus.frame(piece, **options), len(piece)) for piece in pieces]


def _table(draw: random.Random, rows: list[tuple[int, int]]) -> bytes:
    kind = draw.randrange(8)
    if kind == 0:
        return b""
    if kind == 1 and rows:
        at = draw.randrange(len(rows))
        rows[at] = (draw.choice((rows[at][0] + 1, 0, 2**32 - 1)), rows[at][1])
    elif kind == 2 and rows:
        rows.pop(draw.randrange(len(rows)))
    elif kind == 3:
        return damaged(draw, corpus.seek_table(rows))
    elif kind == 4:
        return corpus.seek_table(rows) * 2
    return corpus.seek_table(rows)


def _gzip(draw: random.Random, tar: bytes) -> bytes:
    kind = draw.randrange(6)
    packed = gzip.compress(tar, draw.randrange(10), mtime=draw.choice((0, 1)))
    if kind == 0:
        return packed * 2
    if kind == 1:
        return packed[:3] + bytes([draw.randrange(256)]) + packed[4:10] + draw.randbytes(3) + b"\0" + packed[10:]
    if kind == 2:
        return gzip.compress(tar[:3000], mtime=0) + gzip.compress(tar[3000:], mtime=0)
    if kind == 3:
        return packed + draw.choice((b"\0", b"x" * 9, gzip.compress(b"", mtime=0), bytes(512)))
    if kind == 4:
        return packed[:-8] + draw.randbytes(8)
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    return squeeze.compress(tar) + squeeze.flush(draw.choice((zlib.Z_SYNC_FLUSH, zlib.Z_FINISH))) + draw.randbytes(1)


def _tar(draw: random.Random, draft: Draft) -> bool:
    """Set header fields and recompute the checksum; drop, double, swap or add members; change padding and end."""
    for _ in range(draw.choice((1, 1, 1, 2))):
        members = draft.members
        if not members:
            break
        at, other, kind = draw.randrange(len(members)), draw.randrange(len(members)), draw.randrange(10)
        if kind < 4:
            members[at] = (_header(draw, members[at][0]), members[at][1])
        elif kind == 4:
            del members[at]
        elif kind == 5:
            members.insert(at, members[other])
        elif kind == 6:
            members[at], members[other] = members[other], members[at]
        elif kind == 7:
            name, content = draw.choice(NAMES), draw.choice((b"", b"x", b"[]"))
            members.insert(at, (corpus.ustar(name.encode(), len(content)), corpus.padded(content)))
        elif kind == 8:
            members[at] = (members[at][0], damaged(draw, members[at][1]))
        else:
            draft.end = draw.choice((b"", bytes(512), bytes(1536), bytes(10240), b"x" * 512, bytes(1024) + b"x" * 512))
    return False


def _header(draw: random.Random, header: bytes) -> bytes:
    kind = draw.randrange(6)
    if kind == 0:
        keyword = draw.choice(
            ("path", "size", "mtime", "uid", "linkpath", "GNU.sparse.size", "SCHILY.xattr.a", "comment")
        )
        return corpus.pax((keyword, draw.choice((*TEXTS, b"0", b"14", b"9" * 19)))) + header
    if kind == 1:
        return (
            corpus.checksummed(header[:156] + bytes([draw.choice(b"\x00\x01123456789gxLKSVMD")]) + header[157:512])
            + (header[512:])
        )
    at = draw.randrange(0, len(header), 512)
    block = bytearray(header[at : at + 512])
    first, last = draw.choice(FIELDS)
    value = draw.choice((*TEXTS, draw.randbytes(last - first), bytes(last - first)))[: last - first]
    block[first : first + len(value)] = value
    fixed = bytes(block) if draw.random() < 0.2 else corpus.checksummed(block)
    return header[:at] + fixed + header[at + 512 :]


def _json(draw: random.Random, draft: Draft) -> bool:
    """Change the manifest's values, keys or text; maybe recompute its digests; maybe sign it again."""
    for _ in range(draw.choice((1, 1, 2))):
        _change_tree(draw, draft.fields)
    if draw.random() < 0.6:
        corpus.hashed(draft.fields)
    draft.raw = corpus.raw_of(draft.fields, draft.shape)
    if draw.random() < 0.25:
        draft.raw = _text(draw, draft.raw)
    return _sign(draw, draft)


def _change_tree(draw: random.Random, tree: Any) -> None:
    """One change somewhere in a JSON value, in place."""
    places = [tree]
    for place in places:
        values = place.values() if isinstance(place, dict) else place
        places.extend(value for value in values if isinstance(value, dict | list) and value)
    place = draw.choice(places)
    keys = list(place) if isinstance(place, dict) else list(range(len(place)))
    key, kind = draw.choice(keys), draw.randrange(6)
    if kind == 0:
        del place[key]
    elif kind == 1 and isinstance(place, dict):
        place[draw.choice(("", "x", "version ", "chunks", "path", "\ud800", "artifact_id"))] = draw.choice(VALUES)
    elif kind == 2 and isinstance(place, list):
        place.insert(key, copy.deepcopy(draw.choice(place)))
    elif kind == 3 and isinstance(place[key], int):
        place[key] = draw.choice((place[key] + 1, place[key] - 1, float(place[key]), *NUMBERS))
    elif kind == 4 and isinstance(place[key], str):
        place[key] = draw.choice((place[key].upper(), place[key] + " ", place[key][:-1], "0" * 64, *NAMES))
    else:
        place[key] = copy.deepcopy(draw.choice(VALUES))
    if not tree:
        tree["version"] = "1.1.0"


def _text(draw: random.Random, raw: bytes) -> bytes:
    """Change the text so that other parsers may read it differently."""
    kind = draw.randrange(8)
    if kind == 0:
        return raw[:-1] + b',"incident_id":"other"}'
    if kind == 1:
        return raw + draw.choice((b"\n", b" ", b"{}", b"\0"))
    if kind == 2:
        return b"\xef\xbb\xbf" + raw
    if kind == 3:
        return raw.replace(b":1", draw.choice((b":1.0", b":1e0", b":01", b":NaN", b":-0", b":1E400")), 1)
    if kind == 4:
        depth = draw.choice((10, 17, 100, 5000))
        return raw[:-1] + b',"zz":' + b"[" * depth + b"]" * depth + b"}"
    if kind == 5:
        return raw.replace(b"incident-7", draw.choice((b"incident\\u002d7", b"incident-7\\u0000", b"incident-\xff")), 1)
    if kind == 6:
        return raw.decode().encode(draw.choice(("utf-16", "utf-8", "utf-32")))
    return damaged(draw, raw)


def _sign(draw: random.Random, draft: Draft) -> bool:
    resigned = draw.random() < 0.4  # not more, as signing takes as long as reading
    if resigned:
        if draft.shape == "legacy":
            try:  # the signature of an older bundle covers the canonical form of its parsed text
                draft.fields = dict(json.loads(draft.raw))
            except (ValueError, TypeError, RecursionError):
                resigned = False
        draft.sign()
    draft.lay_out()
    return resigned


def _payload(draw: random.Random, draft: Draft) -> bool:
    """Change, rename, add, drop or reorder files; maybe rebuild the manifest for them."""
    for _ in range(draw.choice((1, 1, 2))):
        path = draw.choice(tuple(draft.files)) if draft.files else "alerts.json"
        kind = draw.randrange(5)
        if kind == 0:
            draft.files[path] = damaged(draw, draft.files.get(path, b""))
        elif kind == 1:
            draft.files[draw.choice(NAMES)] = draw.randbytes(draw.choice((0, 1, 1000, 1001)))
        elif kind == 2:
            draft.files.pop(path, None)
        elif kind == 3:
            draft.files[draw.choice(NAMES)] = draft.files.pop(path, b"")
        else:
            items = list(draft.files.items())
            draw.shuffle(items)
            draft.files = dict(items)
    if draw.random() < 0.6:
        draft.fields = corpus.fields_of(draft.files, draft.shape)
        draft.raw = corpus.raw_of(draft.fields, draft.shape)
    return _sign(draw, draft)


def _signature(draw: random.Random, draft: Draft) -> bool:
    """Change fields, text or bytes of manifest.sig; add cosignatures, one of them wrong."""
    fields, kind = draft.signature, draw.randrange(6)
    if kind == 0:
        fields["signature"] = base64.b64encode(damaged(draw, base64.b64decode(fields["signature"]))).decode()
    elif kind == 1:
        fields["cosignatures"] = [copy.deepcopy(fields) for _ in range(draw.choice((1, 2, 32, 33)))]
        _change_tree(draw, fields["cosignatures"][0])
    elif kind == 2:
        draft.signature = damaged(draw, corpus.canonical(fields))
    elif kind == 3:
        text = fields["signature"]
        fields["signature"] = draw.choice(
            (text + "=", text.rstrip("="), text + "\n", text[:9] + " " + text[9:], "*", text * 9)
        )
    elif kind == 4:
        draft.signature = _text(draw, corpus.canonical(fields))
    else:
        _change_tree(draw, fields)
    draft.lay_out()
    return False


LAYERS: dict[str, Callable[[random.Random, Draft], Any]] = {
    "bytes": _bytes,
    "frames": _frames,
    "tar": _tar,
    "json": _json,
    "payload": _payload,
    "signature": _signature,
}
