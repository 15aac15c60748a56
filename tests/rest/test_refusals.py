"""Bad input gets a 4xx with a code and leaves nothing behind: no job, no file, no line in custody."""

from __future__ import annotations

import http.client
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.api_deployment import INCIDENT, Api, Traces, api, is_problem, make_bundle

__all__ = ["api"]

GOOD: dict[str, Any] = {"incident_id": INCIDENT}


def each(field: str, *values: Any, given: dict[str, Any] | None = None) -> list[tuple[dict[str, Any], str]]:
    return [({**(given or {}), field: value}, field) for value in values]


WRONG_CREATE: list[tuple[dict[str, Any], str]] = [
    ({}, "incident_id"),
    *each(
        "incident_id",
        None,
        7,
        True,
        ["a"],
        {"a": 1},
        "",
        " ",
        "../etc",
        "..",
        "a/b",
        "a\\b",
        "-a",
        "a\n",
        "a" * 129,
        "ä",
    ),
    *each("priority", None, "100", 1.0, True, 1001, -1001, 10**30, [1], given=GOOD),
    *each("chunk_size_mb", None, "256", 256.0, False, 0, -1, 65537, 2**63, {}, given=GOOD),
    *each("allow_partial", None, "true", 1, 0, "yes", [], given=GOOD),
    *each("source", None, "", "LIVE", "file:///etc/passwd", 1, ["live"], given=GOOD),
    *each("idempotency_key", None, "", " ", 1, "a" * 256, "a\nb", "\u202ea", ["k"], given=GOOD),
    ({**GOOD, "compression": "gzip"}, "compression"),
    ({**GOOD, "Priority": 1}, "Priority"),
    ({**GOOD, "__proto__": {}, "x" * 500: 1}, "__proto__"),
]
WRONG_RESTORE: list[tuple[dict[str, Any], str]] = [
    *each("bundle_path", None, 1, "", ["a"], "a" * 5000),
    *each("bundle_id", None, 1, "", "../x", "0" * 36),
    *each("verify_signature", None, "false", 0, [], given={"bundle_path": "a"}),
    *each("dry_run", None, "true", 1, given={"bundle_path": "a"}),
    *each("plan_digest", None, "", "A" * 64, "0" * 63, 1, given={"bundle_path": "a"}),
    ({"bundle_path": "a", "bundle_file": "x"}, "bundle_file"),
    ({"bundle_path": "a", "priority": 1}, "priority"),
]


