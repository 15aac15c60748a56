"""Bundles of format 1.0.0: what older writers made is verified and unpacked; anything wrong with it is refused."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from typing import Any

import pytest
import zstandard

from bundles.format.reading.extract import extract_bundle
from tests.support.format_builders import INCIDENT, SAMPLE, canonical, gzipped, report_of, ring, sha256, signer, verdict

CHUNK = 1000
LONG = "artifacts/a-4/" + "ä" * 120  # beyond what a ustar name holds
FILES = SAMPLE | {LONG: b"long"}
Change = Callable[[dict[str, Any]], object]


def old_fields(files: dict[str, bytes] = FILES, change: Change | None = None, **changes: Any) -> dict[str, Any]:
    """A 1.0.0 manifest: chunks of all large files in one list at the top."""
    fields: dict[str, Any] = {
        "version": "1.0.0",
        "incident_id": INCIDENT,
        "created_at": "2025-01-31T12:00:00Z",
        "chunk_size": CHUNK,
        "files": [{"path": path, "size": len(data), "sha256": sha256(data)} for path, data in files.items()],
        "chunks": [
            {"path": path, "index": index, "offset": start, "size": len(piece), "sha256": sha256(piece)}
            for path, data in files.items()
            if len(data) > CHUNK
            for index, start in enumerate(range(0, len(data), CHUNK))
            for piece in (data[start : start + CHUNK],)
        ],
        "metadata": {"file_count": len(files), "total_size": sum(map(len, files.values())), "tool": "old"},
    } | changes
    if change is not None:
        change(fields)
    return fields | {"manifest_hash": sha256(canonical(fields))}


def signed_old(fields: dict[str, Any], over: Callable[[dict[str, Any]], bytes] = canonical) -> dict[str, bytes]:
    """A pretty-printed manifest, and a signature over what `over` makes of its fields: the canonical form."""
    signature = signer().signature(over(fields), fields["manifest_hash"])
    return {"manifest.json": pretty(fields), "manifest.sig": pretty(signature)}


def pretty(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, indent=2, ensure_ascii=False).encode()


def old_tar(members: dict[str, bytes], *extra: tarfile.TarInfo, mtime: float = 1738324800.25) -> bytes:
    """A tar made by Python's tarfile: pax headers with times, padded to 10,240 bytes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, data in members.items():
            info = tarfile.TarInfo(path)
            info.size, info.mtime, info.mode, info.uid, info.uname = len(data), mtime, 0o600, 1000, "analyst"
            tar.addfile(info, io.BytesIO(data))
        for info in extra:
            tar.addfile(info)
    assert len(out.getvalue()) % 10_240 == 0
    return out.getvalue()


def one_frame(tar: bytes) -> bytes:
    """One zstd frame that does not state its content's size, as in streaming compression."""
    packer = zstandard.ZstdCompressor(level=3, write_content_size=False).compressobj()
    packed = packer.compress(tar) + packer.flush()
    assert zstandard.get_frame_parameters(packed).content_size == zstandard.CONTENTSIZE_UNKNOWN
    return packed


def old_bundle(files: dict[str, bytes] = FILES, **fields: Any) -> bytes:
    return gzipped(old_tar(signed_old(old_fields(**fields)) | files))


@pytest.mark.parametrize("pack", [gzipped, one_frame])
@pytest.mark.parametrize("last", [False, True], ids=["manifest-first", "manifest-last"])
def test_an_old_bundle_is_verified_and_unpacked(last, pack, tmp_path):
    front = signed_old(old_fields())
    bundle = pack(old_tar(FILES | front if last else front | FILES))
    report = report_of(bundle, tmp_path).as_dict()
    assert (report["error"], report["verified"]) == (None, True)
    assert (report["incident_id"], report["files"], report["complete"]) == (INCIDENT, len(FILES), True)
    listed = sorted([path, len(data), sha256(data)] for path, data in FILES.items())
    assert report["content_digest"] == sha256(canonical(listed))
    out = extract_bundle(tmp_path / "bundle", ring(), tmp_path / "out").directory
    found = {str(file.relative_to(out)): file.read_bytes() for file in out.rglob("*") if file.is_file()}
    assert found == FILES | front


def test_a_frame_larger_than_what_is_unpacked_at_once_is_streamed(tmp_path):
    files = FILES | {"artifacts/big/x": b"0123456789abcdef" * (3 << 16) * 4}
    assert len(files["artifacts/big/x"]) > 8 << 20
    bundle = one_frame(old_tar(signed_old(old_fields(files, chunks=[])) | files))
    assert verdict(bundle, tmp_path) == "verified"


@pytest.mark.parametrize("absent", ["chunks", "chunk_size", "metadata"])
def test_what_older_writers_left_out_may_be_absent(absent, tmp_path):
    assert verdict(old_bundle(change=lambda fields: fields.pop(absent)), tmp_path) == "verified"


def listed(fields: dict[str, Any], path: str = "artifacts/a-3/disk.img") -> dict[str, Any]:
    return next(entry for entry in fields["files"] if entry["path"] == path)


