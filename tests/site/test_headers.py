"""Headers that every answer carries, whichever route gives it: what may be kept of it, and that TLS is to stay."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any
from uuid import uuid4

import pytest
import requests
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils.regex_helper import normalize
from knox.models import AuthToken

from bundles.models import Bundle
from jobs.models import Job
from tests.conftest import Orchestrator
from tests.support import console_rows as rows
from tests.support.api_deployment import INCIDENT, make_bundle
from tests.support.site_deployment import Served

YEAR_S = 365 * 24 * 3600
ABSENT = {"str": "x", "uuid": str(uuid4()), "int": "1", "path": "x"}
EVIDENCE = (  # answered with 200, so that the walk cannot pass on refusals alone
    "/jobs", "/jobs/{job}", "/bundles", "/bundles/{bundle}", "/bundles/{bundle}/manifest", "/bundles/{bundle}/download",
    "/incidents", "/schema", "/docs", "/health", "/", "/admin/", "/admin/jobs/job/",
)  # fmt: skip


def addresses(patterns: Iterable[URLPattern | URLResolver], known: dict[str, str], before: str = "/") -> Iterator[str]:
    """Every address of the resolver, with `known` values for its parameters by name, or some value of their kind."""
    for pattern in patterns:
        # The first of the forms that Django itself would build an address from.
        form, names = normalize(pattern.pattern.regex.pattern)[0]
        converters = pattern.pattern.converters
        values = {name: known.get(name, ABSENT.get(kind_of(converters.get(name)), "x")) for name in names}
        address = before + (form % values)
        if isinstance(pattern, URLResolver):
            yield from addresses(pattern.url_patterns, known, address)
        else:
            yield address


def kind_of(converter: Any) -> str:
    return type(converter).__name__.removesuffix("Converter").lower().replace("string", "str")


def keeps_nothing(answer: Any) -> bool:
    return "no-store" in re.split(r",\s*", answer.headers.get("Cache-Control", ""))


@pytest.mark.django_db
def test_no_answer_of_any_route_may_be_kept_whoever_asks_and_whatever_it_is(orch: Orchestrator) -> None:
    bundle: Bundle = make_bundle(orch)
    failed: Job = rows.job("failed")
    known = {
        "job_id": str(failed.job_id), "bundle_id": str(bundle.bundle_id), "incident_id": INCIDENT, "place": "0",
        "object_id": str(failed.job_id), "app_label": "jobs",
    }  # fmt: skip
    user = rows.user("admin", "somebody")
    user.is_superuser = True
    user.save()
    found = list(addresses(get_resolver().url_patterns, known))
    wanted = [address.format(job=failed.job_id, bundle=bundle.bundle_id) for address in EVIDENCE]
    assert set(wanted) <= set(found)
    signed_in, stranger = Client(raise_request_exception=False), Client(raise_request_exception=False)
    with_token = Client(headers={"Authorization": f"Token {AuthToken.objects.create(user=user)[1]}"})
    asked = [(method, address, signed_in) for method in ("get", "post") for address in found]
    asked += [("get", address, stranger) for address in found]
    kept, statuses = [], {}
    for method, address, client in asked:
        if client is signed_in and "sessionid" not in client.cookies:  # at first, and after an address that signs out
            client.force_login(user)
        answer = getattr(client, method)(address)
        statuses[method, address, client] = answer.status_code
        if not keeps_nothing(answer):
            kept.append((method, address, answer.status_code, answer.headers.get("Cache-Control")))
    assert kept == []
    assert {address: statuses["get", address, signed_in] for address in wanted} == dict.fromkeys(wanted, 200)
    for address, body in ((f"/jobs/{failed.job_id}/retry", {}), ("/bundle/create", {"incident_id": "other"})):
        answer = with_token.post(address, body, content_type="application/json")
        assert answer.status_code in {200, 202}
        assert keeps_nothing(answer)
    assert statuses["get", "/jobs", stranger] == 401
    assert {status for status in statuses.values() if status >= 500} <= {503}  # /ready: no worker lives


@pytest.mark.django_db
def test_what_breaks_is_not_kept_either_but_a_style_sheet_may_be(
    orch: Orchestrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client(raise_request_exception=False)
    monkeypatch.setattr("orchestrator_site.operations.health.PROBES", None)
    broken, nowhere = client.get("/ready"), client.get("/bundles/x/y/z")
    assert (broken.status_code, nowhere.status_code) == (500, 404)
    for answer in (broken, nowhere, client.get("/nowhere"), client.get("/jobs", headers={"Host": "evil.example"})):
        assert keeps_nothing(answer)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert not keeps_nothing(client.get("/static/console.css"))


@pytest.mark.django_db
def test_a_callers_mistake_is_one_line_in_the_log(orch: Orchestrator, settings: Any, caplog: Any) -> None:
    settings.ALLOWED_HOSTS = ["orchestrator.example"]
    for address in ("/jobs", "/", "/ready"):
        caplog.clear()
        answer = Client().get(address, headers={"Host": "evil\x1b[31m.example"}, REMOTE_ADDR="192.0.2.7")
        assert answer.status_code == 400
        (record,) = caplog.records
        assert "evil" in record.getMessage()
        assert "192.0.2.7" in record.getMessage()
        assert "\x1b" not in record.getMessage()
        assert record.exc_info is None


@pytest.mark.django_db
@pytest.mark.parametrize("peer", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_health_answers_this_machine_under_any_host_name(orch: Orchestrator, settings: Any, peer: str) -> None:
    settings.ALLOWED_HOSTS = ["orchestrator.example"]
    for host in ("127.0.0.1:8012", "localhost", "[::1]:8012", "10.0.0.7", "a_b"):
        client = Client(headers={"Host": host}, REMOTE_ADDR=peer)
        assert client.get("/health").status_code == 200
        assert "parts" in client.get("/ready").json()
        assert client.get("/jobs").status_code == 400
    forwarded = {"Host": "localhost", "X-Forwarded-For": "192.0.2.7"}
    assert Client().get("/health", headers=forwarded, REMOTE_ADDR=peer).status_code == 400


@pytest.mark.django_db(transaction=True)
def test_in_production_probes_of_this_machine_are_answered_and_tls_is_to_stay(orch: Orchestrator) -> None:
    production = {
        "ORCH_PROFILE": "production",
        "ORCH_ALLOWED_HOSTS": "orchestrator.example",
        "ORCH_SECRET_KEY": "".join(uuid4().hex for _ in range(4)),
    }
    with Served(orch, production) as served:
        assert requests.get(served.url("/health"), timeout=240).status_code == 200
        assert "parts" in requests.get(served.url("/ready"), timeout=240).json()
        ours = {"Host": "orchestrator.example"}
        over_tls = {**ours, "X-Forwarded-Proto": "https"}  # as the proxy of docs/operations.md says it
        for path in ("/", "/jobs", "/nowhere", "/health", "/sign-in"):
            plain = requests.get(served.url(path), headers=ours, timeout=240, allow_redirects=False)
            assert "Strict-Transport-Security" not in plain.headers
            encrypted = requests.get(served.url(path), headers=over_tls, timeout=240, allow_redirects=False)
            assert encrypted.headers["Strict-Transport-Security"] == f"max-age={YEAR_S}"
            assert keeps_nothing(encrypted)
        before = served.log.read_text().splitlines()
        assert requests.get(served.url("/jobs"), headers={"Host": "evil.example"}, timeout=240).status_code == 400
        assert served.stop() == 0
        after = [line for line in served.log.read_text().splitlines() if line not in before]
        assert len([line for line in after if "evil.example" in line]) == 1
        assert "Traceback" not in "\n".join(after)
