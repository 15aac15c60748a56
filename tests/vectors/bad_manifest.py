"""Refused for the manifest (steps 3 to 5): it is missing, malformed, not canonical, or it contradicts itself.

All of these are signed by the trusted key, so that nothing but the rule in question can refuse them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from fuzz import corpus
from fuzz.corpus import Draft
from tests.vectors.parts import (
    DISK,
    MIB,
    NOTE,
    SIGNER,
    WHOLE,
    also_refused,
    new,
    pretty,
    refused,
    repeated,
    seal,
    sound,
    whole,
)


@refused("manifest_missing")
def no_manifest() -> bytes:
    """There is no manifest.json."""
    draft = sound("payload-first")
    del draft.members[-2]
    return draft.pack()


@refused("manifest_too_large")
def manifest_of_more_than_32_mib() -> bytes:
    """A manifest.json of one byte more than 32 MiB, most of it blanks; else it is a sound bundle of version 1.0.0."""
    draft = sound("legacy")
    text = draft.raw
    blanks = 32 * MIB + 1 - len(text)
    payload = b"".join(header + data for header, data in draft.members[:-2])
    signature = b"".join(draft.members[-1])
    front = payload + corpus.ustar(b"manifest.json", 32 * MIB + 1) + text
    frames = [corpus.frame(front), *[repeated(b" ", 8 * MIB)] * 3, repeated(b" ", blanks - 24 * MIB)]
    return b"".join(frames) + corpus.frame(bytes(511) + signature + draft.end)


def file_of(fields: dict[str, Any], path: str) -> dict[str, Any]:
    return next(entry for entry in fields["files"] if entry["path"] == path)


def changed(
    change: Callable[[dict[str, Any]], Any], shape: str = "zstd", files: dict[str, bytes] | None = None
) -> bytes:
    """A bundle whose manifest was changed before its digests and its signature were made."""
    draft = new(shape, files)
    change(draft.fields)
    return seal(draft).pack()


def rewritten(change: Callable[[bytes], bytes]) -> bytes:
    """A bundle whose manifest's text was changed before it was signed."""
    return seal(new(), raw=change(sound().raw)).pack()


INVALID_TEXTS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "duplicate_key": (
        "A key stands twice in the manifest: some parsers take the first, some the last.",
        lambda raw: raw.replace(b'"incident_id":', b'"incident_id":"incident-8","incident_id":', 1),
    ),
    "float": ("A number with a fraction stands in the manifest.", lambda raw: raw.replace(b":1000,", b":1000.0,", 1)),
    "not_a_number": (
        "NaN, which is not JSON, stands in the manifest.",
        lambda raw: raw.replace(b":1000,", b":NaN,", 1),
    ),
    "lone_surrogate": (
        "Half of a surrogate pair stands in the manifest.",
        lambda raw: raw.replace(b'"test vectors"', b'"test \\ud800"', 1),
    ),
    "byte_order_mark": ("A byte order mark stands before the manifest.", lambda raw: b"\xef\xbb\xbf" + raw),
    "not_utf8": ("The manifest is not UTF-8.", lambda raw: raw.replace(b"test vectors", b"test \xff\xfe", 1)),
}
for name, (why, rewrite) in INVALID_TEXTS.items():
    also_refused(f"manifest_{name}", "manifest_invalid", why, partial(rewritten, rewrite))

INVALID_FIELDS: dict[str, tuple[str, Callable[[dict[str, Any]], Any]]] = {
    "unknown_field": ("The manifest has a field that no manifest has.", lambda fields: fields.update(note="x")),
    "field_missing": ("The manifest has no created_at.", lambda fields: fields.pop("created_at")),
    "null": ("null stands where text must be.", lambda fields: fields["metadata"].update(generator=None)),
    "true_for_a_number": ("true stands where a number must be.", lambda fields: fields.update(chunk_size=True)),
    "number_of_2_63": ("A number of 2^63.", lambda fields: file_of(fields, NOTE).update(size=2**63)),
    "negative_size": ("A file of less than no bytes.", lambda fields: file_of(fields, NOTE).update(size=-1)),
    "capital_digest": (
        "A digest in capital letters.",
        lambda fields: file_of(fields, NOTE).update(sha256=corpus.sha256(WHOLE[NOTE]).upper()),
    ),
    "time_of_no_day": (
        "The thirtieth of February.",
        lambda fields: fields.update(created_at="2026-02-30T12:00:00.000000Z"),
    ),
    "incident_id_of_other_letters": (
        "An incident id with a slash.",
        lambda fields: fields.update(incident_id="../incident-7"),
    ),
    "artifact_id_of_another": (
        "An artifact's id is not that of its path.",
        lambda fields: file_of(fields, NOTE).update(artifact_id="a-2"),
    ),
}
for name, (why, change) in INVALID_FIELDS.items():
    also_refused(f"manifest_{name}", "manifest_invalid", why, partial(changed, change))


