"""Bundles that are verified: each shape a writer may give them, and each size and name that looks odd and is not."""

from __future__ import annotations

import json
import zlib
from typing import Any

from fuzz import corpus
from fuzz.corpus import Draft
from fuzz.signer import MOMENT
from tests.vectors.parts import (
    ALL_KEYS,
    COSIGNER,
    DISK,
    FORMER,
    IMAGE,
    MIB,
    NOTE,
    SIGNER,
    STRANGER,
    THREE,
    TWO_KEYS,
    WHOLE,
    at,
    frame_of,
    joined,
    new,
    repeated,
    resigned,
    seal,
    unframed,
    verified,
    whole,
    without_chunks,
)

Made = tuple[bytes, dict[str, Any]]
SOURCES = {"timeline": 1, "alerts": 1, "artifacts": 4}


def source(name: str) -> dict[str, Any]:
    """What a manifest says of one source."""
    return {
        "fetched_at": MOMENT,
        "record_count": SOURCES[name],
        "sha256": corpus.sha256(name.encode()),
        "url": f"https://{name}.example/incident-7",
    }


def packed(draft: Draft) -> Made:
    return draft.pack(), draft.fields


@verified()
def good_zstd() -> Made:
    """The usual bundle: manifest and signature in front, a filler, the payload, a seek table."""
    draft = new(files=WHOLE)
    draft.fields["metadata"]["sources"] = {name: source(name) for name in SOURCES}
    return packed(seal(draft))


@verified()
def good_source_extras() -> Made:
    """What a manifest may say of a source beside the usual: as of when, equal records, repeated ids, notes."""
    draft = new(files=WHOLE)
    extras = {
        "as_of": {"at": MOMENT, "later": 3, "records": 1},
        "equal_records": 1,
        "notes": ["1 alert was left out, equal to an earlier one in every byte (at position 2)"],
        "repeated_ids": 1,
    }
    draft.fields["metadata"]["sources"] = {name: source(name) for name in SOURCES}
    draft.fields["metadata"]["sources"]["alerts"] |= extras
    return packed(seal(draft))


@verified()
def good_gzip() -> Made:
    """A gzip bundle: one gzip member, payload first."""
    return packed(whole("gzip"))


@verified()
def good_payload_first() -> Made:
    """A zstd bundle whose manifest and signature stand behind the payload, as a pipe gives it."""
    return packed(whole("payload-first"))


@verified()
def good_no_seek_table() -> Made:
    """A single zstd frame with neither filler nor seek table."""
    draft = whole()
    return unframed(draft), draft.fields


@verified()
def good_many_fillers() -> Made:
    """Skippable frames of zeros may have any of the sixteen magics and stand between any frames."""
    draft = whole("payload-first")
    frames = draft.frames()
    frames[1:1] = [(corpus.skippable(0x184D2A50, bytes(5)), 0), (corpus.skippable(0x184D2A5F, b""), 0)]
    return joined(frames), draft.fields


@verified()
def good_small_frames() -> Made:
    """Frames of 1,000 bytes of the tar stream each, so that headers and files lie across them."""
    draft = whole("payload-first")
    tar = draft.tar()
    return joined([frame_of(tar[start : start + 1000]) for start in range(0, len(tar), 1000)]), draft.fields


@verified()
def good_gzip_name() -> Made:
    """A gzip header that holds a file's name, as gzip itself puts it."""
    draft = whole("gzip")
    plain = zlib.compress(draft.tar(), 6, 31)
    return plain[:3] + b"\x08" + plain[4:10] + b"incident-7.tar\0" + plain[10:], draft.fields


@verified()
def good_members_in_another_order() -> Made:
    """Members in no particular order: the signature, the files from last to first, the manifest."""
    draft = whole("payload-first")
    *payload, manifest, signature = draft.members
    draft.members = [signature, *reversed(payload), manifest]
    return packed(draft)


@verified()
def good_no_artifacts() -> Made:
    """An incident without artifacts: three data members and nothing else."""
    data = {path: content for path, content in WHOLE.items() if "/" not in path}
    draft = new(files=data | {"artifacts.json": b"[]"})
    return packed(seal(draft))


@verified()
def good_partial() -> Made:
    """A partial bundle: the alerts' source and one artifact are missing and named; it is verified and not complete."""
    kept = {path: data for path, data in WHOLE.items() if path not in {"alerts.json", NOTE}}
    draft = new(files=kept)
    draft.fields["complete"] = False
    draft.fields["missing"] = [
        {"reason": "The source did not answer.", "source": "alerts"},
        {"path": NOTE, "reason": "The file was not in the store."},
    ]
    return packed(seal(draft))


@verified()
def good_salt_32() -> Made:
    """A signature with a salt of 32 bytes instead of the largest."""
    draft = whole()
    told = SIGNER.fields(draft.raw, draft.fields["manifest_hash"], SIGNER.pss(draft.raw, 32))
    return packed(resigned(draft, told))


@verified(keys=("keys/cosigner.pem",), weak=False)
def good_key_of_3072_bits() -> Made:
    """The signer's key has 3,072 bits, the fewest that may sign today; the other vectors' key has 2,048."""
    return packed(seal(new(files=WHOLE), COSIGNER))


@verified(keys=("keys/three.pem",))
def good_exponent_of_3() -> Made:
    """The signer's exponent is 3, and weak keys are allowed."""
    return packed(seal(new(files=WHOLE), THREE))


@verified(keys=ALL_KEYS)
def good_one_key_of_many() -> Made:
    """Several keys are trusted and one is revoked; the one that signed is trusted."""
    return packed(whole())


