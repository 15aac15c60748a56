"""Source profiles in the console and the API: choosing one, checking it, and what the sources list."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from bundles.models import Bundle
from bundles.sources import faults, listing
from bundles.sources.adapters import registry
from bundles.sources.adapters.protocol import Listed
from bundles.sources.faults import ALERTS
from jobs.models import Job
from tests.support import console_rows as rows
from tests.support.api_deployment import make_callers
from tests.support.listing_adapter import ListingAdapter
from tests.support.main_job import bundle, sources
from tests.support.upstreams import Upstreams, says

__all__ = ["sources"]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("orch")]

TOKEN = "t0ken-of-the-test"  # not one
FILE = """
[systems.cases]
adapter = "listing"
url = "{db}"
token_file = "cases.token"
[systems.south]
adapter = "ransomeye"
url = "{forensic}"
[profiles.eu]
title = "Europe"
alerts = "cases"
artifacts = "south"
"""


def client_of(role: str) -> Client:
    client = Client()
    client.force_login(rows.user(role))
    return client


@pytest.fixture
def analyst() -> Client:
    return client_of("analyst")


@pytest.fixture
def _file(tmp_path: Path, settings: Any, sources: Upstreams, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A file of sources beside the services of the environment."""
    monkeypatch.setitem(registry.OURS, "listing", "tests.support.listing_adapter:ListingAdapter")
    monkeypatch.setattr(ListingAdapter, "asked", [])
    (tmp_path / "cases.token").write_text(TOKEN)
    (tmp_path / "cases.token").chmod(0o600)
    settings.ORCH_SOURCES_FILE = tmp_path / "sources.toml"
    settings.ORCH_SOURCES_FILE.write_text(FILE.format(db=sources.url("db"), forensic=sources.url("forensic")))
    settings.ORCH_SOURCES_IN_ENVIRONMENT = True
    listing.forget()
    yield
    listing.forget()