@refused("manifest_invalid")
def legacy_nested_too_deep() -> bytes:
    """metadata of a bundle of version 1.0.0, which may hold anything, nests 17 deep."""
    nested: dict[str, Any] = {}
    for _ in range(16):
        nested = {"deeper": nested}
    return changed(lambda fields: fields.update(metadata=nested), "legacy")


@refused("manifest_too_large")
def legacy_manifest_of_more_than_16_mib() -> bytes:
    """A manifest of version 1.0.0 of a byte more than 16 MiB, most of it blanks."""
    draft = sound("legacy")
    draft.raw = draft.raw.ljust(16 * MIB + 1)
    draft.lay_out()
    return draft.pack()


@refused("manifest_invalid")
def manifest_of_200_001_gaps() -> bytes:
    """A manifest that lists 200,001 files and gaps."""
    gap = {"reason": "", "source": "a"}
    return changed(lambda fields: fields.update(complete=False, missing=[gap] * (200_001 - len(fields["files"]))))


@refused("manifest_invalid")
def legacy_manifest_of_300_001_values() -> bytes:
    """metadata of a bundle of version 1.0.0, which may hold anything, has more than 300,000 values."""
    return changed(lambda fields: fields.update(metadata={"a": [0] * 300_000}), "legacy")


@refused("version_unsupported")
def version_of_the_future() -> bytes:
    """Version 1.2.0, of which a reader of 1.1.0 cannot know what it means."""
    return changed(lambda fields: fields.update(version="1.2.0"))


def uncanonical(rewrite: Callable[[Draft], bytes]) -> bytes:
    return seal(new(files=WHOLE), raw=rewrite(whole())).pack()


NOT_CANONICAL: dict[str, tuple[str, Callable[[Draft], bytes]]] = {
    "pretty": ("The manifest is pretty-printed, which only version 1.0.0 may be.", pretty),
    "line_feed": ("A line feed stands behind the manifest.", lambda draft: draft.raw + b"\n"),
    "unescaped": (
        "A character beyond ASCII is not escaped.",
        lambda draft: draft.raw.replace(b"\\u00ed", "\u00ed".encode()),
    ),
    "needless_escape": ("A letter is escaped.", lambda draft: draft.raw.replace(b"incident-7", b"incident\\u002d7")),
    "unsorted": (
        "The keys are not sorted.",
        lambda draft: b'{"version":"1.1.0",' + draft.raw[1:].replace(b',"version":"1.1.0"}', b"}"),
    ),
    "minus_zero": ("A size of -0.", lambda draft: draft.raw.replace(b'"size":0}', b'"size":-0}')),
}
for name, (why, rewrite_draft) in NOT_CANONICAL.items():
    also_refused(
        f"not_canonical_{name}",
        "manifest_not_canonical",
        why,
        partial(uncanonical, rewrite_draft),
    )


@refused("manifest_hash_mismatch")
def manifest_hash_of_another() -> bytes:
    """manifest_hash is not that of the manifest's fields."""
    draft = sound()
    draft.fields["manifest_hash"] = corpus.sha256(b"another")
    return seal(draft, hashes=False).pack()


@refused("manifest_hash_mismatch")
def signature_names_another_manifest() -> bytes:
    """The signature is right, but the manifest_hash beside it is another's."""
    draft = sound()
    draft.signature = SIGNER.fields(draft.raw, corpus.sha256(b"another"))
    draft.lay_out()
    return draft.pack()


