"""The order of the reading plan: nothing is used before it is authentic; verified objects cannot be constructed."""

from __future__ import annotations

import pytest

from bundles.format.model.errors import STEPS, BundleRejectedError, CannotCheckError
from bundles.format.model.limits import DEFAULT_LIMITS
from bundles.format.model.manifest import read
from bundles.format.model.signing import KeyRing
from bundles.format.reading.report import check_bundle
from bundles.format.reading.verify import VerifiedBundle, VerifiedManifest, read_manifest, verify_bundle
from tests.support.format_builders import (
    CHUNK_SIZE,
    INCIDENT,
    MOMENT,
    SAMPLE,
    SOUND,
    canonical,
    fields_of,
    gzipped,
    member,
    report_of,
    ring,
    sha256,
    signed,
    signer,
    tar_of,
    zstd,
)

FIELDS = [
    "verified", "bundle", "sha256", "size", "incident_id", "created_at", "key_id", "signer", "complete", "missing",
    "files", "bytes", "content_digest", "manifest_hash", "checks", "error", "seconds",
]  # fmt: skip


class Refusing:
    """A sink that must not receive anything."""

    def begin(self, path: str) -> None:
        raise AssertionError(path)

    def write(self, data: memoryview) -> None:
        raise AssertionError(bytes(data))

    def end(self) -> None:
        raise AssertionError


def payload_first(pair: tuple[bytes, bytes]) -> bytes:
    payload = b"".join(member(path, data) for path, data in SAMPLE.items())
    return payload + member("manifest.json", pair[0]) + member("manifest.sig", pair[1]) + bytes(1024)


@pytest.mark.parametrize("first", ["manifest", "payload"])
def test_the_payload_of_an_unknown_signer_is_never_given_out(first, tmp_path):
    pair = signed(fields_of(), signer("stranger"))
    path = tmp_path / "b"
    path.write_bytes(gzipped(payload_first(pair)) if first == "payload" else zstd(tar_of(pair)))
    with pytest.raises(BundleRejectedError) as refusal:
        verify_bundle(path, ring(), sink=Refusing(), on_manifest=lambda _: pytest.fail("it is not authentic"))
    assert refusal.value.code == "signer_unknown"


def test_an_unsigned_bundle_is_never_given_out(tmp_path):
    path = tmp_path / "b"
    raw, _ = signed(fields_of())
    path.write_bytes(
        zstd(member("manifest.json", raw) + b"".join(member(*item) for item in SAMPLE.items()) + bytes(1024))
    )
    for keys in (ring(), None):
        with pytest.raises(BundleRejectedError) as refusal:
            verify_bundle(path, keys, sink=Refusing())
        assert refusal.value.code == "signature_missing"


def test_verified_objects_cannot_be_constructed_by_callers():
    fields = fields_of()
    manifest = read(fields, DEFAULT_LIMITS)
    for proof in (None, object(), True):
        with pytest.raises(TypeError):
            VerifiedManifest(manifest=manifest, raw=b"", signature_raw=b"", key=None, signature=None, _made_by=proof)
        with pytest.raises(TypeError):
            VerifiedBundle(verified=None, sha256="", size=0, _made_by=proof)  # type: ignore[arg-type]


def test_an_authentic_manifest_can_be_had_before_the_payload_is_read(tmp_path):
    path = tmp_path / "b"
    path.write_bytes(zstd(tar_of(signed(fields_of()), SAMPLE | {"alerts.json": b"changed"})))
    verified = read_manifest(path, ring())
    assert verified.manifest.incident_id == INCIDENT
    assert verified.key is not None
    with pytest.raises(BundleRejectedError):
        verify_bundle(path, ring())


def test_a_report_of_a_sound_bundle_has_exactly_its_fields(tmp_path):
    report = report_of(SOUND(), tmp_path).as_dict()
    assert list(report) == FIELDS
    fields = fields_of()
    assert isinstance(report.pop("seconds"), float)
    assert report == {
        "verified": True,
        "bundle": "bundle",
        "sha256": sha256(SOUND()),
        "size": len(SOUND()),
        "incident_id": INCIDENT,
        "created_at": MOMENT,
        "key_id": signer().key_id,
        "signer": "signer",
        "complete": True,
        "missing": [],
        "files": len(SAMPLE),
        "bytes": sum(map(len, SAMPLE.values())),
        "content_digest": fields["content_digest"],
        "manifest_hash": fields["manifest_hash"],
        "checks": [{"name": name, "ok": True} for name in STEPS],
        "error": None,
    }


FAILING = {
    "container": b"PK",
    "members": zstd(tar_of(signed(fields_of()), extra=member("alerts.json", b""))),
    "manifest": zstd(tar_of((b"{", b"{}"))),
    "signature": zstd(tar_of(signed(fields_of(), signer("stranger")))),
    "consistency": zstd(tar_of(signed(fields_of(content_digest="0" * 64)))),
    "contents": zstd(tar_of(signed(fields_of()), SAMPLE | {"alerts.json": b"x" * len(SAMPLE["alerts.json"])})),
    "end": zstd(tar_of(signed(fields_of())) + bytes(512)),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_report_distinguishes_passed_failed_and_unfinished_steps(step, tmp_path):
    report = report_of(FAILING[step], tmp_path).as_dict()
    checks = {check["name"]: check["ok"] for check in report["checks"]}
    assert list(checks) == list(STEPS)
    assert [name for name, ok in checks.items() if ok is False] == [step]
    known = step in {"members", "contents", "end"}
    assert [name for name, ok in checks.items() if ok] == (["manifest", "signature", "consistency"] if known else [])
    assert report["verified"] is False
    assert report["sha256"] is None
    assert report["incident_id"] == (INCIDENT if known else None)
    assert report["key_id"] == (signer().key_id if known else None)


def test_a_skipped_signature_is_shown_as_not_checked(tmp_path):
    path = tmp_path / "b"
    path.write_bytes(zstd(tar_of(signed(fields_of(), signer("stranger")))))
    report = check_bundle(path, None).as_dict()
    assert (report["verified"], report["error"], report["key_id"], report["signer"]) == (False, None, None, None)
    assert {"name": "signature", "ok": None} in report["checks"]
    path.write_bytes(FAILING["contents"])
    waived = check_bundle(path, None)
    assert waived.error is not None
    assert waived.error.code == "file_hash_mismatch"


def test_without_any_key_nothing_can_be_checked():
    with pytest.raises(CannotCheckError):
        KeyRing.load([])
    assert KeyRing(()).find("0" * 64) is None


def test_digests_are_defined_as_the_format_says():
    fields = fields_of()
    rows = [[entry["path"], entry["size"], entry["sha256"]] for entry in fields["files"]]
    manifest = read(fields, DEFAULT_LIMITS)
    assert manifest.content_digest == sha256(canonical(rows))
    rest = {key: value for key, value in fields.items() if key != "manifest_hash"}
    assert manifest.manifest_hash == sha256(canonical(rest))
    assert manifest.chunk_size == CHUNK_SIZE
