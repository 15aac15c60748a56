"""A system is asked as somebody, over TLS: against a real server on loopback with certificates made here."""

from __future__ import annotations

import base64
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bundles.sources import checking
from bundles.sources.client import SourceClient
from bundles.sources.faults import ALERTS, Source
from bundles.sources.health import of_profile
from bundles.sources.limits import DEFAULT_LIMITS
from bundles.sources.profiles import Credential, Profile, System
from jobs.errors import JobError, PermanentError, RetryableError
from tests.support.certificates import Authority, Pair

SOURCE = Source("alerts", "The system")
TOKEN = "t0ken-of-the-test"  # not one
GONE = timedelta(days=-1)


@dataclass
class Upstream:
    """A server that records what it was asked, and answers with a status and headers."""

    url: str
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)
    at: list[float] = field(default_factory=list)


@contextmanager
def serving(pair: Pair | None, *, clients: Path | None = None) -> Iterator[Upstream]:
    """Serve over TLS with a certificate, or plainly without one; `clients` signs the certificates that are demanded."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            served.at.append(time.monotonic())
            served.asked.append(dict(self.headers.items()))
            self.send_response(served.status)
            for name, value in {"Content-Length": "0", **served.headers}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            pass  # a client that refuses our certificate

    server = Server(("127.0.0.1", 0), Handler)
    if pair is not None:
        context = pair.server_context()
        if clients is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(clients)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    served = Upstream(f"http{'s' if pair else ''}://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def upstream(authority: Authority) -> Iterator[Upstream]:
    """A server whose certificate is good."""
    with serving(authority.sign("server")) as running:
        yield running


def system_of(upstream: Upstream, authority: Authority, **more: Any) -> System:
    about = {
        "name": "sys",
        "adapter": "ransomeye",
        "url": upstream.url,
        "timeout_s": 5,
        "ca_file": authority.certificate,
    }
    return System(**{**about, **more})


def ask(system: System, times: int = 1) -> None:
    with SourceClient(SOURCE, system, DEFAULT_LIMITS) as client:
        for _ in range(times):
            with client.answer("GET", "/api") as response:
                response.raw.read()


def fault_of(system: System) -> JobError:
    with pytest.raises((PermanentError, RetryableError)) as refused:
        ask(system)
    assert TOKEN not in str(refused.value)
    return refused.value


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.write_text(f"{TOKEN}\n")
    return file


@pytest.mark.parametrize(
    ("credential", "sent"),
    [
        (("bearer", ""), ("Authorization", f"Bearer {TOKEN}")),
        (("header", "X-Api-Key"), ("X-Api-Key", TOKEN)),
        (("basic", "robot"), ("Authorization", f"Basic {base64.b64encode(f'robot:{TOKEN}'.encode()).decode()}")),
    ],
)
def test_a_system_is_asked_as_its_credential_says(
    upstream: Upstream, authority: Authority, secret: Path, credential: tuple[Any, str], sent: tuple[str, str]
) -> None:
    kind, name = credential
    ask(system_of(upstream, authority, credential=Credential(kind=kind, secret_file=secret, name=name)))
    assert [asked[sent[0]] for asked in upstream.asked] == [sent[1]]


def test_a_rotated_token_is_used_by_the_next_request(upstream: Upstream, authority: Authority, secret: Path) -> None:
    system = system_of(upstream, authority, credential=Credential(kind="bearer", secret_file=secret))
    with SourceClient(SOURCE, system, DEFAULT_LIMITS) as client:
        for token in ("first", "second"):
            secret.write_text(token)
            with client.answer("GET", "/") as response:
                response.raw.read()
    assert [asked["Authorization"] for asked in upstream.asked] == ["Bearer first", "Bearer second"]


@pytest.mark.parametrize(("content", "says"), [(None, "cannot be read"), ("", "is empty"), (f"{TOKEN}\nb", "one line")])
def test_a_token_that_cannot_be_read_is_named_by_its_file_and_nothing_is_asked(
    upstream: Upstream, authority: Authority, secret: Path, content: str | None, says: str
) -> None:
    secret.unlink()
    if content is not None:
        secret.write_text(content)
    fault = fault_of(system_of(upstream, authority, credential=Credential(kind="bearer", secret_file=secret)))
    assert fault.code == "source_misconfigured"
    assert str(secret) in str(fault)
    assert says in str(fault)
    assert upstream.asked == []


def test_a_server_certificate_that_is_not_accepted_is_named_by_its_reason(tmp_path: Path, authority: Authority) -> None:
    for pair, trusted, says in (
        (authority.sign("other"), Authority(tmp_path, "stranger"), "unable to get local issuer certificate"),
        (authority.sign("expired", ends=GONE), authority, "certificate has expired"),
        (authority.sign("elsewhere", host="sources.example"), authority, "the name differs"),
    ):
        with serving(pair) as running:
            fault = fault_of(system_of(running, trusted))
            assert (fault.code, running.asked) == ("source_misconfigured", [])
            assert says in str(fault)


def test_the_name_of_another_host_is_not_accepted(authority: Authority) -> None:
    with serving(authority.sign("named", host="localhost")) as running:
        ask(system_of(running, authority, url=running.url.replace("127.0.0.1", "localhost")))
        assert "the name differs" in str(fault_of(system_of(running, authority)))


def test_a_client_certificate_is_shown_where_it_is_demanded(tmp_path: Path, authority: Authority) -> None:
    client, expired = authority.sign("client"), authority.sign("old-client", ends=GONE)
    strange = Authority(tmp_path, "stranger").sign("strange-client")
    with serving(authority.sign("server"), clients=authority.certificate) as running:
        ask(system_of(running, authority, client_cert=client.certificate, client_key=client.key))
        assert len(running.asked) == 1
        for shown, says in (
            ({"client_cert": expired.certificate, "client_key": expired.key}, "the certificate expired on "),
            ({"client_cert": client.certificate, "client_key": strange.key}, "the key does not belong to the certif"),
            ({"client_cert": tmp_path / "gone.pem"}, "a file of its certificates cannot be read"),
        ):
            fault = fault_of(system_of(running, authority, **shown))
            assert (fault.code, says in str(fault)) == ("source_misconfigured", True), str(fault)
        for unknown in ({}, {"client_cert": strange.certificate, "client_key": strange.key}):
            fault = fault_of(system_of(running, authority, **unknown))
            # The server breaks off, and whether its reason arrives before that is its own affair.
            assert ("TLS connection failed" in str(fault)) == (fault.code == "source_misconfigured"), str(fault)
        assert len(running.asked) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_credential_is_said_so(upstream: Upstream, authority: Authority, secret: Path, status: int) -> None:
    upstream.status = status
    fault = fault_of(system_of(upstream, authority, credential=Credential(kind="bearer", secret_file=secret)))
    assert fault.code == "source_rejected"
    assert f"it refused the credential, or its rights, with HTTP {status}." in str(fault)


def test_requests_of_all_clients_of_a_system_keep_its_pace(upstream: Upstream, authority: Authority) -> None:
    system = system_of(upstream, authority, name="paced", requests_per_s=20)
    threads = [threading.Thread(target=ask, args=(system, 3)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(upstream.at) == 9
    # The first and the last are eight pauses of 50 ms apart, however slow the machine is; they cannot be closer than
    # that but for the time that the first one took to arrive.
    assert max(upstream.at) - min(upstream.at) > 0.25


def test_a_redirect_is_never_followed_and_the_token_goes_to_no_other_host(
    upstream: Upstream, authority: Authority, secret: Path
) -> None:
    with serving(authority.sign("target")) as target:
        upstream.status, upstream.headers = 302, {"Location": f"{target.url}/api"}
        fault = fault_of(system_of(upstream, authority, credential=Credential(kind="bearer", secret_file=secret)))
        assert fault.code == "source_rejected"
        assert "a redirect (HTTP 302), which is not followed" in str(fault)
        assert (len(upstream.asked), target.asked) == (1, [])


def test_proxies_and_certificates_of_the_environment_are_not_used(
    upstream: Upstream, authority: Authority, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with serving(None) as proxy:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
            monkeypatch.setenv(name.lower(), proxy.url)
        monkeypatch.setenv("NO_PROXY", "")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(Authority(tmp_path, "stranger").certificate))
        ask(system_of(upstream, authority))
        assert (len(upstream.asked), proxy.asked) == (1, [])


def test_the_page_of_the_sources_says_why_a_system_cannot_be_asked_and_sends_it_no_credential(
    tmp_path: Path, upstream: Upstream, authority: Authority, secret: Path, settings: Any
) -> None:
    settings.ORCH_SOURCES_FILE = None
    credential = Credential(kind="bearer", secret_file=secret)
    profile = Profile(name="p", systems={ALERTS: system_of(upstream, authority, credential=credential)})
    [found] = of_profile(profile)
    assert found.ok
    assert "Authorization" not in upstream.asked[0]
    strange = system_of(upstream, Authority(tmp_path, "stranger"))
    [found] = of_profile(Profile(name="p", systems={ALERTS: strange}))
    assert found.down
    assert found.detail.startswith("Cannot be asked: its TLS certificate is not accepted: ")


def test_a_check_before_the_job_gives_one_line_for_each_fault(
    tmp_path: Path, authority: Authority, secret: Path, settings: Any
) -> None:
    settings.FORENSIC_STORAGE_PATH = tmp_path
    expired = authority.sign("old-client", ends=GONE)
    credential = Credential(kind="bearer", secret_file=secret)
    with serving(authority.sign("server")) as running:
        running.status = 403

        def line(**more: Any) -> tuple[str, str]:
            profile = Profile(name="p", systems={ALERTS: system_of(running, authority, **more)})
            [found] = [part for part in checking.check(profile, "case-1", {}).parts if part.system]
            assert found.offer is None
            assert "\n" not in found.error
            return found.code, found.error

        # the ransomeye adapter asks for alerts by POST, which this server does not know
        assert line(credential=credential)[0] == "source_unavailable"
        assert line(client_cert=expired.certificate, client_key=expired.key)[1].startswith(
            "Alerts of sys (RansomEye): the certificate expired on "
        )
        assert line(credential=Credential(kind="bearer", secret_file=tmp_path / "gone")) == (
            "source_misconfigured",
            f"Alerts of sys (RansomEye): {tmp_path}/gone cannot be read (No such file or directory).",
        )
        assert "not accepted" in line(ca_file=Authority(tmp_path, "stranger").certificate)[1]
    assert line() == ("source_unavailable", "Alerts of sys (RansomEye): it cannot be reached.")