def digest_of_another(shape: str) -> bytes:
    draft = sound(shape)
    fields = draft.fields | {"content_digest": corpus.sha256(b"another")}
    del fields["manifest_hash"]
    draft.fields = fields | {"manifest_hash": corpus.sha256(corpus.canonical(fields))}
    return seal(draft, hashes=False).pack()


@refused("content_digest_mismatch")
def content_digest_of_another() -> bytes:
    """content_digest is not that of the listed files."""
    return digest_of_another("zstd")


@refused("content_digest_mismatch")
def legacy_content_digest_of_another() -> bytes:
    """content_digest is not that of the listed files, in a bundle of version 1.0.0, which need not have one."""
    return digest_of_another("legacy")


def one_more(fields: dict[str, Any], name: str) -> None:
    fields["metadata"][name] += 1


def without(fields: dict[str, Any], path: str) -> None:
    entry = file_of(fields, path)
    fields["files"].remove(entry)
    fields["metadata"]["file_count"] -= 1
    fields["metadata"]["total_size"] -= entry["size"]


def twice(fields: dict[str, Any]) -> None:
    entry = file_of(fields, NOTE)
    fields["files"].insert(fields["files"].index(entry), entry)
    fields["metadata"]["file_count"] += 1
    fields["metadata"]["total_size"] += entry["size"]


def missing(fields: dict[str, Any], **gap: str) -> None:
    fields.update(complete=False, missing=[gap | {"reason": "It was not there."}])


def untold_gap(fields: dict[str, Any]) -> None:
    missing(fields, source="notes")
    fields["complete"] = True


def chunks(fields: dict[str, Any]) -> list[dict[str, Any]]:
    return list(file_of(fields, DISK)["chunks"])


def overlapping(fields: dict[str, Any]) -> None:
    part = WHOLE[DISK][900:1900]
    chunks(fields)[1].update(offset=900, sha256=corpus.sha256(part))


def small_chunks(fields: dict[str, Any]) -> None:
    digest = corpus.sha256(WHOLE[NOTE])
    file_of(fields, NOTE)["chunks"] = [{"index": 0, "offset": 0, "sha256": digest, "size": len(WHOLE[NOTE])}]


INCONSISTENT: dict[str, tuple[str, Callable[[dict[str, Any]], Any]]] = {
    "file_count": ("file_count is one too many.", lambda fields: one_more(fields, "file_count")),
    "total_size": ("total_size is one too many.", lambda fields: one_more(fields, "total_size")),
    "files_out_of_order": ("The files are not sorted by path.", lambda fields: fields["files"].reverse()),
    "file_listed_twice": ("A file is listed twice.", twice),
    "complete_with_gaps": (
        "complete is true while something is missing.",
        untold_gap,
    ),
    "incomplete_without_gaps": (
        "complete is false while nothing is missing.",
        lambda fields: fields.update(complete=False),
    ),
    "listed_and_missing": ("A file is listed and missing.", lambda fields: missing(fields, path=NOTE)),
    "timeline_untold": ("The timeline is neither listed nor missing.", lambda fields: without(fields, "timeline.json")),
    "chunks_with_a_gap": (
        "The last chunk of a file is not listed.",
        lambda fields: file_of(fields, DISK)["chunks"].pop(),
    ),
    "chunks_that_overlap": ("Two chunks of a file overlap.", overlapping),
    "chunks_needed": ("A file larger than a chunk has no chunks.", lambda fields: file_of(fields, DISK).pop("chunks")),
    "chunks_not_needed": ("A file smaller than a chunk has chunks.", small_chunks),
}
for name, (why, change) in INCONSISTENT.items():
    also_refused(f"inconsistent_{name}", "manifest_inconsistent", why, partial(changed, change, files=WHOLE))


@refused("manifest_inconsistent")
def legacy_chunks_with_a_gap() -> bytes:
    """The chunks of a file do not reach its end, in a bundle of version 1.0.0."""
    listed = corpus.file_entry(DISK, WHOLE[DISK], chunks=True)["chunks"][:-1]
    return changed(lambda fields: fields.update(chunks=[one | {"path": DISK} for one in listed]), "legacy", WHOLE)