def test_a_wrong_field_is_named_and_nothing_is_written(api: Api, orch):
    before = Traces.now(orch)
    for path, cases in (("/bundle/create", WRONG_CREATE), ("/rehydrate/start", WRONG_RESTORE)):
        for body, name in cases:
            problem = is_problem(api.post(path, body), 400, "invalid_request")
            assert name in problem["errors"], (body, problem)
    assert Traces.now(orch) == before


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"[]", b'"text"', b"7", b"{", b"{}{}", b'{"incident_id": "a",}', b"\xff\xfe", b"\xef\xbb\xbf{}",
        b'{"incident_id": "a", "incident_id": "b"}', b'{"priority": NaN, "incident_id": "a"}',
        b'{"priority": Infinity, "incident_id": "a"}', b'{"incident_id": "a", "priority": 1e999}',
        b'{"incident_id": "a\\u0000"}', b'{"incident_id": "a", "\\u0000": 1}', b'{"incident_id": "\\ud800"}',
        b'{"incident_id": "a", "\\udfff": 1}', b"[" * 100_000, b'{"a":' * 100_000,
        b'{"incident_id": "a", "priority": ' + b"9" * 10_000 + b"}",
    ],
    ids=lambda body: repr(body[:24]),
)  # fmt: skip
def test_what_is_not_one_strict_json_object_is_refused(client, settings, orch, db, body):
    settings.ORCH_ANONYMOUS_API_ROLE = "operator"
    before = Traces.now(orch)
    answer = client.post("/bundle/create", data=body, content_type="application/json", headers={"Host": "localhost"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (400, "application/problem+json")
    assert answer.json()["code"] == "invalid_request"
    assert Traces.now(orch) == before


def test_other_media_types_are_415(api: Api, orch):
    before = Traces.now(orch)
    for media_type in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonx",
        "",
        "a/b/c",
        "application/*",
    ):
        answer = api.post("/bundle/create", data=b'{"incident_id": "a"}', headers={"Content-Type": media_type})
        is_problem(answer, 415, "unsupported_media_type")
    is_problem(api.post("/bundle/create", files={"bundle_file": b"x"}), 415, "unsupported_media_type")
    assert Traces.now(orch) == before


def test_calls_without_a_body_take_none(api: Api):
    job_id = api.post("/bundle/create", GOOD).json()["job_id"]
    for call in ("cancel", "retry"):
        is_problem(api.post(f"/jobs/{job_id}/{call}", {"force": True}), 400, "invalid_request")
        is_problem(api.post(f"/jobs/{job_id}/{call}", []), 400, "invalid_request")
    assert api.get(f"/jobs/{job_id}").json()["status"] == "queued"


def test_a_query_is_as_strict_as_a_body(api: Api):
    for path in (
        "/jobs?status=done", "/jobs?type=Bundle", "/jobs?type=a%00", "/jobs?states=queued", "/jobs?limit=0",
        "/jobs?limit=501", "/jobs?limit=x", "/jobs?limit=", "/jobs?status=queued&status=failed",
        "/jobs?incident_id=a%00b",
        "/bundles?incident=a", "/bundles?limit=1e3", "/incidents?search=" + "a" * 129, "/incidents?q=1",
        "/search", "/search?q=", "/search?q=%20", "/search?q=a%00b", "/search?q=" + "a" * 201, "/search?q=a&q=b",
        "/search?q=a&limit=0", "/search?q=a&limit=101", "/search?q=a&cursor=x",
        "/bundles?verdict=good",
    ):  # fmt: skip
        is_problem(api.get(path), 400, "invalid_request")
    for path in ("/jobs", "/bundles", "/incidents"):
        for cursor in ("x", "%00", "e30", "W10", "ä", "A" * 1000):
            assert api.get(f"{path}?cursor={cursor}").json()["code"] in {"cursor_invalid", "invalid_request"}


def test_a_path_that_leads_to_no_bundle_file_of_ours_is_refused(api: Api, orch, tmp_path: Path):
    bundle = make_bundle(orch)
    real = orch.output_dir / bundle.name
    outside = tmp_path / "outside.tar.zst"
    outside.write_bytes(real.read_bytes())
    (orch.output_dir / "link.tar.zst").symlink_to(real)
    (orch.output_dir / "out.tar.zst").symlink_to(outside)
    (orch.output_dir / "folder").symlink_to(tmp_path)
    (orch.output_dir / "directory.tar.zst").mkdir()
    os.mkfifo(orch.output_dir / "pipe.tar.zst")
    before = Traces.now(orch)
    details = set()
    for path in (
        outside, "/etc/passwd", "/dev/zero", "../outside.tar.zst", f"{orch.output_dir}/../outside.tar.zst",
        f"{orch.output_dir}/folder/outside.tar.zst", "folder/outside.tar.zst", "link.tar.zst", "out.tar.zst",
        "directory.tar.zst", "pipe.tar.zst", orch.output_dir, ".", "/", "missing.tar.zst", "~/x", "%2e%2e/x",
        f"{orch.output_dir}x/y", "file:///etc/passwd", "a\ud7ff", " ", "//etc/passwd", "nul\u2400",
    ):  # fmt: skip
        problem = is_problem(api.post("/rehydrate/start", {"bundle_path": str(path)}), 400, "bundle_path_invalid")
        details.add(problem["detail"])
    assert len(details) == 1, "the answer tells what is on the disk"
    assert Traces.now(orch) == before


def test_a_restore_names_exactly_one_bundle_and_its_signature_counts(api: Api, orch):
    bundle = make_bundle(orch)
    before = Traces.now(orch)
    path, bundle_id = bundle.name, str(bundle.bundle_id)
    is_problem(api.post("/rehydrate/start", {}), 400, "invalid_request")
    is_problem(api.post("/rehydrate/start", {"bundle_path": path, "bundle_id": bundle_id}), 400, "invalid_request")
    unsigned = {"bundle_path": path, "verify_signature": False}
    for role in ("operator", "admin"):
        is_problem(api.post("/rehydrate/start", unsigned, role=role), 403, "signature_required")
    gone = {"bundle_id": "00000000-0000-4000-8000-000000000000"}
    is_problem(api.post("/rehydrate/start", gone), 404, "bundle_not_found")
    assert Traces.now(orch) == before


def multipart(*parts: bytes, end: bytes = b"--B--\r\n") -> bytes:
    return b"".join(b"--B\r\nContent-Disposition: form-data; " + part + b"\r\n" for part in parts) + end


FILE = b'name="bundle_file"; filename="b.tar.zst"\r\n\r\n' + b"x" * 300_000
WRONG_FORMS = {
    "no closing boundary": multipart(FILE, end=b""),
    "half a boundary": multipart(FILE, end=b"--B"),
    "no file": multipart(b'name="dry_run"\r\n\r\ntrue'),
    "a file that is none": multipart(b'name="bundle_file"\r\n\r\nx'),
    "two files": multipart(FILE, FILE),
    "a field twice": multipart(b'name="dry_run"\r\n\r\ntrue', b'name="dry_run"\r\n\r\ntrue', FILE),
    "an unknown field behind the file": multipart(FILE, b'name="extra"\r\n\r\n1'),
    "a wrong boolean behind the file": multipart(FILE, b'name="dry_run"\r\n\r\nyes'),
    "a path beside the file": multipart(b'name="bundle_path"\r\n\r\na', FILE),
    "a field without end": multipart(b'name="idempotency_key"\r\n\r\n' + b"k" * 9000, FILE),
    "a header without end": b"--B\r\n" + b"X: y" * 9000,
    "a part without a name": multipart(b'filename="x"\r\n\r\nx'),
    "text that is no UTF-8": multipart(b'name="idempotency_key"\r\n\r\n\xff', FILE),
    "a preamble": b"hello\r\n" + multipart(FILE),
    "nothing but the end": b"--B--\r\n",
    "parts without number": multipart(*(b'name="f%d"\r\n\r\n' % n for n in range(50))),
}


def test_a_wrong_or_unfinished_form_leaves_no_file(api: Api, orch):
    headers = {"Content-Type": "multipart/form-data; boundary=B"}
    before = Traces.now(orch)
    for name, body in WRONG_FORMS.items():
        answer = api.post("/rehydrate/start", data=body, headers=headers)
        assert (name, answer.status_code, answer.json()["code"]) == (name, 400, "invalid_request")
    for boundary in ("", "boundary=", 'boundary="a\tb"', "boundary=" + "b" * 71):
        headers = {"Content-Type": f"multipart/form-data; {boundary}"}
        answer = api.post("/rehydrate/start", data=multipart(FILE), headers=headers)
        assert (boundary, answer.status_code) == (boundary, 400)
    assert Traces.now(orch) == before


def test_an_upload_whose_client_goes_away_leaves_no_file(api: Api, orch):
    before = Traces.now(orch)
    body = multipart(FILE)
    connection = http.client.HTTPConnection(urlsplit(api.url).netloc, timeout=240)
    connection.putrequest("POST", "/rehydrate/start")
    connection.putheader("Authorization", f"Token {api.tokens['operator']}")
    connection.putheader("Content-Type", "multipart/form-data; boundary=B")
    connection.putheader("Content-Length", str(len(body) + 10))
    connection.endheaders()
    connection.send(body[:100_000])
    assert connection.sock is not None
    connection.sock.shutdown(1)
    assert connection.getresponse().status == 400
    connection.close()
    assert Traces.now(orch) == before


def test_an_upload_over_the_limit_is_413_and_leaves_no_file(api: Api, orch, settings):
    settings.ORCH_MAX_UPLOAD_BYTES = 200_000
    before = Traces.now(orch)
    headers = {"Content-Type": "multipart/form-data; boundary=B"}
    is_problem(api.post("/rehydrate/start", data=multipart(FILE), headers=headers), 413, "upload_too_large")
    settings.ORCH_MAX_UPLOAD_BYTES = 1000
    is_problem(api.post("/rehydrate/start", data=multipart(FILE), headers=headers), 413, "upload_too_large")
    assert Traces.now(orch) == before


def test_a_refused_restore_of_an_upload_does_not_keep_the_upload(api: Api, orch):
    form = {"bundle_file": ("b", b"content"), "verify_signature": (None, "false")}
    is_problem(api.post("/rehydrate/start", files=form), 403, "signature_required")
    assert list((orch.output_dir / ".quarantine").iterdir()) == []
    is_problem(api.post("/rehydrate/start", files=form, role="analyst"), 403, "permission_denied")
