"""Facts, single records, techniques, columns and saved views of an incident: on the page and in the API."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from bundles.models import IndexedRecord, KeptTimeline
from incidents.models import SavedView
from tests.console.test_pages import shown
from tests.support import console_rows as rows
from tests.support import timeline_rows as timelines
from tests.support.console_rows import signed_in
from tests.support.timeline_rows import event, kept

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("orch")]

PAGE = f"/console/incidents/{rows.INCIDENT}"
API = f"/incidents/{rows.INCIDENT}"
STORY = [
    event(0, severity="low", source="WS01", target="WS01", metadata={"tactic": "initial-access"}, user="ana"),
    event(60, severity="high", source="ws01", target="10.0.0.7", metadata={"tactic": "discovery"}, user="ANA"),
    event(90, severity="critical", source="WS01", target="DC01", metadata={"tactic": "credential-access"}, user="adm"),
    event(200, severity="medium", source="DC01", target="DC01", metadata={"tactic": "impact"}, user="adm"),
]


@pytest.fixture
def operator() -> Client:
    return signed_in("operator")


def words(text: str) -> str:
    return " ".join(unescape(re.sub("<[^>]*>", " ", text)).split())


def panel(text: str, name: str) -> str:
    return text[text.index(f'aria-labelledby="{name}"') :].split("</section>", maxsplit=1)[0]


def listed(text: str) -> int:
    return int(re.findall(r"<caption>(\d+) of", text)[0])


def test_the_facts_say_what_happened_first_and_who_was_involved_each_with_a_link_to_its_records(
    operator: Client, tmp_path: Path
) -> None:
    kept(tmp_path / "t", STORY, alerts=[event(30, severity="info", source="ws01", target="")])
    facts = panel(shown(operator, PAGE), "facts")
    said = words(facts)
    order = [said.index(name) for name in ("First event", "First critical event", "Impact began", "Last event")]
    assert order == sorted(order)
    assert "Hosts 2" in said, "an address is no host, and letters' case makes no other host"
    for name, records in (("ws01", 4), ("dc01", 2), ("ana", 2), ("adm", 2)):
        href = next(unescape(h) for h, n in re.findall(r'href="(\?[^"]+)"><bdi>([^<]+)', facts) if n == name)
        assert listed(shown(operator, PAGE + href.split("#")[0])) == records
    opened = [
        shown(operator, unescape(h)) for h in re.findall(r'<a href="(/console/incidents/[^"]+/records/[^"]+)"', facts)
    ]
    assert ["critical" in words(text) for text in opened] == [False, True, False, False]


def test_what_changed_since_the_bundle_before_is_said_in_numbers(operator: Client, tmp_path: Path) -> None:
    kept(tmp_path / "t", STORY[:2], artifacts=["a"], files=4, created_at="2026-01-01T00:00:00Z")
    kept(tmp_path / "t", STORY, artifacts=["a", "b", "c"], files=6, content_digest=rows.sha("other"))
    assert "+2 events, +2 artifacts, +2 files" in words(shown(operator, PAGE))


def test_a_record_is_shown_in_full_with_the_records_around_it_and_those_it_leads_to(
    operator: Client, tmp_path: Path
) -> None:
    digest = "9E107D9D372BB6826BD81D3542A419D6"
    odd = event(
        61, size=1.5, note="first\u202eline\nsecond", sha256=digest, ip="2001:DB8::7", user="ana", source="WS01"
    )
    kept(tmp_path / "t", [*STORY, odd], alerts=[event(1, hash=digest.lower())])
    text = shown(operator, f"{PAGE}/records/event/4")
    assert "⟨U+202E⟩" in text
    assert "\u202e" not in text.split('<pre class="wrap"')[1]
    record = IndexedRecord.objects.get(kind="event", position=4).record
    assert f'data-copy="{record}"'.replace('"', "&quot;")[11:60] in text.replace('"', "&quot;")
    around = re.findall(r'href="([^"]+)">Records within 5 minutes', text)[0]
    assert listed(shown(operator, unescape(around).split("#")[0])) == 3
    for name, found in ((digest.lower(), 2), ("2001:db8::7", 1), ("ws01", 4), ("ana", 3)):
        href = next(unescape(h) for h, n in re.findall(r'href="([^"]+)"><bdi>([^<]+)', text) if n == name)
        assert listed(shown(operator, href.split("#")[0])) == found
    part = operator.get(f"{PAGE}/records/event/4", headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in part
    for place in ("event/5", "alert/1", "artifact/0", "nothing/0", f"event/{2**64}"):
        assert "record_not_found" in shown(operator, f"{PAGE}/records/{place}", status=404)


def test_techniques_stand_under_their_tactics_and_are_exported_as_a_layer(operator: Client, tmp_path: Path) -> None:
    named = [
        event(0, mitre_technique="T1003.001", metadata={"tactic": "credential-access", "technique_name": "LSASS"}),
        event(1, mitre_technique="T1003.001", severity="critical", metadata={"tactic": "credential-access"}),
        event(2, mitre_technique="T1486", metadata={"tactic": "impact", "technique_name": "Data Encrypted"}),
        event(3, mitre_technique="=cmd()", metadata={"tactic": "impact"}),
        event(4, mitre_technique="", metadata={}),
    ]
    kept(tmp_path / "t", named)
    attack = panel(shown(operator, PAGE), "attack-title")
    assert "Credential access 1 technique, 2 records T1003.001 worst severity critical, 2 LSASS" in words(attack)
    for href in re.findall(r'href="(\?[^"]+)"', attack):
        assert listed(shown(operator, PAGE + unescape(href).split("#")[0])) in {1, 2}
    layer = json.loads(operator.get(f"{PAGE}/attack-layer.json").content)
    assert layer == operator.get(f"{API}/attack-layer").json()
    assert [(one["techniqueID"], one["tactic"], one["score"]) for one in layer["techniques"]] == [
        ("T1003.001", "credential-access", 2), ("T1486", "impact", 1),
    ]  # fmt: skip
    assert layer["domain"] == "enterprise-attack"


def test_the_api_gives_the_same_records_as_the_page(operator: Client, tmp_path: Path) -> None:
    kept(tmp_path / "t", STORY, alerts=[event(30, source="", target="")], artifacts=["a"])
    seen: list[Any] = []
    cursor = ""
    while True:
        answer = operator.get(f"{API}/records", {"limit": "2", "cursor": cursor}).json()
        seen += answer["records"]
        cursor = answer["next"]
        if not cursor:
            break
    assert [(one["kind"], one["position"]) for one in seen] == [
        ("event", 0), ("alert", 0), ("event", 1), ("event", 2), ("event", 3), ("artifact", 0),
    ]  # fmt: skip
    assert json.loads(seen[0]["record"])["source"] == "WS01"
    narrow = {"kind": "event", "host": "dc01", "severity": "high+", "from": "2026-01-12"}
    assert [one["position"] for one in operator.get(f"{API}/records", narrow).json()["records"]] == [2]
    for wrong in ({"severity": "worse"}, {"from": "soon"}, {"phase": "magic"}, {"technique": "x"}, {"other": "1"}):
        answer = operator.get(f"{API}/records", wrong)
        assert answer.status_code == 400
        assert next(iter(wrong)) in answer.content.decode()
    facts = operator.get(f"{API}/facts").json()
    assert (facts["origin"], facts["records"], facts["facts"]["hosts"]["names"]) == ("bundle", 6, 2)
    assert operator.get("/incidents/never-seen/facts").status_code == 404


def test_columns_are_kept_for_the_person_who_chose_them(operator: Client, tmp_path: Path) -> None:
    kept(tmp_path / "t", STORY)
    usual = re.findall(r'<th scope="col">([^<]+)', shown(operator, PAGE).split('aria-label="Records"')[1])[:5]
    assert usual == ["Time (UTC)", "Severity", "Phase", "What", "Source, target"]
    operator.post(f"{PAGE}/views", {"action": "columns", "column": ["accounts", "hosts"]})
    chosen = shown(operator, PAGE).split('aria-label="Records"')[1]
    assert re.findall(r'<th scope="col">([^<]+)', chosen)[:3] == ["Time (UTC)", "Hosts", "Accounts"]
    assert "Phase</th>" in shown(signed_in("operator"), PAGE).split('aria-label="Records"')[1]
    refused = operator.post(f"{PAGE}/views", {"action": "columns", "column": ["nothing"]})
    assert refused.status_code == 400
    assert SavedView.objects.get().columns == ["accounts", "hosts"]


def test_a_view_is_a_link_that_only_its_owner_sees_and_it_is_applied_to_any_incident(
    operator: Client, tmp_path: Path
) -> None:
    kept(tmp_path / "t", STORY)
    kept(tmp_path / "u", STORY[1:3], incident_id="another")
    saved = {"action": "save", "name": "worst ", "query": "?kind=event&severity=high%2B&origin=bundle&x=//evil"}
    answer = operator.post(f"{PAGE}/views", saved)
    assert answer["Location"] == f"{PAGE}?severity=high%2B#records"
    href = re.findall(r'href="(\?[^"]+)"><bdi>worst</bdi>', shown(operator, "/console/incidents/another"))[0]
    assert listed(shown(operator, "/console/incidents/another" + unescape(href).split("#")[0])) == 2
    assert "<bdi>worst</bdi>" not in shown(signed_in("operator"), PAGE)
    assert operator.get("/views").json() == {"views": [{"name": "worst", "query": "?severity=high%2B"}]}
    for name, query in (("", ""), ("x" * 61, ""), ("\u202e", ""), ("x", "?severity=bad")):
        assert operator.post(f"{PAGE}/views", {"action": "save", "name": name, "query": query}).status_code == 400
    assert operator.post(f"{PAGE}/views", {"action": "delete", "name": "worst"}).status_code == 302
    assert not SavedView.objects.exists()
    assert operator.post(f"{PAGE}/views", {"action": "delete", "name": "worst"}).status_code == 404
    assert signed_in("").post(f"{PAGE}/views", saved).status_code == 403


def test_what_cannot_be_indexed_is_not_lost_from_the_page(operator: Client, tmp_path: Path) -> None:
    kept(tmp_path / "t", None, alerts=[event(0), event(1, severity=None, rule={"level": 15})])
    text = shown(operator, PAGE + "?kind=alert")
    assert "No timeline" in text
    assert "Wazuh 15" in text
    assert listed(text) == 2
    assert KeptTimeline.objects.get().events is None


def test_a_long_record_is_cut_and_says_so(operator: Client, tmp_path: Path) -> None:
    kept(tmp_path / "t", [event(0, note="x" * 40_000)])
    text = shown(operator, f"{PAGE}/records/event/0")
    assert "The record is longer than is kept for this page." in text
    assert timelines.timeline().kept == 1
