"""Restoring a bundle into a real database and a real artifact store."""

from __future__ import annotations

import stat

import pytest

from bundles.format.model import paths
from bundles.format.model.records import canonical_record
from custody.models import Event
from jobs.models import Job
from rehydration import artifacts
from rehydration.models import Alert, ArtifactRecord, RestoredIncident, TimelineEvent, TimelineHeader
from tests.support.rehydration_incident import FILES, INCIDENT, Incident, restore, tree

pytestmark = pytest.mark.django_db(transaction=True)


def line(record) -> str:
    return canonical_record(record).decode()


def rows() -> dict[str, list[str]]:
    """Every restored record, by table, as stored."""
    return {
        model.__name__: list(model.objects.order_by("pk").values_list("record", flat=True))
        for model in (TimelineHeader, TimelineEvent, Alert, ArtifactRecord)
    }


def actions() -> list[tuple[str, str]]:
    return list(Event.objects.order_by("sequence").values_list("action", "outcome"))


def test_every_record_and_file_comes_back_byte_for_byte(orch):
    incident = Incident()
    written = incident.bundle(orch, "b.tar.zst")
    job = restore("b.tar.zst")
    assert (job.status, job.error_message) == ("completed", "")
    stored = rows()
    assert stored["TimelineHeader"] == [line(incident.header)]
    assert stored["TimelineEvent"] == [line(event) for event in incident.events]
    assert sorted(stored["Alert"]) == sorted(line(alert) for alert in incident.alerts)
    assert sorted(stored["ArtifactRecord"]) == sorted(line(incident.record_of(one)) for one in FILES)
    expected = {f"{INCIDENT}/{key}/{paths.safe_name(name)}": content for key, (name, content) in FILES.items()}
    assert tree(orch.forensic) == expected
    assert {row.stored_path for row in ArtifactRecord.objects.all()} == set(expected)
    assert job.result["plan"] == {
        "timeline": {"new": 1, "equal": 0, "conflict": 0},
        "events": {"new": 4, "equal": 0, "conflict": 0},
        "alerts": {"new": 5, "equal": 0, "conflict": 0},
        "artifacts": {"new": 5, "equal": 0, "conflict": 0},
        "files": {"new": 5, "equal": 0, "conflict": 0},
    }
    assert job.result["changed"] is True
    assert job.result["reconciled"] == {"records": 15, "files": 5, "ok": True, "problems": []}
    assert (job.incident_id, job.result["bundle_sha256"]) == (INCIDENT, written.sha256)
    row = RestoredIncident.objects.get()
    assert (row.events, row.alerts, row.artifacts) == (4, 5, 5)
    assert row.content_digest == written.manifest.content_digest


def test_files_are_readable_by_owner_and_group_only_and_the_staging_folder_is_gone(orch):
    Incident().bundle(orch, "b.tar.zst")
    restore("b.tar.zst")
    file = orch.forensic / INCIDENT / "art-1" / "plain.log"
    assert (stat.S_IMODE(file.stat().st_mode), file.stat().st_nlink) == (0o640, 1)
    assert stat.S_IMODE(file.parent.stat().st_mode) & 0o027 == 0
    assert list((orch.forensic / ".staging").iterdir()) == []


def test_custody_tells_of_request_verification_and_restore(orch):
    written = Incident().bundle(orch, "b.tar.zst")
    restore("b.tar.zst")
    assert actions() == [("incident.restore", "requested"), ("bundle.verified", "ok"), ("incident.restored", "ok")]
    restored = Event.objects.get(action="incident.restored")
    assert (restored.incident_id, restored.digest) == (INCIDENT, written.manifest.content_digest)


def test_restoring_twice_changes_nothing_and_says_so(orch):
    Incident().bundle(orch, "b.tar.zst")
    restore("b.tar.zst")
    before, files = rows(), tree(orch.forensic)
    job = restore("b.tar.zst")
    assert job.result["changed"] is False
    assert all(count["new"] == count["conflict"] == 0 for count in job.result["plan"].values())
    assert job.result["plan"]["events"]["equal"] == 4
    assert (rows(), tree(orch.forensic)) == (before, files)
    assert RestoredIncident.objects.get().alerts == 5