def shown(client: Client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return plain(answer)


def plain(answer: Any) -> str:
    return html.unescape(re.sub("</?bdi>", "", answer.content.decode()))


def form_values(**more: str) -> dict[str, str]:
    return {"incident_id": "case-9", "priority": "100", "chunk_size_mb": "256", "source": "live", **more}


def test_the_form_has_no_choice_where_there_is_one_profile(analyst: Client) -> None:
    text = shown(analyst, reverse("new-bundle"))
    assert 'name="profile"' not in text
    assert 'name="ref-' not in text


@pytest.mark.usefixtures("_file")
def test_the_form_offers_the_profiles_and_the_job_has_what_was_chosen(analyst: Client) -> None:
    text = shown(analyst, reverse("new-bundle"))
    assert re.findall(r'name="profile"\s+value="([^"]+)"\s+(checked)?', text) == [("default", "checked"), ("eu", "")]
    assert "Alerts from cases (Case system), artifacts from south (RansomEye)." in text
    assert "It has no timeline, so its bundles are partial." in text
    answer = analyst.post(reverse("new-bundle"), form_values(profile="eu", **{"ref-cases": "~12 34", "ref-south": ""}))
    job = Job.objects.get()
    assert answer["Location"] == reverse("job-page", args=[job.job_id])
    assert (job.payload["profile"], job.payload["refs"]) == ("eu", {"cases": "~12 34"})
    page = shown(analyst, answer["Location"])
    assert "Id in cases: <span" in page
    client_of("operator").post(answer["Location"], {"action": "cancel"})
    link = re.search(r'id="do-copy"[^>]*href="([^"]+)"', analyst.get(answer["Location"]).content.decode())
    assert link
    form = analyst.get(html.unescape(link[1])).context["form"]
    assert (form["profile"].value(), form["ref-cases"].value()) == ("eu", "~12 34")


@pytest.mark.usefixtures("_file")
def test_an_id_in_a_system_that_the_profile_does_not_use_is_refused_at_its_field(analyst: Client) -> None:
    answer = analyst.post(reverse("new-bundle"), form_values(profile="eu", **{"ref-timeline": "7"}))
    text = plain(answer)
    assert "The profile eu has no such system; it has cases, south." in text
    assert 'id="error-ref-timeline"' in text
    assert not Job.objects.exists()


@pytest.mark.usefixtures("_file")
def test_the_sources_are_checked_before_a_job_is_made(analyst: Client, sources: Upstreams) -> None:
    values = form_values(profile="eu", action="check")
    text = plain(analyst.post(reverse("new-bundle"), values))
    assert "Every source can be read (profile eu)." in text
    assert "7 records" in text
    assert re.search(r'value="eu"\s+checked', text), "the form keeps what was chosen"
    assert not any("/content" in asked for asked in sources.asked)
    sources.answers["db"] = says(b"", 403)
    sources.answers["forensic"] = says({"error": "unknown"}, 404)
    text = plain(analyst.post(reverse("new-bundle"), values))
    assert "Alerts of cases (Case system): it refused the credential, or its rights, with HTTP 403." in text
    assert "Artifacts of south (RansomEye): the incident case-9 is not known there." in text
    assert TOKEN not in text
    assert not Job.objects.exists()


@pytest.mark.usefixtures("_file")
def test_the_api_lists_the_profiles_and_checks_one(sources: Upstreams) -> None:
    tokens = make_callers()

    def post(body: dict[str, Any], role: str = "analyst") -> Any:
        headers = {"Authorization": f"Token {tokens[role]}"}
        return Client().post("/sources/check", json.dumps(body), "application/json", headers=headers)

    listed = Client().get("/sources", headers={"Authorization": f"Token {tokens['viewer']}"}).json()["profiles"]
    assert [(one["name"], one["default"], len(one["parts"])) for one in listed] == [
        ("default", True, 3),
        ("eu", False, 2),
    ]
    body = {"incident_id": "other", "profile": "eu", "refs": {"cases": "case-9", "south": "case-9"}}
    found = post(body).json()
    assert (found["ok"], found["profile"]) == (True, "eu")
    assert [(part["part"], part["ref"], part["records"]) for part in found["parts"]] == [
        ("timeline", None, None), ("alerts", "case-9", 7), ("artifacts", "case-9", 5),
    ]  # fmt: skip
    sources.stop()
    found = post(body).json()
    assert [part["error"] and part["error"]["code"] for part in found["parts"]] == [
        None, "source_unavailable", "source_unavailable",
    ]  # fmt: skip
    for wrong, field in (
        ({"incident_id": "x", "profile": "us"}, "profile"),
        ({"incident_id": "x", "profile": "eu", "refs": {"west": "1"}}, "refs.west"),
        ({"incident_id": "x", "refs": {"timeline": 3}}, "refs"),
    ):
        answer = post(wrong)
        assert (answer.status_code, field in answer.json()["errors"]) == (400, True), answer.json()
    assert post(body, "viewer").status_code == 403


@pytest.mark.usefixtures("_file")
def test_the_command_checks_a_profile_and_says_so_by_its_exit_code(sources: Upstreams) -> None:
    out = StringIO()
    call_command("check_source", "eu", "other", "--ref", "cases=case-9", "--ref", "south=case-9", stdout=out)
    lines = out.getvalue().splitlines()
    assert lines[0] == "timeline: no system in this profile; a bundle lists it as missing."
    assert lines[1] == "alerts: cases (Case system), incident case-9: 7 records."
    sources.answers["db"] = says(b"", 401)
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("check_source", "eu", "case-9", stdout=out)
    assert ended.value.code == 1
    assert "it refused the credential, or its rights, with HTTP 401. [source_rejected]" in out.getvalue()
    with pytest.raises(CommandError, match="There is no source profile 'us'"):
        call_command("check_source", "us", "case-9")


@pytest.mark.usefixtures("_file")
def test_incidents_that_a_source_lists_are_shown_beside_those_bundled(
    analyst: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = Listed(ref="~7 <b>", title="Ransom\u202e on <i>DC01</i>", at="2026-01-01")
    monkeypatch.setattr(ListingAdapter, "answers", [Listed(ref="42", title="Known"), hostile, Listed(ref="a\x00b")])
    rows.bundle("ours-1")
    Bundle.objects.update(sources={"alerts": {"system": "cases", "ref": "42", "profile": "eu"}})
    rows.bundle("other-1")
    with CaptureQueriesContext(connection) as queries:
        page = shown(analyst, reverse("incidents-page"))
    assert len(queries) <= 12
    assert ListingAdapter.asked == [], "the page itself asks no source"
    assert reverse("incidents-from-sources") in page
    part = analyst.get(reverse("incidents-from-sources")).content.decode()
    assert re.search(r'42</bdi></td>.*?Known</bdi></td>.*?href="/console/incidents/ours-1"', part, re.DOTALL)
    assert part.count("Not bundled yet") == 1
    assert "<b>" not in part
    assert "\u202e" not in part
    [link] = re.findall(r'class="btn"\s+href="([^"]+profile=[^"]+)"', part)
    form = analyst.get(html.unescape(link)).context["form"]
    assert (form["profile"].value(), form["ref-cases"].value(), form["incident_id"].value()) == ("eu", "~7 <b>", None)
    [system] = analyst.get("/sources/incidents").json()["systems"]
    assert [(one["ref"], one["incident_id"]) for one in system["incidents"]] == [("42", "ours-1"), ("~7 <b>", None)]
    assert (system["complete"], system["unusable"]) == (True, 1)
    assert "1 more of" in part
    assert ListingAdapter.asked == [f"cases {listing.MOST}"], "an answer is kept for a minute"
    assert client_of("viewer").get("/sources/incidents").status_code == 403


@pytest.mark.usefixtures("_file")
def test_a_source_that_gives_no_list_is_named_with_the_reason(analyst: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ListingAdapter, "answers", faults.rejected(ALERTS, "it refused the credential."))
    part = shown(analyst, reverse("incidents-from-sources"))
    assert "cases (Case system) gives no list of its incidents: Alerts DB: it refused the credential." in part
    monkeypatch.setattr(ListingAdapter, "answers", [])
    assert "cases (Case system) has no incidents." in shown(analyst, reverse("incidents-from-sources"))


def test_where_no_source_can_list_the_page_says_so(analyst: Client) -> None:
    assert "None of the sources can list its incidents." in shown(analyst, reverse("incidents-page"))
    assert analyst.get("/sources/incidents").json() == {"systems": []}


@pytest.mark.usefixtures("_file")
def test_settings_health_shows_the_systems_without_their_secrets(settings: Any, tmp_path: Path) -> None:
    operator = client_of("operator")
    text = shown(operator, reverse("settings-page"))
    assert f"secret {tmp_path}/cases.token" in text
    assert "Fault" not in text
    assert TOKEN not in text + shown(operator, reverse("settings-text"))
    (tmp_path / "cases.token").unlink()
    text = shown(operator, reverse("settings-page"))
    assert f"systems.cases.token_file: {tmp_path}/cases.token cannot be read (No such file or directory)." in text
    assert "orch.E017" in text


@pytest.mark.usefixtures("_file")
def test_each_system_is_asked_once_and_a_job_waits_for_those_of_its_profile(
    analyst: Client, sources: Upstreams
) -> None:
    text = shown(analyst, reverse("sources-part"))
    assert text.count("Reachable</span>") == 5
    assert "profile eu" in text
    assert len([asked for asked in sources.asked if asked == "GET /health"]) == 5


@pytest.mark.usefixtures("_file")
def test_the_certificate_and_the_page_of_a_bundle_say_where_it_was_read(analyst: Client) -> None:
    made = bundle("ours-2", profile="eu", refs={"cases": "case-9", "south": "case-9"})
    made.sources["alerts"]["ref"] = "~7\u202e"
    made.save()
    for name in ("bundle-page", "bundle-certificate"):
        text = shown(analyst, reverse(name, args=[made.bundle_id]))
        assert "Alerts: cases by adapter listing 1, profile eu, id there" in text
        assert "\u202e" not in text
    assert analyst.get(f"/bundles/{made.bundle_id}").json()["sources"]["artifacts"]["ref"] == "case-9"
