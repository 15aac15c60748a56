"""The OpenAPI schema is whole and true, its page works under our own policy, and every error code is documented."""

from __future__ import annotations

import importlib
import json
import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import get_resolver

from bundles.errors import BundleError
from bundles.rest.api_shapes import BundleShape
from foundation.errors import AppError
from incidents.rest.api_shapes import IncidentShape
from jobs.errors import JobError
from jobs.rest.api_shapes import JobShape
from orchestrator_site.errors import catalogue
from orchestrator_site.errors.problems import of_exception
from rehydration.errors import RestoreError
from tests.support.api_deployment import INCIDENT, Api, api, make_bundle

__all__ = ["api"]

BASE = Path(__file__).resolve().parents[2]
DESIGN = {
    "/bundle/create": {"post"},
    "/rehydrate/start": {"post"},
    "/rehydrate/requests": {"get", "post"},
    "/rehydrate/requests/{request_id}": {"get"},
    "/rehydrate/requests/{request_id}/decline": {"post"},
    "/jobs": {"get"},
    "/jobs/{job_id}": {"get"},
    "/jobs/{job_id}/cancel": {"post"},
    "/jobs/{job_id}/retry": {"post"},
    "/bundles": {"get"},
    "/bundles/{bundle_id}": {"get"},
    "/bundles/{bundle_id}/manifest": {"get"},
    "/bundles/{bundle_id}/download": {"get"},
    "/bundles/{bundle_id}/artifacts": {"get"},
    "/bundles/{bundle_id}/files/{place}": {"get"},
    "/bundles/{bundle_id}/verify": {"post"},
    "/intake": {"get", "post"},
    "/intake/{intake_id}": {"get", "delete"},
    "/intake/{intake_id}/bundle": {"post"},
    "/intake/{intake_id}/preview": {"post"},
    "/intake/uploads": {"get", "post", "put"},
    "/intake/uploads/finish": {"post"},
    "/intake/mappings": {"get"},
    "/intake/mappings/{name}": {"get", "put", "delete"},
    "/sources": {"get"},
    "/sources/check": {"post"},
    "/sources/incidents": {"get"},
    "/incidents": {"get"},
    "/incidents/{incident_id}": {"get"},
    "/incidents/{incident_id}/facts": {"get"},
    "/incidents/{incident_id}/records": {"get"},
    "/incidents/{incident_id}/attack-layer": {"get"},
    "/incidents/{incident_id}/elsewhere": {"get"},
    "/views": {"get", "post"},
    "/views/{name}": {"delete"},
    "/search": {"get"},
    "/health": {"get"},
    "/ready": {"get"},
}
# What a handler says of an attempt ends in a job's error_code; these never reach a caller as an HTTP error.
OF_JOBS = {"LeaseLostError", "CancelledError", "StoppingError"}


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    out = StringIO()
    call_command("spectacular", "--validate", "--fail-on-warn", "--format", "openapi-json", stdout=out)
    made: dict[str, Any] = json.loads(out.getvalue())
    return made


def test_the_schema_is_valid_without_a_warning_and_has_exactly_the_calls_of_the_design(schema):
    assert schema["openapi"].startswith("3.1")
    assert {path: set(operations) for path, operations in schema["paths"].items()} == DESIGN


def test_every_call_tells_its_errors_and_every_reference_leads_somewhere(schema):
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            answers = operation["responses"]
            if path not in {"/health", "/ready"}:
                needed = {"400", "401", "403"} | ({"413", "415", "409"} if method == "post" else set())
                assert needed <= set(answers), path
            for number, answer in answers.items():
                if number >= "400" and path not in {"/health", "/ready"}:
                    assert set(answer["content"]) == {"application/problem+json"}
    for name in re.findall(r'"#/components/(\w+/\w+)"', json.dumps(schema)):
        kind, item = name.split("/")
        assert item in schema["components"][kind]


def test_answers_have_the_fields_that_the_schema_promises(api: Api, orch):
    bundle = make_bundle(orch)
    job = api.post("/bundle/create", {"incident_id": INCIDENT}).json()
    assert set(api.get(f"/jobs/{job['job_id']}").json()) == set(JobShape().fields)
    assert set(api.get(f"/bundles/{bundle.bundle_id}").json()) == set(BundleShape().fields)
    assert set(api.get(f"/incidents/{INCIDENT}").json()) == set(IncidentShape().fields)


def test_the_served_schema_is_the_one_that_was_checked(api: Api, schema):
    answer = api.get("/schema", role="viewer")
    assert answer.status_code == 200
    assert answer.json()["paths"] == schema["paths"]


def test_the_page_has_no_inline_script_or_style_and_loads_only_what_we_serve(client: Client, admin_client: Client):
    answer = admin_client.get("/docs")
    page = answer.content.decode()
    assert re.findall(r"<script[^>]*>([^<]*)</script>", page) == ["", ""]
    assert not re.search(r"<style|\son\w+=|style=|javascript:", page)
    assert all(address.startswith("/") for address in re.findall(r'(?:src|href)="([^"]*)"', page))
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    signed_out = client.get("/docs", headers={"Accept": "text/html"})
    assert (signed_out.status_code, signed_out.headers["Location"]) == (302, "/sign-in?next=/docs")
    assert client.get("/docs").json()["code"] == "not_authenticated"


def test_no_address_of_the_api_ends_in_a_slash():
    parts = [getattr(part, "url_patterns", [part]) for part in get_resolver().url_patterns]
    patterns = [pattern for part in parts for pattern in part if str(getattr(pattern, "name", None)).startswith("api-")]
    routes = [str(pattern.pattern) for pattern in patterns]
    assert len(routes) > 10
    assert [route for route in routes if route.endswith("/")] == []


def subclasses(kind: type[Exception]) -> set[type[Exception]]:
    return {kind}.union(*(subclasses(child) for child in kind.__subclasses__()))


def test_every_code_of_ours_has_its_line_in_the_table_and_in_the_docs():
    for module in (
        "foundation.byte_ranges",
        "foundation.multipart",
        "rehydration.rest.upload_form",
        "orchestrator_site.console.page_guard",
    ):
        importlib.import_module(module)
    bases = {AppError, JobError, BundleError, RestoreError}
    named = {
        str(vars(error)["code"])
        for error in subclasses(AppError) - bases
        if "code" in vars(error) and error.__name__ not in OF_JOBS and not error.__module__.startswith("tests.")
    }
    assert named - set(catalogue.OF_REQUESTS) == set()
    rows = (BASE / "docs" / "api.md").read_text().splitlines()
    documented = [row for row in rows if re.match(r"\| `\w+` \| \d+ \|", row)]
    assert documented == catalogue.api_table()


def test_an_unforeseen_failure_tells_no_more_than_its_id(caplog):
    answer = of_exception(RuntimeError("/secret/path"))
    assert answer.status_code == 500
    body = json.loads(answer.content)  # type: ignore[attr-defined]
    assert (body["code"], "secret" in json.dumps(body)) == ("internal_error", False)
    assert "/secret/path" in caplog.text


def test_an_unreachable_database_is_503_and_a_full_disk_507():
    from django.db import OperationalError

    answer = of_exception(OperationalError("connection refused"))
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert of_exception(OSError(28, "No space left on device")).status_code == 507