def test_a_conflict_keeps_what_was_there_and_is_listed(orch):
    Incident().bundle(orch, "old.tar.zst")
    restore("old.tar.zst")
    newer = Incident()
    newer.alerts[0]["title"] = "another title"
    newer.alerts.append({"id": "a-new", "timestamp": "2026-02-01"})
    newer.header["event_count"] = 5
    newer.files["art-1"] = ("plain.log", b"another!\n")
    newer.bundle(orch, "new.tar.zst")
    before = tree(orch.forensic)
    job = restore("new.tar.zst")
    assert job.status == "completed"
    listed = {(one["table"], one["key"]) for one in job.result["conflicts"]}
    assert listed == {
        ("timeline", "header"), ("alerts", "a-1"), ("artifacts", "art-1"), ("files", f"{INCIDENT}/art-1/plain.log"),
    }  # fmt: skip
    assert job.result["conflict_total"] == 4
    assert job.result["plan"]["alerts"] == {"new": 1, "equal": 4, "conflict": 1}
    assert Alert.objects.get(alert_id="a-1").record == line(Incident().alerts[0])
    assert Alert.objects.filter(alert_id="a-new").exists()
    assert tree(orch.forensic) == before


def test_events_in_another_order_are_a_conflict_of_the_timeline(orch):
    Incident().bundle(orch, "old.tar.zst")
    restore("old.tar.zst")
    turned = Incident()
    turned.events.reverse()
    turned.bundle(orch, "turned.tar.zst")
    job = restore("turned.tar.zst")
    assert job.result["plan"]["events"] == {"new": 0, "equal": 4, "conflict": 0}
    assert [one["key"] for one in job.result["conflicts"]] == ["order of events"]


def test_a_dry_run_writes_nothing_but_tells_custody_what_it_verified(orch):
    Incident().bundle(orch, "b.tar.zst")
    job = restore("b.tar.zst", dry_run=True)
    assert job.result["plan"]["alerts"]["new"] == 5
    assert (job.result["changed"], job.result["reconciled"]) == (False, None)
    assert tree(orch.forensic) == {}
    assert not any(rows().values())
    assert not RestoredIncident.objects.exists()
    assert actions() == [("incident.restore", "requested"), ("bundle.verified", "ok")]


def test_the_confirmed_plan_is_carried_out(orch):
    Incident().bundle(orch, "b.tar.zst")
    digest = restore("b.tar.zst", dry_run=True).result["plan_digest"]
    job = restore("b.tar.zst", plan_digest=digest)
    assert (job.status, job.result["plan_digest"]) == ("completed", digest)


@pytest.mark.parametrize("change", ["alert", "file"])
def test_a_target_that_changed_since_the_plan_asks_again(orch, change):
    Incident().bundle(orch, "b.tar.zst")
    digest = restore("b.tar.zst", dry_run=True).result["plan_digest"]
    if change == "alert":
        Alert.objects.create(incident_id=INCIDENT, alert_id="a-1", timestamp="", record="{}")
    else:
        (orch.forensic / INCIDENT / "art-1").mkdir(parents=True)
        (orch.forensic / INCIDENT / "art-1" / "plain.log").write_bytes(b"?")
    before = tree(orch.forensic), rows()
    job = restore("b.tar.zst", plan_digest=digest)
    assert (job.status, job.error_code) == ("failed", "plan_changed")
    assert (tree(orch.forensic), rows()) == before
    assert actions()[-2:] == [("incident.restore_failed", "plan_changed"), ("job.failed", "plan_changed")]


def test_another_conflicting_record_is_another_plan(orch):
    Incident().bundle(orch, "b.tar.zst")
    found = Alert.objects.create(incident_id=INCIDENT, alert_id="a-1", timestamp="", record="{}")
    first = restore("b.tar.zst", dry_run=True).result["plan_digest"]
    assert restore("b.tar.zst", dry_run=True).result["plan_digest"] == first
    found.record = '{"id":"a-1"}'
    found.save()
    assert restore("b.tar.zst", dry_run=True).result["plan_digest"] != first


