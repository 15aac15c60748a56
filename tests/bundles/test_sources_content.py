"""Artifact bytes: from the store without following links, or from the Forensic service with resumed downloads."""

from __future__ import annotations

import gzip
import os
import zlib

import pytest

from bundles.sources import store
from jobs.errors import PermanentError, RetryableError
from tests.support.upstreams import CONTENTS, Upstreams, artifact_record, says, small_incident

CONTENT = CONTENTS["a-1"][1]
LINES = b"Jan 31 12:00:00 ws-07 sshd[1]: Accepted password" * 1_000
PACKED = gzip.compress(LINES)


def raw_deflate(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(content) + packer.flush()


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


def served(content: bytes = CONTENT, *, cut: list[int] | None = None, ranges: bool = True, **head: str):
    """Serves a-1 as this content, and closes the connection after `cut` bytes of each answer, one number an answer.

    Args:
        content: the whole.
        cut: bytes sent of the first answers; later answers are whole.
        ranges: whether ranges are answered.
        head: header fields of each answer; `total` replaces the whole length in `Content-Range`.

    Returns:
        The answer, and the list of the `Range` and `If-Range` of each request.
    """
    left = list(cut or [])
    total = head.pop("total", str(len(content)))
    asked: list[tuple[str | None, str | None]] = []

    def answer(exchange):
        if not exchange.path.endswith("/content"):
            return listing(artifact_record("a-1", "memory dump.bin", CONTENT))(exchange)
        wanted = exchange.headers.get("Range")
        asked.append((wanted, exchange.headers.get("If-Range")))
        wanted = wanted if ranges else None
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        exchange.close_connection = True
        fields = {"Content_Range": f"bytes {start}-{len(content) - 1}/{total}"} if wanted else {}
        exchange.send_head(206 if wanted else 200, len(content) - start, "application/octet-stream", **fields, **head)
        exchange.wfile.write(content[start:][: left.pop(0)] if left else content[start:])
        return True

    return answer, asked


def read_first(evidence) -> bytes:
    with evidence.artifacts[0].open() as file:
        return bytes(file.read())


def test_a_dropped_download_is_resumed(upstreams, staging):
    upstreams.answers["forensic"], asked = served(cut=[100_001] * 3, ETag='"v1"')
    assert read_first(upstreams.collect(staging)) == CONTENT
    assert asked == [(None, None), *((f"bytes={at}-", '"v1"') for at in (100_001, 200_002, 300_003))]


def test_a_download_is_resumed_as_often_as_it_moves_on(upstreams, staging):
    upstreams.answers["forensic"], asked = served(cut=[4_000] * 120)
    assert read_first(upstreams.collect(staging, no_progress_resumes=0)) == CONTENT
    assert len(asked) == 121


@pytest.mark.parametrize("bound", [{"no_progress_resumes": 3}, {"no_progress_factor": 1, "timeout_s": 1}])
def test_a_download_that_does_not_move_on_fails_for_now_and_says_how_far_it_came(upstreams, staging, bound):
    upstreams.answers["forensic"], asked = served(cut=[1_000] + [0] * 1_000)
    with pytest.raises(RetryableError, match=rf"artifact a-1: .*came to 1000 of {len(CONTENT)} bytes") as raised:
        upstreams.collect(staging, **bound)
    assert raised.value.code == "source_unavailable"
    assert {wanted for wanted, _ in asked[1:]} == {"bytes=1000-"}


def test_a_dropped_download_is_read_again_from_a_service_without_ranges(upstreams, staging):
    upstreams.answers["forensic"], asked = served(cut=[100_001], ranges=False)
    assert read_first(upstreams.collect(staging)) == CONTENT
    assert asked == [(None, None), ("bytes=100001-", None)]


def test_a_service_without_ranges_that_always_drops_is_not_asked_for_ever(upstreams, staging):
    upstreams.answers["forensic"], asked = served(cut=[100_001] * 1_000, ranges=False)
    with pytest.raises(RetryableError, match="a-1"):
        upstreams.collect(staging)
    assert len(asked) < 12


def test_a_range_whose_whole_length_is_unknown_is_taken(upstreams, staging):
    upstreams.answers["forensic"], asked = served(cut=[100_001], total="*")
    assert read_first(upstreams.collect(staging)) == CONTENT
    assert len(asked) == 2


def test_a_range_shorter_than_asked_is_progress(upstreams, staging):
    first, asked = served(cut=[100_000])

    def answer(exchange):
        wanted = exchange.headers.get("Range")
        if wanted is None:
            return first(exchange)
        asked.append((wanted, None))
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        part = CONTENT[start : start + 100_000]
        field = f"bytes {start}-{start + len(part) - 1}/{len(CONTENT)}"
        exchange.send_head(206, len(part), "application/octet-stream", Content_Range=field)
        exchange.wfile.write(part)
        return True

    upstreams.answers["forensic"] = answer
    assert read_first(upstreams.collect(staging, no_progress_resumes=0)) == CONTENT
    assert [wanted for wanted, _ in asked] == [None, *(f"bytes={at}00000-" for at in range(1, 6))]


@pytest.mark.parametrize("field", ["bytes 0-9/512000", "bytes 1001-511999/512000", "bytes 1000-511999/511000", "x", ""])
def test_another_range_than_asked_is_refused(upstreams, staging, field):
    first, _ = served(cut=[1_000])
    other = says(CONTENT[1_000:], 206, Content_Range=field)
    upstreams.answers["forensic"] = lambda exchange: (other if exchange.headers.get("Range") else first)(exchange)
    with pytest.raises(PermanentError, match="another range of artifact a-1"):
        upstreams.collect(staging)


def test_a_weak_tag_is_never_sent_and_the_digest_proves_what_was_resumed(upstreams, staging):
    upstreams.answers["forensic"], asked = served(cut=[100_001], ETag='W/"v1"')
    assert read_first(upstreams.collect(staging)) == CONTENT
    assert asked == [(None, None), ("bytes=100001-", None)]


def test_a_resumed_download_that_turns_out_to_be_of_two_contents_is_read_again_from_the_start(upstreams, staging):
    other, _ = served(CONTENT[::-1], cut=[1_000])
    right, asked = served()
    answers = iter([other, right, right])

    def answer(exchange):
        return (next(answers) if exchange.path.endswith("/content") else right)(exchange)

    upstreams.answers["forensic"] = answer
    assert read_first(upstreams.collect(staging)) == CONTENT
    assert asked == [("bytes=1000-", None), (None, None)]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (says(CONTENT + b"x"), "source_invalid"),
        (says(CONTENT[:-1]), "source_invalid"),
        (says(CONTENT[::-1]), "source_invalid"),
        (says(CONTENT + b"x", length=len(CONTENT)), ""),
        (says(CONTENT, 206), "source_invalid"),
        (says(b"", 404), "source_rejected"),
        (says(b"", 302, Location="/"), "source_rejected"),
        (says(b"", 500), "source_unavailable"),
    ],
)
def test_content_that_is_not_what_the_record_says_fails(upstreams, staging, answer, code):
    upstreams.answers["forensic"] = lambda exchange: "a-1" in exchange.path and answer(exchange)
    if not code:
        assert read_first(upstreams.collect(staging)) == CONTENT
        return
    with pytest.raises((PermanentError, RetryableError), match="Forensic artifacts") as raised:
        upstreams.collect(staging)
    assert raised.value.code == code


