"""The synthetic incident: always the same, realistic, harmless, and never written over other files."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re

import pytest
from django.core.management import CommandError, call_command

from bundles.format.model import paths
from bundles.samples import incident
from bundles.samples.scenario import INCIDENT_ID
from tests.support.upstreams import Upstreams

DOCUMENTATION = [ipaddress.ip_network(net) for net in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")]
TACTICS = [
    "initial-access",
    "execution",
    "persistence",
    "credential-access",
    "lateral-movement",
    "exfiltration",
    "impact",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("samples")
    assert incident.make(made) is True
    return made


def load(folder, name):
    return json.loads((folder / INCIDENT_ID / f"{name}.json").read_bytes())


def test_it_is_the_same_every_time(folder):
    first = hashlib.sha256()
    for path, content in incident.files():
        first.update(path.encode() + content)
        assert (folder / INCIDENT_ID / path).read_bytes() == content
    assert first.hexdigest() == "99e91eae2fb57b4ae8cdefb24c8635389700931beeb02cdcf7a50bdb6af4537b"


def test_a_second_run_changes_nothing(folder, capsys):
    before = {place: place.stat().st_mtime_ns for place in folder.rglob("*")}
    call_command("make_sample_incident", str(folder))
    assert "Already there" in capsys.readouterr().out
    assert {place: place.stat().st_mtime_ns for place in folder.rglob("*")} == before


@pytest.mark.parametrize("kind", ["file", "empty folder", "changed", "more", "less", "link"])
def test_other_content_is_never_overwritten(tmp_path, kind):
    target = tmp_path / INCIDENT_ID
    if kind in {"changed", "more", "less"}:
        incident.make(tmp_path)
    if kind == "file":
        target.write_bytes(b"mine")
    elif kind == "empty folder":
        target.mkdir()
    elif kind == "changed":
        (target / "alerts.json").write_bytes(b"[]")
    elif kind == "more":
        (target / "notes.txt").write_bytes(b"mine")
    elif kind == "less":
        (target / "alerts.json").unlink()
    else:
        target.symlink_to(tmp_path)
    before = sorted((place, place.lstat().st_mtime_ns) for place in tmp_path.rglob("*"))
    with pytest.raises(CommandError, match="something else"):
        call_command("make_sample_incident", str(tmp_path))
    assert sorted((place, place.lstat().st_mtime_ns) for place in tmp_path.rglob("*")) == before


def test_it_has_the_phases_of_a_whole_attack(folder):
    timeline, alerts = load(folder, "timeline"), load(folder, "alerts")
    assert (len(alerts), timeline["event_count"], len(timeline["events"])) == (420, 163, 163)
    seen = list(dict.fromkeys(event["metadata"]["tactic"] for event in timeline["events"]))
    assert [tactic for tactic in seen if tactic in TACTICS] == TACTICS
    times = [event["timestamp"] for event in timeline["events"]]
    assert times == sorted(times)
    assert all(re.fullmatch(r"T\d{4}(\.\d{3})?", event["mitre_technique"]) for event in timeline["events"])
    known = {alert["id"] for alert in alerts}
    assert {event["metadata"]["alert_id"] for event in timeline["events"]} <= known
    held = {record["artifact_id"] for record in load(folder, "artifacts")}
    assert {event["metadata"]["artifact_id"] for event in timeline["events"]} <= held
    hosts = {name for event in timeline["events"] for name in (event["source"], event["target"])}
    assert set(timeline["entities"]) == hosts
    assert sum(pair["event_count"] for pair in timeline["correlations"]) == 163


def test_its_artifacts_cover_the_hard_cases(folder):
    records = load(folder, "artifacts")
    names = [record["name"] for record in records]
    assert len(records) == 24
    assert any(len(name.encode()) >= 200 for name in names)
    assert any(not name.isascii() for name in names)
    assert any(" " in name for name in names)
    assert min(record["size"] for record in records) == 0
    assert max(record["size"] for record in records) == 24 * 1024 * 1024
    assert all(paths.safe_name(name) == name for name in names)


def test_it_uses_only_example_names_and_addresses(folder):
    text = json.dumps([load(folder, name) for name in ("timeline", "alerts")])
    addresses = {ipaddress.ip_address(text) for text in re.findall(r"\b\d{1,3}(?:\.\d{1,3}){3}\b", text)}
    assert addresses
    assert all(any(address in net for net in DOCUMENTATION) for address in addresses)
    domains = set(re.findall(r"[\w.-]+\.(?:com|net|org)\b", text))
    assert domains
    assert all(re.search(r"(^|\.)example\.(com|net|org)$", domain) for domain in domains)


def test_it_can_be_collected_whole(folder, tmp_path):
    with Upstreams([folder]) as running:
        evidence = running.collect(tmp_path, incident_id=INCIDENT_ID)
        assert evidence.counts == {"events": 163, "alerts": 420, "artifacts": 24}
        for artifact in evidence.artifacts:
            with artifact.open() as file:
                assert hashlib.sha256(file.read()).hexdigest() == artifact.sha256
