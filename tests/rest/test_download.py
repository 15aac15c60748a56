"""A bundle's bytes over HTTP: whole, in ranges, under conditions, and never without a line in custody."""

from __future__ import annotations

import base64
import hashlib
import os
from typing import Any

import pytest

from bundles.rest.api_shapes import BundledArtifactShape
from custody.models import Event
from tests.support import console_rows as rows
from tests.support.api_deployment import Api, api, gunicorn_api, is_problem, make_bundle
from tests.support.bundle_rows import contents, entries

__all__ = ["api", "gunicorn_api"]


@pytest.fixture
def file(orch: Any, transactional_db: None) -> tuple[str, bytes]:
    """A bundle's address and its bytes, some hundred kilobytes that do not compress."""
    bundle = make_bundle(orch, content=os.urandom(400_000))
    return f"/bundles/{bundle.bundle_id}/download", (orch.output_dir / bundle.name).read_bytes()


def downloads() -> int:
    return Event.objects.filter(action="bundle.download").count()


def test_a_download_is_the_file_with_its_digest_and_cannot_be_mistaken_for_a_page(file, gunicorn_api: Api):
    path, content = file
    head = gunicorn_api.call("HEAD", path, headers={"Range": "bytes=0-1"})
    assert (head.status_code, head.content, downloads()) == (200, b"", 0)
    answer = gunicorn_api.get(path, role="analyst")
    assert {**head.headers, "X-Request-ID": "", "Date": ""} == {**answer.headers, "X-Request-ID": "", "Date": ""}
    sha256 = hashlib.sha256(content)
    assert (answer.status_code, answer.content) == (200, content)
    told = {name: answer.headers[name] for name in (
        "Content-Length", "Content-Type", "ETag", "Repr-Digest", "Accept-Ranges", "Cache-Control",
        "X-Content-Type-Options",
    )}  # fmt: skip
    assert told == {
        "Content-Length": str(len(content)),
        "Content-Type": "application/zstd",
        "ETag": f'"{sha256.hexdigest()}"',
        "Repr-Digest": f"sha-256=:{base64.b64encode(sha256.digest()).decode()}:",
        "Accept-Ranges": "bytes",
        "Cache-Control": "no-store, no-transform",
        "X-Content-Type-Options": "nosniff",
    }
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="bundle_')
    assert downloads() == 1


@pytest.mark.parametrize("server", ["api", "gunicorn_api"])
def test_ranges_give_exactly_their_bytes(file, server: str, request: pytest.FixtureRequest):
    path, content = file
    caller: Api = request.getfixturevalue(server)
    size = len(content)
    for asked, first, last in (
        ("bytes=0-0", 0, 0), ("bytes=0-", 0, size - 1), ("bytes=1000-1999", 1000, 1999),
        ("bytes=100000-", 100_000, size - 1),
        ("bytes=-5", size - 5, size - 1), (f"bytes=-{size * 2}", 0, size - 1), (f"bytes=7-{size * 9}", 7, size - 1),
        (f"bytes={size - 1}-", size - 1, size - 1), ("Bytes = 3-4", 3, 4),
    ):  # fmt: skip
        answer = caller.get(path, headers={"Range": asked})
        assert (asked, answer.status_code) == (asked, 206)
        assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{size}"
        assert answer.headers["Content-Length"] == str(last - first + 1)
        assert answer.content == content[first : last + 1], asked


def test_ranges_that_cannot_be_read_get_the_whole_file(file, api: Api):
    path, content = file
    for asked in (
        "bytes=",
        "bytes=-",
        "bytes=5-3",
        "bytes=a-b",
        "bytes=0-1,3-4",
        "lines=1-2",
        "bytes=" + "9" * 30 + "-",
        "x",
    ):
        answer = api.get(path, headers={"Range": asked})
        assert (asked, answer.status_code, len(answer.content)) == (asked, 200, len(content))


def test_a_range_behind_the_end_is_416_and_tells_the_size(file, api: Api):
    path, content = file
    for asked in (f"bytes={len(content)}-", "bytes=99999999-99999999", "bytes=-0"):
        answer = api.get(path, headers={"Range": asked})
        is_problem(answer, 416, "range_not_satisfiable")
        assert answer.headers["Content-Range"] == f"bytes */{len(content)}"
    assert downloads() == 0


