"""Files are extracted byte for byte as bundled; equal evidence gives equal bytes; standard tools open bundles."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import subprocess
import tarfile
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bundles.format.model import paths
from bundles.format.model.errors import CannotWriteError, PayloadError
from bundles.format.reading import tarheader
from bundles.format.reading.extract import extract_bundle
from bundles.format.reading.report import check_bundle
from bundles.format.writing.payload import Payload
from tests.support.format_builders import (
    INCIDENT,
    PEOPLE,
    SAMPLE,
    member,
    payloads_of,
    ring,
    seek_table,
    signer,
    written,
)

FRAME = 2 << 20
NASTY = st.one_of(
    st.text(st.characters(), max_size=300),
    st.text(st.sampled_from("a./\\ %\u202e\u2066\x00\x1b\x7f\x9b\u00e4\U0001f600\ud800"), min_size=1, max_size=90),
    st.sampled_from(
        [".", "..", "", "a" * 256, "\u00e4" * 200 + ".docx", "x/../../y", "a." + "b" * 300, "\u2028", "CON"]
    ),
)
IDS = st.text(st.sampled_from("abcXYZ019._-"), min_size=1, max_size=128).filter(paths.valid_artifact_id)
SIZES = st.sampled_from([0, 1, 511, 512, 513, 999, 1000, 1001, 2000, 5000])
unhurried = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def tar_bytes(bundle: Path) -> bytes:
    raw = bundle.read_bytes()
    if raw[:2] == b"\x1f\x8b":
        return gzip.decompress(raw)
    return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(raw), read_across_frames=True).read()


def fresh(directory: Path) -> Path:
    """An unused name in `directory`."""
    return directory / f"n{len(list(directory.iterdir()))}"


@unhurried
@given(
    artifacts=st.dictionaries(IDS, st.tuples(NASTY, SIZES), max_size=6),
    chunk_size=st.sampled_from([1, 7, 512, 1000, 1 << 20]),
    compression=st.sampled_from(["zstd", "gzip"]),
)
def test_any_names_and_sizes_come_back(artifacts, chunk_size, compression, tmp_path):
    files = dict(PEOPLE)
    for artifact_id, (name, size) in artifacts.items():
        files[paths.artifact_path(artifact_id, name)] = hashlib.shake_256(artifact_id.encode()).digest(size)
    made = written(fresh(tmp_path), files, chunk_size=chunk_size, compression=compression)
    unpacked = extract_bundle(made.path, ring(), fresh(tmp_path)).directory
    found = {str(file.relative_to(unpacked)): file.read_bytes() for file in unpacked.rglob("*") if file.is_file()}
    assert found.pop("manifest.json") == made.manifest_bytes
    assert found.pop("manifest.sig")
    assert found == files


@settings(max_examples=300, deadline=None)
@given(name=NASTY)
def test_every_name_becomes_one_that_readers_accept(name):
    safe = paths.safe_name(name)
    assert paths.path_fault(f"artifacts/a/{safe}") == ""
    assert paths.safe_name(safe) == safe
    assert len(safe.encode()) <= 255


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("..", "%2E%2E"),
        (".", "%2E"),
        ("", "unnamed"),
        ("dir/", "unnamed"),
        ("C:\\evil\nname", "C:%5Cevil%0Aname"),
        ("exe.\u202etxt", "exe.%E2%80%AEtxt"),
        ("/srv/images/disk.img", "disk.img"),
        ("n" * 300 + ".pcap", "n" * 250 + ".pcap"),
        ("\u00e4" * 200 + ".docx", "\u00e4" * 125 + ".docx"),
    ],
)
def test_names_are_escaped_and_cut_as_the_format_says(name, safe):
    assert paths.safe_name(name) == safe


@pytest.mark.parametrize("compression", ["zstd", "gzip"])
def test_sizes_around_frames_and_chunks_come_back(compression, tmp_path):
    base = bytes(range(256)) * (FRAME // 256) + b"tail" * 4000
    sizes = (FRAME - 1025, FRAME - 1024, FRAME - 512, FRAME - 1, FRAME, FRAME + 1)
    files = PEOPLE | {f"artifacts/a{size}/x": base[:size] for size in sizes}
    for chunk_size in (FRAME - 512, FRAME):
        made = written(fresh(tmp_path), files, chunk_size=chunk_size, compression=compression)
        assert check_bundle(made.path, ring()).verified
        entry = next(entry for entry in made.manifest.files if entry.size == FRAME + 1)
        assert [chunk.size for chunk in entry.chunks] == [chunk_size, FRAME + 1 - chunk_size]


def test_equal_evidence_gives_equal_bytes_and_an_equal_digest(tmp_path):
    files = SAMPLE | {"artifacts/long/" + "\u00e4" * 120: b"x"}
    backwards = dict(reversed(files.items()))
    made = [
        written(tmp_path / f"{number}", given, compression=kind)
        for number, (given, kind) in enumerate([(files, "zstd"), (backwards, "zstd"), (files, "gzip")])
    ]
    assert len({one.manifest.content_digest for one in made}) == 1
    order = sorted(files, key=lambda path: (not path.endswith(".json"), path))
    prescribed = b"".join(member(path, files[path]) for path in order)
    for one in made:
        assert prescribed in tar_bytes(one.path)
    assert made[0].manifest.manifest_hash == json.loads(made[0].manifest_bytes)["manifest_hash"]


def test_the_bundle_is_laid_out_as_the_format_says(tmp_path):
    made = written(tmp_path / "b", SAMPLE | {"artifacts/big/x": bytes(5 << 20)})
    raw = made.path.read_bytes()
    assert (made.size, made.sha256) == (len(raw), hashlib.sha256(raw).hexdigest())
    frames, position = [], 0
    while raw[position : position + 4] != b"\x5e\x2a\x4d\x18":
        if raw[position : position + 4] == b"\x5d\x2a\x4d\x18":
            length, content = 8 + int.from_bytes(raw[position + 4 : position + 8], "little"), 0
            assert not any(raw[position + 8 : position + length])
        else:
            unpack = zstandard.ZstdDecompressor().decompressobj()
            content = len(unpack.decompress(raw[position:]))
            length = len(raw) - position - len(unpack.unused_data)
            parameters = zstandard.get_frame_parameters(raw[position:])
            assert (parameters.content_size, parameters.has_checksum, parameters.dict_id) == (content, True, 0)
            assert content <= FRAME
        frames.append((length, content))
        position += length
    assert raw[position:] == seek_table(frames)
    assert tar_bytes(made.path)[:13] == b"manifest.json"


def test_gzip_bundles_carry_no_name_and_no_time_and_the_manifest_last(tmp_path):
    raw = written(tmp_path / "b", compression="gzip").path.read_bytes()
    assert raw[:8] == b"\x1f\x8b\x08\0\0\0\0\0"
    with tarfile.open(tmp_path / "b") as tar:
        assert tar.getnames()[-2:] == ["manifest.json", "manifest.sig"]


def test_sizes_of_8_gib_and_more_are_in_a_pax_header():
    for size in (8 * 1024**3 - 1, 8 * 1024**3, 5 * 1024**4):
        for path in ("artifacts/a/disk.img", "artifacts/a/" + "\u00e4" * 127):
            header = tarheader.member_header(path, size)
            with tarfile.open(fileobj=io.BytesIO(header)) as tar:
                info = tar.next()
            assert info is not None
            assert (info.name, info.size) == (path, size)
            assert tarheader.stored_size(path, size) == len(header) + size + -size % 512


@pytest.mark.parametrize(("compression", "suffix"), [("zstd", "tar.zst"), ("gzip", "tar.gz")])
def test_ordinary_tools_open_and_check_it(compression, suffix, tmp_path):
    files = SAMPLE | {"artifacts/a-4/\u00e4 b.txt": b"x", "artifacts/a-5/" + "n" * 250: b"y"}
    bundle = written(tmp_path / f"b.{suffix}", files, compression=compression).path
    (tmp_path / "pub.pem").write_bytes(signer().public_pem)

    def run(*command: str) -> bytes:
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True).stdout

    run(*(["zstd", "-qt"] if compression == "zstd" else ["gzip", "-t"]), bundle.name)
    (tmp_path / "out").mkdir()
    run("tar", "--zstd" if compression == "zstd" else "--gzip", "-xf", bundle.name, "-C", "out")
    manifest = json.loads((tmp_path / "out/manifest.json").read_bytes())
    sums = "".join(f"{entry['sha256']}  out/{entry['path']}\n" for entry in manifest["files"])
    (tmp_path / "sums").write_text(sums)
    run("sha256sum", "--quiet", "--strict", "-c", "sums")
    signature = json.loads((tmp_path / "out/manifest.sig").read_bytes())["signature"]
    (tmp_path / "sig.b64").write_text(signature + "\n")
    run("openssl", "base64", "-d", "-A", "-in", "sig.b64", "-out", "sig")
    checked = run(
        *("openssl", "dgst", "-sha256", "-verify", "pub.pem", "-sigopt", "rsa_padding_mode:pss"),
        *("-sigopt", "rsa_pss_saltlen:max", "-signature", "sig", "out/manifest.json"),
    )
    assert b"Verified OK" in checked
    found = {str(file.relative_to(tmp_path / "out")) for file in (tmp_path / "out").rglob("*") if file.is_file()}
    assert found == {*files, "manifest.json", "manifest.sig"}


def truncated(data: bytes) -> Payload:
    return Payload(path="alerts.json", size=len(data) + 1, open=lambda: io.BytesIO(data))


def gone() -> io.BytesIO:
    raise FileNotFoundError(2, "No such file or directory")


@pytest.mark.parametrize("compression", ["zstd", "gzip"])
@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (truncated(b"[]"), "payload_truncated"),
        (Payload(path="alerts.json", size=1, open=lambda: io.BytesIO(b"[]")), "payload_longer"),
        (Payload(path="alerts.json", size=0, open=lambda: io.BytesIO(b"[]")), "payload_longer"),
        (
            Payload(path="alerts.json", size=2, open=lambda: io.BytesIO(b"[]"), expected_sha256="0" * 64),
            "payload_hash_mismatch",
        ),
        (Payload(path="alerts.json", size=2, open=gone), "payload_unreadable"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_payload_that_is_not_what_its_record_says_makes_no_bundle(payload, code, compression, tmp_path):
    others = payloads_of({path: data for path, data in SAMPLE.items() if path != "alerts.json"})
    with pytest.raises(PayloadError) as refusal:
        written(tmp_path / "b", payloads=[*others, payload], compression=compression)
    assert (refusal.value.code, refusal.value.path) == (code, "alerts.json")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"incident_id": "../x"},
        {"chunk_size": 0},
        {"compression": "xz"},
        {"missing": [{"source": "alerts"}]},
        {"missing": [{"path": "alerts.json", "reason": "both there and not"}]},
        {"sources": {"alerts": {"url": "http://x"}}},
        {"payloads": payloads_of(PEOPLE | {"artifacts/../x": b""})},
        {"payloads": payloads_of(PEOPLE) + payloads_of({"alerts.json": b"[]"})},
        {"payloads": payloads_of({"alerts.json": b"[]"})},
    ],
    ids="-".join,
)
def test_what_readers_would_refuse_is_never_written(wrong, tmp_path):
    with pytest.raises(CannotWriteError) as refusal:
        written(tmp_path / "b", **wrong)
    assert refusal.value.code == "input_invalid"
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_overwrites_nothing_and_abandoned_work_leaves_nothing(tmp_path):
    (tmp_path / "b").write_bytes(b"mine")
    with pytest.raises(CannotWriteError):
        written(tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"mine"

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        written(tmp_path / "c", progress=stop)
    assert [entry.name for entry in tmp_path.iterdir()] == ["b"]


def test_a_partial_bundle_says_what_is_missing(tmp_path):
    gaps = [{"source": name, "reason": "down"} for name in ("alerts", "artifacts")]
    made = written(tmp_path / "b", {"timeline.json": PEOPLE["timeline.json"]}, missing=gaps)
    report = check_bundle(made.path, ring()).as_dict()
    assert (report["verified"], report["complete"], report["missing"]) == (True, False, gaps)
    assert report["incident_id"] == INCIDENT
