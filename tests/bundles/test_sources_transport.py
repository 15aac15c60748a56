"""The transport's bounds: time, size, redirects, proxies, cookies."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress

import pytest

from bundles.sources import health
from jobs.errors import PermanentError, RetryableError
from tests.support.upstreams import INCIDENT, Upstreams, says, small_incident


@pytest.fixture
def upstreams(tmp_path):
    with Upstreams([small_incident(tmp_path / "data")]) as running:
        yield running


@pytest.fixture
def staging(tmp_path):
    made = tmp_path / "staging"
    made.mkdir()
    return made


def drip(start: bytes, drop: bytes):
    """Sends `start` and then `drop` again and again, often enough that no single read times out."""

    def answer(exchange):
        exchange.close_connection = True
        pause = threading.Event()
        with suppress(OSError):
            exchange.connection.sendall(start)
            if not drop:
                exchange.rfile.read(1)  # until the other side gives up
            while drop and not pause.wait(0.05):
                exchange.connection.sendall(drop)
        return True

    return answer


@pytest.mark.parametrize(
    ("start", "drop"),
    [
        (b"", b""),
        (b"HTTP/1.1 200 OK\r\n", b"X"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{", b" "),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n{", b" "),
        (b"HTTP/1.1 200 OK\r\n\r\n{", b" "),
    ],
    ids=["silence", "a header without end", "a body byte by byte", "a chunk byte by byte", "a body without length"],
)
def test_a_source_that_is_too_slow_is_given_up(upstreams, staging, start, drop):
    upstreams.answers["killchain"] = drip(start, drop)
    with pytest.raises(RetryableError, match="KillChain timeline") as raised:
        upstreams.collect(staging, timeout_s=0.6, total_factor=1)
    assert raised.value.code == "source_unavailable"


def flood(piece: bytes, sent: list[int]):
    """Claims ten gigabytes and sends until the client disconnects."""

    def answer(exchange):
        exchange.close_connection = True
        exchange.send_head(200, 10 * 1024**3, "application/json")
        with suppress(OSError):
            while True:
                exchange.wfile.write(piece)
                sent.append(len(piece))
        return True

    return answer


@pytest.mark.parametrize("service", ["killchain", "db", "forensic"])
@pytest.mark.parametrize(
    "piece", [b" " * 65536, b"[" * 65536, b'{"x":"' + b"y" * 65536], ids=["blanks", "deep", "text"]
)
def test_ten_gigabytes_are_not_read(upstreams, staging, service, piece):
    sent: list[int] = []
    upstreams.answers[service] = flood(piece, sent)
    small = {"timeline_bytes": 2**20, "page_bytes": 2**20, "artifact_list_bytes": 2**20, "header_bytes": 2**18}
    with pytest.raises(PermanentError) as raised:
        upstreams.collect(staging, record_bytes=2**18, **small)
    assert raised.value.code == "source_invalid"
    assert sum(sent) < 64 * 2**20


def test_a_record_beyond_its_bound_is_refused(upstreams, staging):
    upstreams.answers["db"] = says({"alerts": [{"id": "1", "note": "x" * 5000}]})
    with pytest.raises(PermanentError, match="Alerts DB"):
        upstreams.collect(staging, record_bytes=4096)


def test_a_redirect_is_not_followed_even_to_the_same_host(upstreams, staging):
    upstreams.answers["killchain"] = says(b"", 307, Location=f"{upstreams.url('killchain')}/elsewhere")
    with pytest.raises(PermanentError, match="redirect"):
        upstreams.collect(staging)
    assert upstreams.asked == [f"GET /api/v1/timeline/{INCIDENT}"]


def test_proxies_and_netrc_of_the_environment_are_ignored(upstreams, staging, monkeypatch, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, nobody)
        monkeypatch.setenv(name.upper(), nobody)
    for name in [name for name in os.environ if name.lower() == "no_proxy"]:
        monkeypatch.delenv(name)
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login robot password hunter2\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    given: list[str | None] = []

    def look(exchange):
        given.append(exchange.headers.get("Authorization"))
        return False

    upstreams.answers["killchain"] = look
    assert upstreams.collect(staging).counts["events"] == 3
    assert given == [None]


def test_cookies_are_not_kept(upstreams, staging):
    given: list[str | None] = []

    def look(exchange):
        given.append(exchange.headers.get("Cookie"))
        exchange.send_head(200, len(b'{"alerts": []}'), "application/json", Set_Cookie="session=1; Path=/")
        exchange.wfile.write(b'{"alerts": []}')
        return True

    def capped(exchange):
        given.append(exchange.headers.get("Cookie"))
        body = b'{"alerts": [{"id": "1"}]}'
        exchange.send_head(200, len(body), "application/json", Set_Cookie="session=1; Path=/")
        exchange.wfile.write(body)
        upstreams.answers["db"] = look
        return True

    upstreams.answers["db"] = capped
    assert upstreams.collect(staging).counts["alerts"] == 1
    assert given == [None, None]


def test_reachability_reports_which_services_respond(upstreams, settings):
    settings.KILLCHAIN_API_URL = upstreams.url("killchain")
    settings.DB_API_URL = upstreams.url("db")
    settings.FORENSIC_API_URL = upstreams.url("forensic")
    settings.CORE_API_URL = ""
    upstreams.answers["db"] = says(b"", 500)
    upstreams.answers["forensic"] = says(b"", 404)
    states = {one.name: one for one in health.reachability()}
    assert {name: one.ok for name, one in states.items()} == {
        "timeline": True, "alerts": False, "artifacts": True, "core": False,
    }  # fmt: skip
    assert [one.name for one in states.values() if one.informational] == ["core"]
    assert "500" in states["alerts"].detail


def test_a_silent_service_is_slow_while_a_job_would_still_wait_and_down_after_that(settings):
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.create_server(("127.0.0.1", 0)) as gone:
        url, refusing = (f"http://127.0.0.1:{one.getsockname()[1]}" for one in (silent, gone))
        gone.close()
        settings.KILLCHAIN_API_URL = settings.DB_API_URL = settings.CORE_API_URL = url
        settings.FORENSIC_API_URL = refusing
        settings.ORCH_SOURCE_TIMEOUT_SECONDS = 30
        asked = health.reachability(wait_s=0.2)
        settings.ORCH_SOURCE_TIMEOUT_SECONDS = 1
        asked_for_as_long_as_a_job = health.reachability()
    assert [(one.ok, one.slow, one.down) for one in asked] == [
        (False, True, False), (False, True, False), (False, False, True), (False, True, False),
    ]  # fmt: skip
    assert asked[0].detail.startswith("Slow: no answer")
    assert [one.down for one in asked_for_as_long_as_a_job] == [True] * 4
    assert all("Not reachable" in one.detail for one in asked_for_as_long_as_a_job)


def test_a_service_that_answers_late_is_slow_and_not_down(upstreams, settings, monkeypatch):
    settings.KILLCHAIN_API_URL = settings.DB_API_URL = settings.FORENSIC_API_URL = upstreams.url("killchain")
    settings.CORE_API_URL = ""
    monkeypatch.setattr(health, "SLOW_FROM_S", 0)
    states = health.reachability()
    assert [(one.ok, one.slow, one.down) for one in states] == [(True, True, False)] * 3 + [(False, False, False)]