@verified(keys=TWO_KEYS, require=2)
def good_cosigned() -> Made:
    """Two signatures by two trusted keys, and two are demanded."""
    draft = whole()
    other = COSIGNER.fields(draft.raw, draft.fields["manifest_hash"])
    return packed(resigned(draft, draft.signature | {"cosignatures": [other]}))


@verified(keys=ALL_KEYS)
def good_cosigned_by_others() -> Made:
    """Co-signatures by an unknown and by a revoked key count for nothing, and do no harm, be they right or wrong."""
    draft = whole()
    told = draft.fields["manifest_hash"]
    others = [STRANGER.fields(b"another message", told), FORMER.fields(draft.raw, told)]
    return packed(resigned(draft, draft.signature | {"cosignatures": others}))


@verified()
def good_signature_pretty() -> Made:
    """manifest.sig need not be canonical JSON; only its fields count."""
    draft = whole()
    return packed(resigned(draft, json.dumps(draft.signature, indent=2).encode() + b"\n"))


@verified()
def good_long_path() -> Made:
    """A path of more than 100 bytes, in a pax header and cut in the ustar header."""
    path = f"artifacts/a-5/{'long-' * 30}name.txt"
    draft = seal(new(files=WHOLE | {path: b"far away\n"}))
    place = at(draft, path)
    header, data = draft.members[place]
    draft.members[place] = (corpus.pax(("path", path.encode())) + header, data)
    return packed(draft)


@verified()
def good_odd_names() -> Made:
    """Names with blanks, quotes, percent signs, characters beyond the BMP, and 255 bytes of UTF-8."""
    names = (
        " two  blanks ",
        "-rf",
        'it\'s "quoted"; $(x)',
        "C:%5CTemp%5Ca.exe",
        "\U0001f50d\u6f22.txt",
        "\u00ed" * 127,
    )
    files = {f"artifacts/odd-{number}/{name}": name.encode() for number, name in enumerate(names)}
    return packed(seal(new(files=WHOLE | files)))


@verified()
def good_sorted_by_code_point() -> Made:
    """Paths are ordered by code points, not by UTF-16 units: U+FFFD comes before U+1F50D."""
    files = {f"artifacts/a-5/{name}": b"x" for name in ("\U0001f50d", "\ufffd", "B", "a", "Z")}
    return packed(seal(new(files=WHOLE | files)))


@verified()
def good_chunk_edges() -> Made:
    """Files of one chunk exactly (no chunks), of one byte more, and of two chunks exactly."""
    files = {f"artifacts/edge-{size}/data": b"\xa5" * size for size in (999, 1000, 1001, 2000)}
    return packed(seal(new(files=WHOLE | files)))


@verified()
def good_sparse() -> Made:
    """A disk image of 6 MiB of zeros, which takes a few hundred bytes here; honest evidence may be so."""
    draft = seal(without_chunks(new(files=WHOLE | {DISK: bytes(6 * MIB)}), 16 * MIB))
    place = at(draft, DISK)
    tar = [header + data for header, data in draft.members]
    before = b"".join(tar[:place]) + draft.members[place][0]
    after = b"".join(tar[place + 1 :]) + draft.end
    zeros = (repeated(b"\0", 2 * MIB), 2 * MIB)
    return joined([frame_of(before), zeros, zeros, zeros, frame_of(after)]), draft.fields


@verified()
def good_legacy() -> Made:
    """A bundle of version 1.0.0: a pretty-printed manifest, signed in its canonical form."""
    return packed(whole("legacy"))


@verified()
def good_legacy_chunks() -> Made:
    """A bundle of version 1.0.0 with its chunks in one list at the top, each with its path."""
    draft = new("legacy", WHOLE)
    chunks = corpus.file_entry(DISK, WHOLE[DISK], chunks=True)["chunks"]
    draft.fields |= {"chunk_size": corpus.CHUNK_SIZE, "chunks": [one | {"path": DISK} for one in chunks]}
    return packed(seal(draft))


@verified()
def good_legacy_headers() -> Made:
    """A bundle of version 1.0.0 with headers of another writer (owner, times, pax mtime) and more zero blocks."""
    draft = whole("legacy")
    members = []
    for header, data in draft.members:
        block = bytearray(header[-512:])
        block[100:124], block[136:148] = b"0000600\0" + b"0001750\0" * 2, b"15037760000\0"
        block[265:272] = b"analyst"
        pax = header[:-512] or corpus.pax(("mtime", b"1769860800.5"))
        members.append((pax + corpus.checksummed(block), data))
    draft.members, draft.end = members, bytes(10_240)
    return packed(draft)


@verified()
def good_legacy_headers_of_python() -> Made:
    """A bundle of version 1.0.0 as Python's tarfile wrote it: `?` in the header for what is not ASCII."""
    draft = whole("legacy")
    place = at(draft, IMAGE)
    header, data = draft.members[place]
    name = IMAGE.encode("ascii", "replace").ljust(100, b"\0")
    draft.members[place] = (header[:-512] + corpus.checksummed(name + header[-412:]), data)
    return packed(draft)


@verified()
def good_timeline_without_incident() -> Made:
    """timeline.json names no incident; events of it may name others."""
    timeline = b'{"event_count":1,"events":[\n{"incident_id":"incident-8"}\n]}'
    return packed(seal(new(files=WHOLE | {"timeline.json": timeline})))


@verified()
def good_legacy_timeline_envelope() -> Made:
    """A bundle of version 1.0.0 whose timeline stands in an object around it and names the manifest's incident."""
    timeline = b'{"timeline": {"events": [{"timestamp": "t1"}], "incident_id": "incident\\u002d7"}}'
    return packed(seal(new("legacy", WHOLE | {"timeline.json": timeline})))