def test_conditions_are_answered_by_the_files_digest(file, api: Api):
    path, content = file
    etag = f'"{hashlib.sha256(content).hexdigest()}"'
    other = f'"{"0" * 64}"'
    for known in (etag, f"{other}, W/{etag}", "*"):
        answer = api.get(path, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", etag)
    is_problem(api.get(path, headers={"If-Match": other}), 412, "precondition_failed")
    is_problem(api.get(path, headers={"If-Match": f"W/{etag}"}), 412, "precondition_failed")
    assert downloads() == 0
    assert api.get(path, headers={"If-None-Match": other, "If-Match": etag}).status_code == 200
    resumed = {"Range": "bytes=10-19", "If-Range": etag}
    assert api.get(path, headers=resumed).content == content[10:20]
    for stale in (other, f"W/{etag}", "Tue, 01 Dec 2026 00:00:00 GMT"):
        assert api.get(path, headers={**resumed, "If-Range": stale}).status_code == 200


def test_every_request_that_gets_bytes_is_recorded(file, api: Api):
    path, _ = file
    api.get(path, headers={"Range": "bytes=1-"})  # all but one byte is a download too
    assert downloads() == 1


def test_whoever_may_only_look_gets_no_byte_and_no_condition_answered(file, api: Api):
    path, content = file
    etag = f'"{hashlib.sha256(content).hexdigest()}"'
    for headers in ({}, {"If-None-Match": etag}, {"Range": "bytes=0-0"}):
        is_problem(api.get(path, role="viewer", headers=headers), 403, "permission_denied")
    assert downloads() == 0


def test_one_file_of_a_bundle_is_listed_sent_after_it_matched_and_recorded(orch: Any, api: Api):
    content = os.urandom(1000)
    bundle = make_bundle(orch, content=content)
    listed = api.get(f"/bundles/{bundle.bundle_id}/artifacts", role="viewer").json()
    assert (len(listed["artifacts"]), listed["next"]) == (1, None)
    [artifact] = listed["artifacts"]
    assert set(artifact) == set(BundledArtifactShape().fields)
    path = f"/bundles/{bundle.bundle_id}/files/{artifact['place']}"
    head = api.call("HEAD", path, role="analyst")
    assert not Event.objects.filter(action="bundle.open_file").exists()
    answer = api.get(path, role="analyst")
    assert (answer.status_code, answer.content) == (200, content)
    for name in ("Content-Length", "ETag", "Repr-Digest", "Content-Type"):
        assert head.headers[name] == answer.headers[name]
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert answer.headers["ETag"] == f'"{hashlib.sha256(content).hexdigest()}"' == f'"{artifact["sha256"]}"'
    assert Event.objects.get(action="bundle.open_file").actor == "analyst"
    for method in ("GET", "HEAD"):
        assert api.call(method, f"/bundles/{bundle.bundle_id}/files/99", role="analyst").status_code == 404
    file = orch.output_dir / bundle.name
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.write_bytes(raw)
    is_problem(api.get(path, role="analyst"), 409, "file_not_as_signed")


def test_the_artifacts_of_a_bundle_are_filtered_and_paged(orch: Any, api: Api):
    bundle = rows.bundle()
    contents(bundle, entries(*(f"artifacts/a-{at}/x-{at}" for at in range(9))), host=lambda at: f"host-{at % 2}")
    path = f"/bundles/{bundle.bundle_id}/artifacts?host=host-1&text=X-&limit=3"
    first = api.get(path, role="viewer").json()
    second = api.get(f"{path}&cursor={first['next']}", role="viewer").json()
    assert [one["name"] for page in (first, second) for one in page["artifacts"]] == ["x-1", "x-3", "x-5", "x-7"]
    assert second["next"] is None
    is_problem(api.get(f"{path}&cursor=!!", role="viewer"), 400, "cursor_invalid")
    is_problem(api.get(f"/bundles/{bundle.bundle_id}/artifacts?name=x", role="viewer"), 400, "invalid_request")