def test_a_changed_byte_is_refused_and_nothing_is_written(orch):
    Incident().bundle(orch, "b.tar.zst")
    file = orch.output_dir / "b.tar.zst"
    content = bytearray(file.read_bytes())
    content[len(content) * 3 // 4] ^= 1
    file.write_bytes(content)
    job = restore("b.tar.zst")
    assert (job.status, job.retry_count, job.result) == ("failed", 1, None)
    assert tree(orch.forensic) == {}
    assert not any(rows().values())
    failed = ("bundle.verify_failed", "incident.restore_failed", "job.failed")
    assert actions()[1:] == [(action, job.error_code) for action in failed]
    assert list((orch.forensic / ".staging").iterdir()) == []


@pytest.mark.parametrize("way", ["link", "folder", "link to the folder", "link to the incident"])
def test_what_stands_in_a_files_way_is_a_conflict_and_never_followed(orch, way):
    outside = orch.root / "outside"
    outside.mkdir()
    (outside / "plain.log").write_bytes(b"one line\n")
    place = orch.forensic / INCIDENT / "art-1" / "plain.log"
    if way == "link to the incident":
        (outside / "art-1").symlink_to(outside)
        place.parent.parent.symlink_to(outside)
    elif way == "link to the folder":
        place.parent.parent.mkdir(parents=True)
        place.parent.symlink_to(outside)
    else:
        place.parent.mkdir(parents=True)
        place.symlink_to(outside / "plain.log") if way == "link" else place.mkdir()
    incident = Incident(files={"art-1": FILES["art-1"]})
    incident.bundle(orch, "b.tar.zst")
    job = restore("b.tar.zst")
    assert job.status == "completed"
    listed = sorted((one["table"], one["key"]) for one in job.result["conflicts"])
    assert listed == [("artifacts", "art-1"), ("files", f"{INCIDENT}/art-1/plain.log")]
    assert not ArtifactRecord.objects.exists()
    assert {one.name for one in outside.iterdir()} == {"plain.log"} | ({"art-1"} if "incident" in way else set())


def test_a_file_already_there_with_the_right_bytes_is_equal(orch):
    place = orch.forensic / INCIDENT / "art-1" / "plain.log"
    place.parent.mkdir(parents=True)
    place.write_bytes(FILES["art-1"][1])
    Incident().bundle(orch, "b.tar.zst")
    job = restore("b.tar.zst")
    assert job.result["plan"]["files"] == {"new": 4, "equal": 1, "conflict": 0}


def test_a_stored_file_that_changed_is_noticed_and_nothing_is_recorded(orch):
    Incident().bundle(orch, "b.tar.zst")
    restore("b.tar.zst")
    (orch.forensic / INCIDENT / "art-1" / "plain.log").write_bytes(b"One line\n")
    job = restore("b.tar.zst")
    assert (job.status, job.error_code) == ("failed", "reconcile_failed")
    assert "art-1/plain.log" in job.error_message
    assert actions()[-2:] == [("incident.restore_failed", "reconcile_failed"), ("job.failed", "reconcile_failed")]


def test_a_file_that_changes_after_it_was_put_in_place_is_noticed(orch, monkeypatch):
    place = artifacts.place

    def place_and_spoil(root, staged, stored_path):
        place(root, staged, stored_path)
        (root / stored_path).write_bytes(b"spoilt")

    monkeypatch.setattr(artifacts, "place", place_and_spoil)
    Incident().bundle(orch, "b.tar.zst")
    job = restore("b.tar.zst")
    assert (job.status, job.error_code) == ("failed", "reconcile_failed")
    assert not ArtifactRecord.objects.exists()


def test_a_lost_file_is_put_back(orch):
    Incident().bundle(orch, "b.tar.zst")
    restore("b.tar.zst")
    before = tree(orch.forensic)
    (orch.forensic / INCIDENT / "art-2" / paths.safe_name(FILES["art-2"][0])).unlink()
    job = restore("b.tar.zst")
    assert (job.result["changed"], job.result["plan"]["files"]["new"]) == (True, 1)
    assert tree(orch.forensic) == before


def test_a_record_that_tells_of_another_file_is_refused_before_anything_is_written(orch):
    liar = Incident()
    liar.records["art-1"] = {**liar.record_of("art-1"), "sha256": "0" * 64}
    liar.bundle(orch, "b.tar.zst")
    job = restore("b.tar.zst")
    assert (job.status, job.error_code) == ("failed", "reconcile_failed")
    assert tree(orch.forensic) == {}
    assert Job.objects.get().result is None
