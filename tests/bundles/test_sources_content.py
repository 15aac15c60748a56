"""Artifact bytes: from the store without following links, or from the Forensic service with resumed downloads."""

from __future__ import annotations

import hashlib
import os

import pytest

from bundles.sources import store
from jobs.errors import PermanentError, RetryableError
from tests.support.upstreams import CONTENTS, Upstreams, artifact_record, says, small_incident

CONTENT = CONTENTS["a-1"][1]


@pytest.fixture
def upstreams(tmp_path):
    with Upstreams([small_incident(tmp_path / "data")]) as running:
        yield running


@pytest.fixture
def staging(tmp_path):
    made = tmp_path / "staging"
    made.mkdir()
    return made


@pytest.fixture
def storage(tmp_path):
    made = tmp_path / "store"
    (made / "case").mkdir(parents=True)
    return made


def listing(*records):
    """Serves this list of artifacts, and leaves their content to the service."""

    def answer(exchange):
        if exchange.path.endswith("/content"):
            return False
        return says({"artifacts": list(records)})(exchange)

    return answer


def contents_asked(upstreams: Upstreams) -> list[str]:
    return [asked for asked in upstreams.asked if asked.endswith("/content")]


@pytest.mark.parametrize("key", ["filepath", "stored_path"])
@pytest.mark.parametrize("absolute", [True, False])
def test_a_file_in_the_store_is_read_from_there(upstreams, staging, storage, key, absolute):
    (storage / "case" / "disk.dd").write_bytes(b"disk")
    place = f"{storage}/case/disk.dd" if absolute else "case/disk.dd"
    upstreams.answers["forensic"] = listing(
        artifact_record("a-1", "disk.dd", b"disk", **{"filepath": "/elsewhere/x", key: place})
    )
    evidence = upstreams.collect(staging, storage=storage)
    with evidence.artifacts[0].open() as file:
        buffer = bytearray(10)
        assert os.fstat(file.fileno()).st_size == 4
        assert file.readinto(buffer) == 4
        assert file.readinto(buffer) == 0
    assert buffer[:4] == b"disk"
    assert contents_asked(upstreams) == []


@pytest.mark.parametrize(
    "place", ["/etc/passwd", "../data/case-7/timeline.json", "case/../../secret", "missing", "", "a\0b", "x" * 5000]
)
def test_a_location_outside_the_store_is_never_opened(upstreams, staging, storage, place):
    upstreams.answers["forensic"] = listing(artifact_record("a-3", "ímynd.dd", b"disk", filepath=place))
    evidence = upstreams.collect(staging, storage=storage)
    with evidence.artifacts[0].open() as file:
        assert file.read() == b"disk"
    assert contents_asked(upstreams) == ["GET /api/v1/artifacts/a-3/content"]


@pytest.mark.parametrize("kind", ["link to a file", "link to a folder", "folder", "pipe", "file as a folder"])
def test_what_is_not_a_plain_file_in_the_store_is_refused(upstreams, staging, storage, kind):
    outside = storage.parent / "outside"
    outside.mkdir()
    (outside / "disk.dd").write_bytes(b"disk")
    place = storage / "case" / "disk.dd"
    if kind == "link to a file":
        place.symlink_to(outside / "disk.dd")
    elif kind == "link to a folder":
        (storage / "case").rmdir()
        (storage / "case").symlink_to(outside)
    elif kind == "folder":
        place.mkdir()
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        (storage / "case").rmdir()
        (storage / "case").write_bytes(b"")
    upstreams.answers["forensic"] = listing(artifact_record("a-3", "disk.dd", b"disk", filepath="case/disk.dd"))
    with pytest.raises(PermanentError, match=r"Forensic artifacts.*a-3.*link") as raised:
        upstreams.collect(staging, storage=storage)
    assert raised.value.code == "source_invalid"
    assert contents_asked(upstreams) == []


def test_opening_beneath_a_folder_leaves_no_descriptor_open(storage):
    (storage / "case" / "x").symlink_to("/etc/passwd")
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 -- counts handles, which have no pathlib spelling
    for parts in (("case", "x"), ("case",), ("case", "none"), ("none", "x")):
        with pytest.raises((store.NotPlainError, FileNotFoundError)):
            os.close(store.open_beneath(storage, parts))
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 -- as above


def test_a_stored_file_of_another_size_fails_at_once(upstreams, staging, storage):
    (storage / "case" / "disk.dd").write_bytes(b"disk and more")
    upstreams.answers["forensic"] = listing(artifact_record("a-3", "disk.dd", b"disk", filepath="case/disk.dd"))
    with pytest.raises(PermanentError, match="another size"):
        upstreams.collect(staging, storage=storage)


@pytest.mark.parametrize("change", [b"disk and more", b"d"])
def test_a_stored_file_that_changes_while_it_is_read_fails(upstreams, staging, storage, change):
    place = storage / "case" / "disk.dd"
    place.write_bytes(b"disk")
    upstreams.answers["forensic"] = listing(artifact_record("a-3", "disk.dd", b"disk", filepath="case/disk.dd"))
    with upstreams.collect(staging, storage=storage).artifacts[0].open() as file:
        assert file.read(1) == b"d"
        place.write_bytes(change)
        with pytest.raises(PermanentError, match="another size"):
            file.read()


