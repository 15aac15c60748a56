"""Steps 3 to 5 of the reading plan: manifest.json, manifest.sig, and the consistency of the manifest."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from bundles.format.model.limits import Limits
from tests.support.format_builders import (
    PEOPLE,
    SAMPLE,
    canonical,
    crafted,
    fields_of,
    hashed,
    member,
    ring,
    signed,
    signed_raw,
    signer,
    tar_of,
    verdict,
    zstd,
)

BIG = "artifacts/a-3/disk.img"
ABSENT = object()


def raw_bundle(raw: bytes) -> bytes:
    """A bundle with any bytes as the manifest, correctly signed."""
    return zstd(tar_of(signed_raw(raw)))


def text_of(**changes: Any) -> str:
    return canonical(fields_of(**changes)).decode()


def with_field(where: tuple[str | int, ...], value: Any) -> bytes:
    """The sound manifest with one field replaced (or taken away), hashed and signed again."""

    def change(fields: dict[str, Any]) -> None:
        place: Any = fields
        for step in where[:-1]:
            place = place[step]
        if value is ABSENT:
            del place[where[-1]]
        else:
            place[where[-1]] = value

    fields = fields_of()
    change(fields)
    return zstd(tar_of(signed(hashed(fields))))


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def with_signature(**changes: Any) -> bytes:
    raw, signature = signed(fields_of())
    fields = json.loads(signature) | changes
    return zstd(tar_of((raw, canonical({key: value for key, value in fields.items() if value is not ABSENT}))))


def signature_bytes(raw: bytes) -> bytes:
    return zstd(tar_of((signed(fields_of())[0], raw)))


def unhashed(**changes: Any) -> bytes:
    """Fields changed after the hashes were computed, then signed."""
    return zstd(tar_of(signed(fields_of() | changes)))


def listing(change: Callable[[list[dict[str, Any]]], Any]) -> bytes:
    return crafted(change=lambda fields: change(fields["files"]))


def without(path: str, **changes: Any) -> bytes:
    files = {name: data for name, data in SAMPLE.items() if name != path}
    return crafted(files, **changes)


SOURCE = {"url": "http://x", "fetched_at": "2026-01-31T12:00:00.000000Z", "record_count": 1, "sha256": "0" * 64}
AS_OF = {"at": SOURCE["fetched_at"], "records": 1, "later": 2}
EXTRAS = {"as_of": AS_OF, "equal_records": 1, "repeated_ids": 2, "notes": ["alerts 1, 2 have the id é"]}
WRONG_TYPES = {
    "version: a number": (("version",), 1),
    "incident_id: a number": (("incident_id",), 7),
    "incident_id: a path": (("incident_id",), "../x"),
    "incident_id: nothing": (("incident_id",), ""),
    "incident_id: a line break": (("incident_id",), "incident\n"),
    "created_at: another zone": (("created_at",), "2026-01-31T12:00:00.000000+00:00"),
    "created_at: milliseconds": (("created_at",), "2026-01-31T12:00:00.000Z"),
    "created_at: no such day": (("created_at",), "2026-02-30T12:00:00.000000Z"),
    "created_at: no such year": (("created_at",), "0000-01-01T12:00:00.000000Z"),
    "created_at: Arabic digits": (("created_at",), "\u0662026-01-31T12:00:00.000000Z"),
    "chunk_size: zero": (("chunk_size",), 0),
    "chunk_size: text": (("chunk_size",), "1000"),
    "chunk_size: true": (("chunk_size",), True),
    "chunk_size: 2^63": (("chunk_size",), 2**63),
    "complete: 1": (("complete",), 1),
    "complete: null": (("complete",), None),
    "files: an object": (("files",), {}),
    "files: of text": (("files", 0), "alerts.json"),
    "files: null": (("files",), None),
    "a size: negative": (("files", 0, "size"), -1),
    "a size: true": (("files", 0, "size"), True),
    "a size: text": (("files", 0, "size"), "14"),
    "a digest: capitals": (("files", 0, "sha256"), "A" * 64),
    "a digest: short": (("files", 0, "sha256"), "a" * 63),
    "a path: null": (("files", 0, "path"), None),
    "a file: without a path": (("files", 0, "path"), ABSENT),
    "a file: without a size": (("files", 0, "size"), ABSENT),
    "a file: another field": (("files", 0, "mode"), 420),
    "an artifact: without its id": (("files", 2, "artifact_id"), ABSENT),
    "an artifact: another id": (("files", 2, "artifact_id"), "a-2"),
    "a data member: with an id": (("files", 0, "artifact_id"), "alerts"),
    "chunks: an object": (("files", 4, "chunks"), {}),
    "a chunk: another field": (("files", 4, "chunks", 0, "path"), BIG),
    "a chunk: without an index": (("files", 4, "chunks", 0, "index"), ABSENT),
    "a chunk: a negative offset": (("files", 4, "chunks", 0, "offset"), -1),
    "a chunk: text": (("files", 4, "chunks", 0), "x"),
    "metadata: a list": (("metadata",), []),
    "metadata: another field": (("metadata", "note"), "x"),
    "metadata: without generator": (("metadata", "generator"), ABSENT),
    "generator: a number": (("metadata", "generator"), 1),
    "generator: a lone surrogate": (("metadata", "generator"), "\ud800"),
    "compression: xz": (("metadata", "compression"), "xz"),
    "file_count: text": (("metadata", "file_count"), "6"),
    "total_size: null": (("metadata", "total_size"), None),
    "sources: a list": (("metadata", "sources"), []),
    "a source: text": (("metadata", "sources", "alerts"), "http://x"),
    "a source: no time": (("metadata", "sources", "alerts"), SOURCE | {"fetched_at": "today"}),
    "a source: no digest": (("metadata", "sources", "alerts"), SOURCE | {"sha256": ""}),
    "a source: a count below zero": (("metadata", "sources", "alerts"), SOURCE | {"record_count": -1}),
    "a source: another field": (("metadata", "sources", "alerts"), SOURCE | {"password": "x"}),
    "a source: no equal records": (("metadata", "sources", "alerts"), SOURCE | {"equal_records": 0}),
    "a source: repeated ids in words": (("metadata", "sources", "alerts"), SOURCE | {"repeated_ids": "two"}),
    "a source: a note that is a number": (("metadata", "sources", "alerts"), SOURCE | {"notes": [1]}),
    "a source: as of today": (("metadata", "sources", "alerts"), SOURCE | {"as_of": AS_OF | {"at": "today"}}),
    "a source: as of a time alone": (("metadata", "sources", "alerts"), SOURCE | {"as_of": {"at": AS_OF["at"]}}),
    "a source: nothing came later": (("metadata", "sources", "alerts"), SOURCE | {"as_of": AS_OF | {"later": 0}}),
    "a source: named by a lone surrogate": (("metadata", "sources", "\udfff"), SOURCE),
    "missing: an object": (("missing",), {}),
    "missing: text": (("missing",), ["alerts.json"]),
    "missing: without a reason": (("missing",), [{"path": "alerts.json"}]),
    "missing: path and source": (("missing",), [{"path": "alerts.json", "source": "alerts", "reason": "x"}]),
    "missing: a reason that is a number": (("missing",), [{"source": "alerts", "reason": 1}]),
    "missing: a source that is null": (("missing",), [{"source": None, "reason": "x"}]),
    "missing: a lone surrogate": (("missing",), [{"source": "alerts", "reason": "\udc00"}]),
    "content_digest: short": (("content_digest",), "a"),
    "an unknown field": (("comment",), "hidden"),
    "no created_at": (("created_at",), ABSENT),
    "no missing": (("missing",), ABSENT),
    "no files": (("files",), ABSENT),
    "nesting": (("comment",), nested(40)),
}

CASES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "no manifest": ("manifest_missing", lambda: zstd(member("manifest.sig", signed(fields_of())[1]) + bytes(1024))),
    "nothing at all": ("manifest_missing", lambda: zstd(bytes(1024))),
    "no signature": (
        "signature_missing",
        lambda: zstd(
            member("manifest.json", signed(fields_of())[0])
            + b"".join(member(path, data) for path, data in SAMPLE.items())
            + bytes(1024)
        ),
    ),
    "a signature of 65 KiB": ("signature_too_large", lambda: signature_bytes(signed(fields_of())[1] + b" " * 65_536)),
    "manifest: empty": ("manifest_invalid", lambda: raw_bundle(b"")),
    "manifest: not JSON": ("manifest_invalid", lambda: raw_bundle(b"hello")),
    "manifest: an array": ("manifest_invalid", lambda: raw_bundle(b"[]")),
    "manifest: null": ("manifest_invalid", lambda: raw_bundle(b"null")),
    "manifest: two documents": ("manifest_invalid", lambda: raw_bundle(canonical(fields_of()) + b"{}")),
    "manifest: not UTF-8": ("manifest_invalid", lambda: raw_bundle(b'{"version":"1.1.0\xff"}')),
    "manifest: a byte order mark": ("manifest_invalid", lambda: raw_bundle(b"\xef\xbb\xbf" + canonical(fields_of()))),
    "manifest: UTF-16": ("manifest_invalid", lambda: raw_bundle(text_of().encode("utf-16"))),
    "manifest: a key twice": (
        "manifest_invalid",
        lambda: raw_bundle(text_of().replace('"complete":true', '"complete":true,"complete":true').encode()),
    ),
    "manifest: a key twice, once escaped": (
        "manifest_invalid",
        lambda: raw_bundle(text_of().replace('"complete":true', '"complete":true,"\\u0063omplete":true').encode()),
    ),
    "manifest: a fraction": (
        "manifest_invalid",
        lambda: raw_bundle(text_of().replace('"chunk_size":1000', '"chunk_size":1000.0').encode()),
    ),
    "manifest: an exponent": (
        "manifest_invalid",
        lambda: raw_bundle(text_of().replace('"chunk_size":1000', '"chunk_size":1e3').encode()),
    ),
    "manifest: NaN": (
        "manifest_invalid",
        lambda: raw_bundle(text_of().replace('"chunk_size":1000', '"chunk_size":NaN').encode()),
    ),
    "manifest: infinity": (
        "manifest_invalid",
        lambda: raw_bundle(text_of().replace('"chunk_size":1000', '"chunk_size":-Infinity').encode()),
    ),
    "manifest: a number of 5,000 digits": (
        "manifest_invalid",
        lambda: raw_bundle(text_of().replace('"chunk_size":1000', '"chunk_size":' + "9" * 5000).encode()),
    ),
    "manifest: nested 100,000 deep": ("manifest_invalid", lambda: raw_bundle(b"[" * 100_000 + b"]" * 100_000)),
    "manifest: objects nested 100,000 deep": (
        "manifest_invalid",
        lambda: raw_bundle(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    ),
    "version 2": ("version_unsupported", lambda: crafted(version="2.0.0")),
    "no version": ("version_unsupported", lambda: with_field(("version",), ABSENT)),
    "a version that is a list": ("version_unsupported", lambda: with_field(("version",), ["1.1.0"])),
    "not canonical: blanks": (
        "manifest_not_canonical",
        lambda: raw_bundle(json.dumps(fields_of(), sort_keys=True).encode()),
    ),
    "not canonical: order": (
        "manifest_not_canonical",
        lambda: raw_bundle(json.dumps(dict(reversed(fields_of().items())), separators=(",", ":")).encode()),
    ),
    "not canonical: a line break at the end": (
        "manifest_not_canonical",
        lambda: raw_bundle(canonical(fields_of()) + b"\n"),
    ),
    "not canonical: UTF-8 unescaped": (
        "manifest_not_canonical",
        lambda: raw_bundle(text_of().replace("crafted", "cr\u00e4fted").encode()),
    ),
    "not canonical: needless escapes": (
        "manifest_not_canonical",
        lambda: raw_bundle(text_of().replace("crafted", "cr\\u0061fted").encode()),
    ),
    "not canonical: capital hex": (
        "manifest_not_canonical",
        lambda: raw_bundle(text_of().replace("crafted", "cr\\u00E4fted").encode()),
    ),
    "not canonical: minus zero": (
        "manifest_not_canonical",
        lambda: raw_bundle(text_of().replace('"size":0', '"size":-0').encode()),
    ),
    "a hash that is not the manifest's": ("manifest_hash_mismatch", lambda: unhashed(incident_id="other")),
    "a hash the signature does not name": ("manifest_hash_mismatch", lambda: with_signature(manifest_hash="1" * 64)),
    "a content digest of something else": ("content_digest_mismatch", lambda: crafted(content_digest="1" * 64)),
    "files out of order": ("manifest_inconsistent", lambda: listing(lambda files: files.reverse())),
    "a file listed twice": ("manifest_inconsistent", lambda: listing(lambda files: files.insert(1, files[0]))),
    "file_count wrong": (
        "manifest_inconsistent",
        lambda: crafted(change=lambda fields: fields["metadata"].update(file_count=7)),
    ),
    "total_size wrong": (
        "manifest_inconsistent",
        lambda: crafted(change=lambda fields: fields["metadata"].update(total_size=1)),
    ),
    "a chunk left out": ("manifest_inconsistent", lambda: listing(lambda files: files[4]["chunks"].pop())),
    "a chunk too many": (
        "manifest_inconsistent",
        lambda: listing(
            lambda files: files[4]["chunks"].append({"index": 3, "offset": 2560, "size": 0, "sha256": "0" * 64})
        ),
    ),
    "a chunk in another place": (
        "manifest_inconsistent",
        lambda: listing(lambda files: files[4]["chunks"][1].update(offset=999)),
    ),
    "a chunk of another number": (
        "manifest_inconsistent",
        lambda: listing(lambda files: files[4]["chunks"][1].update(index=5)),
    ),
    "a chunk of another size": (
        "manifest_inconsistent",
        lambda: listing(lambda files: files[4]["chunks"][1].update(size=1001)),
    ),
    "chunks reversed": ("manifest_inconsistent", lambda: listing(lambda files: files[4]["chunks"].reverse())),
    "chunks where none are needed": (
        "manifest_inconsistent",
        lambda: listing(
            lambda files: files[0].update(chunks=[{"index": 0, "offset": 0, "size": 14, "sha256": files[0]["sha256"]}])
        ),
    ),
    "no chunks where they are needed": ("manifest_inconsistent", lambda: listing(lambda files: files[4].pop("chunks"))),
    "an empty list of chunks where they are needed": (
        "manifest_invalid",
        lambda: listing(lambda files: files[4].update(chunks=[])),
    ),
    "complete, but something missing": (
        "manifest_inconsistent",
        lambda: crafted(missing=[{"source": "alerts", "reason": "down"}]),
    ),
    "not complete, but nothing missing": ("manifest_inconsistent", lambda: crafted(complete=False)),
    "a file listed and missing": (
        "manifest_inconsistent",
        lambda: crafted(missing=[{"path": "alerts.json", "reason": "x"}], complete=False),
    ),
    "a data member neither listed nor missing": ("manifest_inconsistent", lambda: without("alerts.json")),
    "a data member of another source missing": (
        "manifest_inconsistent",
        lambda: without("alerts.json", missing=[{"source": "timeline", "reason": "x"}], complete=False),
    ),
    "an empty list of chunks where none are needed": (
        "manifest_invalid",
        lambda: listing(lambda files: files[0].update(chunks=[])),
    ),
    "a missing path that cannot be": (
        "path_invalid",
        lambda: crafted(missing=[{"path": "../x", "reason": "x"}], complete=False),
    ),
} | {
    what: (
        "version_unsupported" if where == ("version",) else "manifest_invalid",
        lambda w=where, v=value: with_field(w, v),
    )
    for what, (where, value) in WRONG_TYPES.items()
}


@pytest.mark.parametrize("what", CASES)
def test_it_is_refused_with_its_code(what, tmp_path):
    code, make = CASES[what]
    assert verdict(make(), tmp_path) == code


def test_what_is_missing_may_be_named_by_path_or_by_source(tmp_path):
    for gap in ({"path": "alerts.json", "reason": "down"}, {"source": "alerts", "reason": "down"}):
        assert verdict(without("alerts.json", missing=[gap], complete=False), tmp_path) == "verified"
    gone = [{"path": "artifacts/a-9/x", "reason": "gone"}]
    assert verdict(crafted(missing=gone, complete=False), tmp_path) == "verified"


def test_all_fields_of_the_format_are_read(tmp_path):
    change = {"compression": "gzip", "sources": {"alerts": SOURCE}}
    assert verdict(crafted(change=lambda fields: fields["metadata"].update(change)), tmp_path) == "verified"
    identity = {"adapter": "a", "adapter_version": "1", "profile": "p", "system": "s", "ref": "r"}
    some: list[dict[str, Any]] = [EXTRAS, {"notes": []}, {"as_of": AS_OF}, {"equal_records": 3}, identity]
    for extras in (*some, {"severities": "suricata", "times": {"zone": "UTC"}}):
        change["sources"] = {"alerts": SOURCE | extras}
        assert verdict(crafted(change=lambda fields: fields["metadata"].update(change)), tmp_path) == "verified"


def test_bounds_of_manifest_signature_and_files(tmp_path):
    sound = crafted()
    assert verdict(sound, tmp_path, limits=Limits(manifest_bytes=500)) == "manifest_too_large"
    assert verdict(sound, tmp_path, limits=Limits(signature_bytes=500)) == "signature_too_large"
    assert verdict(sound, tmp_path, limits=Limits(files=5)) == "manifest_invalid"
    assert verdict(sound, tmp_path, limits=Limits(files=6)) == "verified"


def test_a_manifest_is_not_used_before_its_signature_is_checked(tmp_path):
    """For an unknown signer the report names the signer, not errors in the manifest's fields."""
    stranger = signer("stranger")
    for fields in (fields_of(), fields_of(incident_id="../x"), fields_of(created_at=5), hashed({"version": "1.1.0"})):
        assert verdict(zstd(tar_of(signed(fields, stranger))), tmp_path, ring()) == "signer_unknown"


def test_sorting_is_by_code_points(tmp_path):
    names = ["artifacts/a/\uffee", "artifacts/b/\U0001f600"]
    files = PEOPLE | dict.fromkeys(names, b"x") | {"artifacts/a/\U0001f600": b"y"}
    listed = [entry["path"] for entry in fields_of(files)["files"]]
    assert listed[2:4] == ["artifacts/a/\uffee", "artifacts/a/\U0001f600"]
    assert verdict(crafted(files), tmp_path) == "verified"
