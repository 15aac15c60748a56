"""What browsers report of the Content-Security-Policy is counted, whatever else is sent there harms nothing."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from prometheus_client import REGISTRY

from orchestrator_site.web import csp_reports

pytestmark = pytest.mark.usefixtures("orch")


@pytest.fixture(autouse=True)
def _voice(monkeypatch: Any) -> None:
    monkeypatch.setattr(csp_reports, "VIOLATION_LOG", csp_reports.RateLimitedLog())


def report(directive: str = "script-src-elem", **fields: Any) -> dict[str, Any]:
    told = {"document-uri": "http://testserver/console/jobs?q=secret", "blocked-uri": "inline", **fields}
    return {"csp-report": {"effective-directive": directive, "violated-directive": directive, **told}}


def send(body: object, media_type: str = "application/csp-report", **options: Any) -> int:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    client = Client(enforce_csrf_checks=True, **options)
    return client.post(reverse("csp-report"), raw, content_type=media_type).status_code


def counted() -> dict[str, float]:
    return {
        sample.labels["directive"]: sample.value
        for metric in REGISTRY.collect()
        if metric.name == "orch_csp_violations"
        for sample in metric.samples
        if sample.name.endswith("_total")
    }


def grown(before: dict[str, float]) -> dict[str, float]:
    return {name: value - before.get(name, 0) for name, value in counted().items() if value != before.get(name, 0)}


def test_a_violation_is_counted_by_its_directive_without_any_identity():
    before = counted()
    assert send(report()) == 204
    assert send(report("img-src")) == 204
    assert grown(before) == {"script-src-elem": 1, "img-src": 1}


def test_reports_of_the_reporting_api_count_too():
    before = counted()
    one = {"type": "csp-violation", "body": {"effectiveDirective": "style-src-attr", "blockedURL": "inline"}}
    assert send([one, one, {"type": "deprecation", "body": {"id": "x"}}], "application/reports+json") == 204
    assert grown(before) == {"style-src-attr": 2}


def test_a_directive_that_nobody_knows_makes_no_counter_of_its_own():
    before = counted()
    for number in range(5):
        assert send(report(f"made-up-{number}")) == 204
    assert grown(before) == {"other": 5}


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"\xff\xfe", b"null", b"1", b'"text"', b"[]", b"[[]]", b"[1,null]", b"{}", b'{"csp-report": 1}',
        b'{"csp-report": {"effective-directive": {}}}', b'{"body": []}', b"[" * 10_000, b"x" * 16_385,
        json.dumps(report(padding="x" * 20_000)).encode(),
    ],
)  # fmt: skip
def test_garbage_is_answered_alike_and_counted_as_nothing(body):
    before = counted()
    assert send(body) == 204
    assert send(body, "multipart/form-data; boundary=x") == 204
    assert grown(before) == {}


def test_hostile_addresses_are_logged_on_one_line_without_their_queries(caplog):
    with caplog.at_level(logging.WARNING):
        told = {"blocked-uri": "http://evil.example/a\r\nforged: line\x1b[31m", "document-uri": "http://[broken"}
        send(report(**told))
    [record] = [one for one in caplog.records if one.name == csp_reports.__name__]
    assert "\n" not in record.getMessage()
    assert "\x1b" not in record.getMessage()
    assert "script-src-elem" in record.getMessage()


def test_a_flood_of_reports_is_one_line_and_none_tells_what_was_searched(caplog):
    before = counted()
    with caplog.at_level(logging.WARNING):
        for _ in range(50):
            send(report())
    lines = [one.getMessage() for one in caplog.records if one.name == csp_reports.__name__]
    assert len(lines) == 1
    assert "secret" not in lines[0]
    assert grown(before) == {"script-src-elem": 50}


def test_one_body_counts_for_a_few_reports_only():
    before = counted()
    one = {"body": {"effectiveDirective": "img-src"}}
    assert send([one] * 200) == 204
    assert grown(before) == {"img-src": 20}


def test_it_takes_posts_alone():
    assert Client().get(reverse("csp-report")).status_code == 405


def test_every_page_names_the_address():
    policy = Client().get(reverse("sign-in"))["Content-Security-Policy"]
    assert f"report-uri {reverse('csp-report')}" in policy