def encoded(content: bytes, encoding: str, record: bytes):
    """Serves the artifact with that record, with a content encoding."""

    def answer(exchange):
        if not exchange.path.endswith("/content"):
            return says({"artifacts": [artifact_record("a-9", "auth.log.gz", record)]})(exchange)
        return says(content, Content_Encoding=encoding)(exchange)

    return answer


@pytest.mark.parametrize("encoding", ["gzip", "br", "x-unheard-of"])
def test_bytes_sent_with_an_encoding_are_taken_as_sent_if_the_record_is_of_them(upstreams, staging, encoding):
    upstreams.answers["forensic"] = encoded(PACKED, encoding, PACKED)
    assert read_first(upstreams.collect(staging)) == PACKED


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (PACKED, "gzip"),
        (gzip.compress(LINES[:1_000]) + gzip.compress(LINES[1_000:]), "x-gzip"),
        (zlib.compress(LINES), "deflate"),
        (raw_deflate(LINES), "deflate"),
    ],
    ids=["gzip", "gzip of two members", "deflate", "deflate without zlib"],
)
def test_bytes_sent_with_an_encoding_are_taken_without_it_if_the_record_is_of_those(
    upstreams, staging, content, encoding
):
    upstreams.answers["forensic"] = encoded(content, encoding, LINES)
    assert read_first(upstreams.collect(staging)) == LINES


@pytest.mark.parametrize(
    ("content", "encoding", "words"),
    [
        (PACKED, "gzip", f"{len(PACKED)} bytes as sent nor its {len(LINES)} bytes without it"),
        (b"no gzip", "gzip", "7 bytes as sent nor .* cannot be decoded"),
        (b"no br", "br", "5 bytes as sent nor .* not known here"),
        (gzip.compress(bytes(10**6)), "gzip", f"as sent nor its more than {len(LINES)} bytes"),
        (PACKED[:-4], "gzip", "cannot be decoded"),
    ],
)
def test_bytes_that_are_not_the_records_either_way_are_refused_with_both_named(
    upstreams, staging, content, encoding, words
):
    upstreams.answers["forensic"] = encoded(content, encoding, LINES[::-1])
    with pytest.raises(PermanentError, match=f"a-9 was sent with an encoding.*{words}"):
        upstreams.collect(staging)


def test_a_download_of_changed_content_is_read_from_the_start_once(upstreams, staging):
    first, _ = served(CONTENT[::-1], cut=[1_000], ETag='"one"', ranges=False)
    later, asked = served(ETag='"two"', ranges=False)
    answers = iter([first, later])

    def answer(exchange):
        return (next(answers) if exchange.path.endswith("/content") else later)(exchange)

    upstreams.answers["forensic"] = answer
    assert read_first(upstreams.collect(staging)) == CONTENT
    assert asked == [("bytes=1000-", '"one"')]


def test_a_download_of_content_that_goes_on_changing_fails_for_now(upstreams, staging):
    tags = iter(range(1_000))

    def answer(exchange):
        exchange.close_connection = True
        exchange.send_head(200, len(CONTENT), "application/octet-stream", ETag=f'"{next(tags)}"')
        exchange.wfile.write(CONTENT[:1000])
        return True

    upstreams.answers["forensic"] = lambda exchange: "a-1" in exchange.path and answer(exchange)
    with pytest.raises(RetryableError, match="a-1 changed while it was read"):
        upstreams.collect(staging)


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
