"""The sample services: what they serve, what they refuse, and how the command starts and ends."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import requests

from bundles.samples.services import SampleServices
from tests.support.upstreams import ALERTS, CONTENTS, INCIDENT, small_incident

CONTENT = CONTENTS["a-1"][1]
CONTENT_PATH = "/api/v1/artifacts/a-1/content"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def services(tmp_path):
    with SampleServices([tmp_path / "none", small_incident(tmp_path / "data")]) as running:
        yield running


@pytest.fixture
def session():
    with requests.Session() as made:
        made.trust_env = False
        yield made


def raw_get(url: str, path: str) -> bytes:
    """The status line for a path that client libraries would normalize."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=240) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        return connection.recv(65536).split(b"\r\n")[0]


def test_every_service_reports_its_health(services, session):
    for service in ("killchain", "db", "forensic"):
        assert session.get(services.url(service) + "/health").json()["service"] == service


def test_a_connection_is_kept_between_requests(services):
    connection = http.client.HTTPConnection("127.0.0.1", services.ports["killchain"], timeout=240)
    with closing(connection):
        connection.connect()
        opened = connection.sock
        for _ in range(3):
            connection.request("GET", "/health")
            assert json.loads(connection.getresponse().read())["ok"] is True
            assert connection.sock is opened


def test_the_timeline_of_an_incident_is_served_and_an_unknown_one_is_not(services, session):
    url = services.url("killchain") + "/api/v1/timeline/"
    assert session.get(url + INCIDENT).json()["event_count"] == 3
    assert session.get(url + "case-8").status_code == 404


def test_alerts_come_in_pages_with_a_total(services, session):
    def page(**query):
        return session.post(services.url("db") + "/query/alerts", json=query)

    assert len(page(correlation_id=INCIDENT, limit=500, offset=1000).json()["alerts"]) == ALERTS - 1000
    assert page(correlation_id=INCIDENT, limit=1, offset=0).json()["total"] == ALERTS
    assert page(correlation_id="case-8", limit=1, offset=0).json()["alerts"] == []
    assert page(limit=1).status_code == 400
    assert page(correlation_id=INCIDENT, limit=100_000).status_code == 400
    assert page(correlation_id=INCIDENT, offset=-1).status_code == 400
    assert session.post(services.url("db") + "/query/alerts", data=b"{").status_code == 400


def test_content_is_served_whole_and_in_ranges(services, session):
    def get(**fields):
        return session.get(services.url("forensic") + CONTENT_PATH, headers=fields)

    whole = get()
    assert (whole.status_code, whole.content) == (200, CONTENT)
    part = get(Range="bytes=1000-1999")
    assert (part.status_code, part.content) == (206, CONTENT[1000:2000])
    assert part.headers["Content-Range"] == f"bytes 1000-1999/{len(CONTENT)}"
    assert get(Range="bytes=-5").content == CONTENT[-5:]
    assert get(Range=f"bytes={len(CONTENT) - 3}-").content == CONTENT[-3:]
    beyond = get(Range=f"bytes={len(CONTENT)}-")
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, f"bytes */{len(CONTENT)}")
    again = get(Range="bytes=5-", **{"If-Range": whole.headers["ETag"]})
    assert (again.status_code, again.content) == (206, CONTENT[5:])
    assert get(Range="bytes=5-", **{"If-Range": '"another"'}).status_code == 200


@pytest.mark.parametrize("name", ["..", "../case-7", "%2e%2e%2fcase-7", "/etc", "", "case-7/../case-7", "case-7%00"])
def test_a_path_out_of_the_folder_is_not_found(services, name):
    for service, path in (
        ("killchain", f"/api/v1/timeline/{name}"),
        ("forensic", f"/api/v1/artifacts?incident_id={name}"),
        ("forensic", f"/api/v1/artifacts/{name}/content"),
    ):
        assert raw_get(services.url(service), path).split()[1] == b"404"


def test_links_and_records_that_lead_out_of_the_folder_are_not_served(tmp_path, session):
    folder = small_incident(tmp_path / "data")
    (tmp_path / "secret").write_bytes(b"secret")
    (folder / "case-8").symlink_to(folder / INCIDENT)
    (folder / INCIDENT / "artifacts" / "a-1" / CONTENTS["a-1"][0]).unlink()
    (folder / INCIDENT / "artifacts" / "a-1" / CONTENTS["a-1"][0]).symlink_to(tmp_path / "secret")
    listing = folder / INCIDENT / "artifacts.json"
    listing.write_text(listing.read_text().replace("artifacts/a-2/empty", "../../secret"))
    with SampleServices([folder]) as services:
        content = services.url("forensic") + "/api/v1/artifacts/{}/content"
        assert session.get(services.url("killchain") + "/api/v1/timeline/case-8").status_code == 404
        assert session.get(content.format("a-1")).status_code == 404
        assert session.get(content.format("a-2")).status_code == 404
        assert session.get(content.format("a-3")).content == b"disk"


def test_a_taken_port_is_named(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        services = SampleServices([tmp_path], {"db": port})
        with pytest.raises(OSError, match=str(port)):
            services.start()
        assert services.ports == {}


def run(*arguments: str, **options) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**os.environ, "ORCH_PROFILE": "development", "DB_HOST": "unused"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_serves_until_a_signal_and_leaves_cleanly(tmp_path, session, number):
    folder = small_incident(tmp_path / "data")
    free = [f"--{service}-port=0" for service in ("killchain", "forensic", "db")]
    with run("serve_sample_sources", "--data", str(tmp_path), "--data", str(folder), *free) as command:
        assert command.stdout is not None
        urls = dict(command.stdout.readline().split() for _ in range(3))
        assert command.stdout.readline().split() == ["incidents", INCIDENT]
        assert session.get(urls["killchain"] + f"/api/v1/timeline/{INCIDENT}").status_code == 200
        command.send_signal(number)
        _, errors = command.communicate(timeout=240)
    assert (command.returncode, errors) == (0, "")


def test_the_command_refuses_a_folder_that_is_not_there(tmp_path):
    with run("serve_sample_sources", "--data", str(tmp_path / "none")) as command:
        _, errors = command.communicate(timeout=240)
    assert command.returncode == 1
    assert str(tmp_path / "none") in errors
    assert "Traceback" not in errors


def test_alerts_are_served_as_their_file_writes_them(tmp_path, session):
    alerts = ['{"id": "a", "v":1.10,  "t": 1486215887.584922537}', '{"id":"b","n":-0, "é": [1E400]}']
    folder = small_incident(tmp_path / "data")
    (folder / INCIDENT / "alerts.json").write_text(f"[ {' ,'.join(alerts)}\n]")
    with SampleServices([folder]) as running:
        query = {"correlation_id": INCIDENT, "limit": 5, "offset": 0}
        served = session.post(running.url("db") + "/query/alerts", json=query).content.decode()
    assert served == f'{{"alerts": [{",".join(alerts)}], "total": 2}}'