def dropping(after: int, times: int, *, ranges: bool = True):
    """Serves CONTENT, breaking off `after` bytes into each of the first answers."""
    asked: list[str | None] = []

    def answer(exchange):
        if not exchange.path.endswith("/content"):
            return False
        wanted = exchange.headers.get("Range") if ranges else None
        asked.append(exchange.headers.get("Range"))
        if len(asked) > times and ranges:
            return False
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        exchange.close_connection = True
        fields = {"Content_Range": f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"} if wanted else {}
        exchange.send_head(206 if wanted else 200, len(CONTENT) - start, "application/octet-stream", **fields)
        stop = start + after if len(asked) <= times else len(CONTENT)
        exchange.wfile.write(CONTENT[start:stop])
        return True

    return answer, asked


def test_a_dropped_download_is_resumed(upstreams, staging):
    upstreams.answers["forensic"], asked = dropping(100_001, 3)
    artifact = upstreams.collect(staging).artifacts[0]
    with artifact.open() as file:
        assert hashlib.sha256(file.read()).hexdigest() == artifact.sha256
    assert asked == [None, "bytes=100001-", "bytes=200002-", "bytes=300003-"]


def test_a_dropped_download_is_read_again_from_a_service_without_ranges(upstreams, staging):
    upstreams.answers["forensic"], asked = dropping(100_001, 1, ranges=False)
    artifact = upstreams.collect(staging).artifacts[0]
    with artifact.open() as file:
        assert hashlib.sha256(file.read()).hexdigest() == artifact.sha256
    assert asked == [None, "bytes=100001-"]


def test_a_download_that_always_drops_is_a_retryable_error(upstreams, staging):
    upstreams.answers["forensic"], asked = dropping(10, 100)
    artifact = upstreams.collect(staging, resumes=2).artifacts[0]
    with artifact.open() as file, pytest.raises(RetryableError, match=r"Forensic artifacts.*a-1"):
        file.read()
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (says(CONTENT + b"x"), "source_invalid"),
        (says(CONTENT[:-1]), "source_invalid"),
        (says(CONTENT + b"x", length=len(CONTENT)), ""),
        (says(CONTENT, 206), "source_invalid"),
        (says(b"", 404), "source_rejected"),
        (says(b"", 302, Location="/"), "source_rejected"),
        (says(b"", 500), "source_unavailable"),
        (says(CONTENT, Content_Encoding="gzip"), "source_invalid"),
    ],
)
def test_content_that_is_not_what_the_record_says_fails(upstreams, staging, answer, code):
    upstreams.answers["forensic"] = lambda exchange: exchange.path.endswith("/content") and answer(exchange)
    with upstreams.collect(staging).artifacts[0].open() as file:
        if not code:
            assert file.read() == CONTENT
            return
        with pytest.raises((PermanentError, RetryableError), match="Forensic artifacts") as raised:
            file.read()
    assert raised.value.code == code


def test_a_resumed_download_of_changed_content_fails(upstreams, staging):
    tags = iter(('"one"', '"two"'))

    def answer(exchange):
        if not exchange.path.endswith("/content"):
            return False
        exchange.close_connection = True
        exchange.send_head(200, len(CONTENT), "application/octet-stream", ETag=next(tags))
        exchange.wfile.write(CONTENT[:1000])
        return True

    upstreams.answers["forensic"] = answer
    with (
        upstreams.collect(staging).artifacts[0].open() as file,
        pytest.raises(RetryableError, match="changed while it was read"),
    ):
        file.read()


def test_a_large_artifact_is_streamed(upstreams, staging):
    with upstreams.collect(staging).artifacts[0].open() as file:
        piece = file.read(300_000)
        assert 0 < len(piece) < len(CONTENT)
        assert CONTENT.startswith(piece)


def test_a_partial_collection_lists_each_artifact_that_cannot_be_collected(upstreams, staging, storage):
    (storage / "case" / "short").write_bytes(b"dis")
    (storage / "case" / "other").write_bytes(b"DISK")
    (storage / "case" / "link").symlink_to("other")
    upstreams.answers["forensic"] = listing(
        artifact_record("gone", "gone.bin", b"gone"),
        artifact_record("short", "short.bin", b"disk", filepath="case/short"),
        artifact_record("other", "other.bin", b"disk", filepath="case/other"),
        artifact_record("link", "link.bin", b"DISK", filepath="case/link"),
        artifact_record("a-2", "empty", b""),
        artifact_record("a-3", "ímynd.dd", b"disk"),
        artifact_record("a-1", "memory dump.bin", CONTENT[::-1]),
    )
    evidence = upstreams.collect(staging, storage=storage, allow_partial=True)
    assert [entry["path"] for entry in evidence.missing] == [
        "artifacts/a-1/memory dump.bin", "artifacts/gone/gone.bin", "artifacts/link/link.bin",
        "artifacts/other/other.bin", "artifacts/short/short.bin",
    ]  # fmt: skip
    assert all(entry["reason"].startswith("Forensic artifacts") for entry in evidence.missing)
    assert evidence.counts["artifacts"] == 7
    asked = len(upstreams.asked)
    assert {artifact.artifact_id: artifact.open().read() for artifact in evidence.artifacts} == {
        "a-2": b"", "a-3": b"disk",
    }  # fmt: skip
    assert len(upstreams.asked) == asked


def test_an_artifact_id_is_quoted_into_its_url(upstreams, staging):
    upstreams.answers["forensic"] = lambda exchange: (
        says(b"disk")(exchange) if exchange.path.endswith("/content")
        else says({"artifacts": [artifact_record("...", "x", b"disk")]})(exchange)
    )  # fmt: skip
    with upstreams.collect(staging).artifacts[0].open() as file:
        assert file.read() == b"disk"
    assert contents_asked(upstreams) == ["GET /api/v1/artifacts/.../content"]
