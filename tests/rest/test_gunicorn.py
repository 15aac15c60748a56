"""The API as it really runs: the curl lines of the README, bodies without end, and uploads in bounded memory."""

from __future__ import annotations

import http.client
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from jobs.models import Job
from tests.support.api_deployment import INCIDENT, PATIENCE_S, Api, Traces, gunicorn_api, is_problem, make_bundle

__all__ = ["gunicorn_api"]

GIGABYTE = 1 << 30
BLOCK = b"\0" * (1 << 20)
JSON = ["-H", "Content-Type: application/json"]


CURL = ("curl", "--silent", "--show-error", "--max-time", str(PATIENCE_S))
CONNECTION_CLOSED = 55  # curl's exit code when the other side closes while it still sends


def curl(*arguments: str) -> dict[str, object]:
    done = subprocess.run([*CURL, *arguments], capture_output=True, check=True)
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def server_memory() -> int:
    """Bytes held by the gunicorn processes that this test started."""
    children = psutil.Process().children(recursive=True)
    return sum(child.memory_info().rss for child in children if "gunicorn" in " ".join(child.cmdline()))


def test_the_three_curl_lines_work_from_this_host_without_a_token(gunicorn_api: Api, orch):
    url = gunicorn_api.url
    body = '{"incident_id": "incident-123", "priority": 100, "chunk_size_mb": 256}'
    created = curl("-X", "POST", f"{url}/bundle/create", *JSON, "-d", body)
    assert (created["status"], created["incident_id"]) == ("queued", INCIDENT)
    path = orch.output_dir / make_bundle(orch).name
    body = f'{{"bundle_path": "{path}", "verify_signature": true, "idempotency_key": "rehydrate-123"}}'
    started = curl("-X", "POST", f"{url}/rehydrate/start", *JSON, "-d", body)
    assert (started["status"], started["bundle_path"]) == ("queued", str(path))
    job = curl(f"{url}/jobs/{started['job_id']}")
    assert (job["job_id"], job["job_type"], job["requested_by"]) == (started["job_id"], "rehydrate", "anonymous")


def test_a_body_of_a_gigabyte_is_413_before_it_is_read_and_takes_no_memory(gunicorn_api: Api, orch, tmp_path: Path):
    before, memory = Traces.now(orch), server_memory()
    assert memory > 0
    for media_type, code in (
        ("application/json", "body_too_large"),
        ("multipart/form-data; boundary=B", "upload_too_large"),
    ):
        connection = http.client.HTTPConnection(urlsplit(gunicorn_api.url).netloc, timeout=PATIENCE_S)
        connection.putrequest("POST", "/rehydrate/start")
        connection.putheader("Content-Type", media_type)
        connection.putheader("Content-Length", str(GIGABYTE))
        connection.endheaders()
        answer = connection.getresponse()  # not one byte of the body was sent
        assert (answer.status, json.loads(answer.read())["code"]) == (413, code)
        connection.close()
    assert Traces.now(orch) == before
    huge = tmp_path / "huge"
    with huge.open("wb") as file:
        file.truncate(GIGABYTE)
    sent_all_the_same = (*CURL, "-X", "POST", f"{gunicorn_api.url}/bundle/create", *JSON, "-T", str(huge))
    done = subprocess.run(sent_all_the_same, capture_output=True, check=False)
    # The answer waits for whoever looks before sending on; whoever does not finds the connection closed.
    if done.returncode != CONNECTION_CLOSED:
        told = json.loads(done.stdout)
        assert (done.returncode, told["status"], told["code"]) == (0, 413, "body_too_large")
    assert server_memory() - memory < 32 << 20
    huge.unlink()
    assert Traces.now(orch) == before


def test_an_upload_streams_to_quarantine_in_bounded_memory_and_never_by_way_of_tmp(gunicorn_api: Api, orch):
    megabytes = 48
    head = b'--B\r\nContent-Disposition: form-data; name="bundle_file"; filename="b"\r\n\r\n'
    tail = b'\r\n--B\r\nContent-Disposition: form-data; name="dry_run"\r\n\r\ntrue\r\n--B--\r\n'
    length = len(head) + megabytes * len(BLOCK) + len(tail)
    memory = server_memory()
    connection = http.client.HTTPConnection(urlsplit(gunicorn_api.url).netloc, timeout=PATIENCE_S)
    connection.putrequest("POST", "/rehydrate/start")
    connection.putheader("Content-Type", "multipart/form-data; boundary=B")
    connection.putheader("Content-Length", str(length))
    connection.endheaders(head)
    for number in range(megabytes):
        connection.send(BLOCK)
        if number == megabytes // 2:
            assert list((orch.root / "tmp").iterdir()) == []
            assert [path.suffix for path in (orch.output_dir / ".quarantine").iterdir()] == [".part"]
    connection.send(tail)
    answer = connection.getresponse()
    accepted = json.loads(answer.read())
    connection.close()
    assert answer.status == 202, accepted
    assert Path(accepted["bundle_path"]).stat().st_size == megabytes * len(BLOCK)
    assert server_memory() - memory < 24 << 20
    assert Job.objects.get().payload["dry_run"] is True


def test_addresses_with_dots_lead_nowhere(gunicorn_api: Api, orch):
    before = Traces.now(orch)
    netloc = urlsplit(gunicorn_api.url).netloc
    for path in (
        "/jobs/../../../etc/passwd", "/jobs/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "/incidents/..", "/incidents/%2e%2e/x",
        "/bundles/..%2f..%2fetc/download", "/jobs/%00", "/bundles/%ff%fe", "/incidents/a%0d%0aX-Evil:%201",
    ):  # fmt: skip
        connection = http.client.HTTPConnection(netloc, timeout=PATIENCE_S)
        connection.request("GET", path)
        answer = connection.getresponse()
        assert (path, answer.status, answer.headers["Content-Type"]) == (path, 404, "application/problem+json")
        assert answer.headers["X-Evil"] is None
        connection.close()
    assert Traces.now(orch) == before


def test_a_body_of_untold_length_is_411(gunicorn_api: Api, orch):
    def endless() -> Iterator[bytes]:
        yield b'{"incident_id": "incident-123"}'

    before = Traces.now(orch)
    for path in ("/bundle/create", "/rehydrate/start"):
        answer = gunicorn_api.post(path, data=endless(), headers={"Content-Type": "application/json"})
        is_problem(answer, 411, "length_required")
    assert Traces.now(orch) == before