CHANGED_BEFORE_SIGNING: dict[str, tuple[Change, str]] = {
    "wrong hash of a file": (lambda f: listed(f).update(sha256="0" * 64), "file_hash_mismatch"),
    "wrong hash of a chunk": (lambda f: f["chunks"][1].update(sha256="0" * 64), "chunk_hash_mismatch"),
    "wrong size": (lambda f: listed(f, "alerts.json").update(size=1), "size_mismatch"),
    "a gap between chunks": (lambda f: f["chunks"].pop(1), "manifest_inconsistent"),
    "a chunk too few": (lambda f: f["chunks"].pop(), "manifest_inconsistent"),
    "a chunk of no file": (lambda f: f["chunks"][0].update(path="artifacts/x/y"), "manifest_invalid"),
    "a listed file that is absent": (
        lambda f: f["files"].append({"path": "artifacts/x/y", "size": 0, "sha256": sha256(b"")}),
        "member_missing",
    ),
    "a member that is not listed": (lambda f: f["files"].remove(listed(f, LONG)), "member_unlisted"),
    "a file listed twice": (lambda f: f["files"].append(dict(f["files"][0])), "manifest_inconsistent"),
    "a path that leaves the folder": (lambda f: listed(f).update(path="artifacts/../x"), "path_invalid"),
    "a wrong content digest": (lambda f: f.update(content_digest="0" * 64), "content_digest_mismatch"),
    "a wrong file count": (lambda f: f["metadata"].update(file_count=1), "manifest_inconsistent"),
    "a field that is unknown": (lambda f: f.update(surprise=1), "manifest_invalid"),
    "complete, yet with a gap": (
        lambda f: f.update(complete=True, missing=[{"path": "artifacts/x/y", "reason": "gone"}]),
        "manifest_inconsistent",
    ),
    "another version": (lambda f: f.update(version="0.9.0"), "version_unsupported"),
    "1.1, which is stricter": (lambda f: f.update(version="1.1.0"), "signature_invalid"),
}


@pytest.mark.parametrize("what", CHANGED_BEFORE_SIGNING)
def test_a_manifest_that_is_wrong_is_refused_although_it_is_signed(what, tmp_path):
    change, code = CHANGED_BEFORE_SIGNING[what]
    counted = what in {
        "a listed file that is absent",
        "a member that is not listed",
        "a file listed twice",
        "wrong size",
    }

    def edit(fields: dict[str, Any]) -> None:
        change(fields)
        if counted:  # its numbers are left out, so that the change itself is what is found
            fields["metadata"] = {}

    assert verdict(old_bundle(change=edit), tmp_path) == code


def test_a_wrong_manifest_hash_is_refused(tmp_path):
    fields = old_fields() | {"manifest_hash": "0" * 64}
    assert verdict(gzipped(old_tar(signed_old(fields) | FILES)), tmp_path) == "manifest_hash_mismatch"


def test_a_signature_over_the_pretty_bytes_is_refused(tmp_path):
    assert verdict(gzipped(old_tar(signed_old(old_fields(), over=pretty) | FILES)), tmp_path) == "signature_invalid"


def test_a_manifest_edited_after_signing_is_refused_but_its_blanks_do_not_matter(tmp_path):
    front = signed_old(old_fields())
    edited = front["manifest.json"].replace(b"incident-7", b"incident-8")
    compact = json.dumps(json.loads(front["manifest.json"])).encode()
    assert verdict(gzipped(old_tar(front | {"manifest.json": edited} | FILES)), tmp_path) == "signature_invalid"
    assert verdict(gzipped(old_tar(front | {"manifest.json": compact} | FILES)), tmp_path) == "verified"


def test_changed_evidence_is_refused(tmp_path):
    for path, code in (("alerts.json", "file_hash_mismatch"), ("artifacts/a-3/disk.img", "chunk_hash_mismatch")):
        changed = FILES | {path: bytes([FILES[path][0] ^ 1]) + FILES[path][1:]}
        assert verdict(old_bundle(changed), tmp_path) == code


def test_a_key_written_twice_is_refused(tmp_path):
    front = signed_old(old_fields())
    doubled = front["manifest.json"].replace(b"{", b'{"version": "1.0.0",', 1)
    assert verdict(gzipped(old_tar(front | {"manifest.json": doubled} | FILES)), tmp_path) == "manifest_invalid"


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.CONTTYPE]
)
def test_links_folders_and_devices_are_refused(kind, tmp_path):
    info = tarfile.TarInfo("artifacts/a-9/x")
    info.type, info.linkname = kind, "alerts.json" if kind in {tarfile.SYMTYPE, tarfile.LNKTYPE} else ""
    bundle = gzipped(old_tar(signed_old(old_fields()) | FILES, info))
    assert verdict(bundle, tmp_path) == "tar_member_forbidden"


def test_zeros_may_follow_the_end_but_nothing_else(tmp_path):
    tar = old_tar(signed_old(old_fields()) | FILES)
    assert verdict(gzipped(tar + bytes(10_240)), tmp_path) == "verified"
    assert verdict(gzipped(tar + bytes(512) + b"x"), tmp_path) == "tar_trailing_data"
    assert verdict(one_frame(tar) + one_frame(b"x"), tmp_path) == "tar_trailing_data"


@pytest.mark.parametrize("pack", [gzipped, one_frame])
def test_a_truncated_old_bundle_is_refused(pack, tmp_path):
    bundle = pack(old_tar(signed_old(old_fields()) | FILES))
    for end in (1, 5, 20, len(bundle) // 2, len(bundle) - 1):
        assert verdict(bundle[:end], tmp_path) in {"truncated", "not_a_bundle", "corrupt_compression"}
