"""Bundling what was restored, and bundles that do not hold everything."""

from __future__ import annotations

import pytest
from django.db import connection

from bundles import services as bundle_services
from bundles.artifacts import search_sql
from bundles.format.model import paths
from bundles.models import Bundle, BundledArtifact
from foundation.principal import SYSTEM
from rehydration.models import ArtifactRecord, RestoredIncident
from tests.support.rehydration_incident import INCIDENT, Incident, restore, run, tree

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _no_job_but_those_that_are_asked_for(settings):
    settings.ORCH_VERIFY_AFTER_CREATE = False


# Ids as sources have them, of which no path can have most; the record keeps each as it is.
ODD_IDS: list[str | int] = [
    "~40964304", 42, "42", "a/b", "..", "й" * 700, "nul\x00 \ud83d", "id-" + "0" * 64, -7, 2**80,
]  # fmt: skip

GAP = {"source": "alerts", "reason": "Alerts DB: it cannot be reached."}
FILE_GAP = {"path": "artifacts/art-1/plain.log", "reason": "Forensic artifacts: it cannot be reached."}


def bundle_again(**asked):
    bundle_services.request_bundle(SYSTEM, incident_id=INCIDENT, source="restored", **asked)
    return run()


def test_a_restored_incident_gives_the_same_content_digest_again_and_again(orch):
    written = Incident().bundle(orch, "b.tar.zst")
    restore("b.tar.zst")
    job = bundle_again()
    assert (job.status, job.error_message) == ("completed", "")
    assert job.result["content_digest"] == written.manifest.content_digest
    again = Bundle.objects.get()
    sources = written_sources(again)
    assert {source["url"] for source in sources.values()} == {f"restored:{INCIDENT}"}
    assert {name: source["record_count"] for name, source in sources.items()} == {
        "timeline": 4, "alerts": 5, "artifacts": 5,
    }  # fmt: skip
    job = restore(again.path)
    assert job.result["changed"] is False


def odd_incident(**changes):
    """An incident with an artifact for each odd id, and a second record of the first artifact."""
    files = {paths.path_id(one): (f"{number}.bin", b"%d" % number) for number, one in enumerate(ODD_IDS)}
    incident = Incident(files=files, **changes)
    for one in ODD_IDS:
        place = paths.path_id(one)
        host = f"host of {one!r}"
        incident.records[place] = {**incident.record_of(place), "artifact_id": one, "source_host": host}
    incident.more_records.append({**incident.records[paths.path_id(ODD_IDS[0])], "collected_at": "2026-01-09"})
    return incident


def test_artifacts_with_any_ids_are_restored_bundled_again_and_listed_with_what_their_records_say(orch):
    written = odd_incident().bundle(orch, "b.tar.zst")
    job = restore("b.tar.zst")
    assert (job.status, job.error_message) == ("completed", "")
    assert job.result["plan"]["artifacts"] == {"new": len(ODD_IDS) + 1, "equal": 0, "conflict": 0}
    assert ArtifactRecord.objects.filter(stored_path="").count() == 0
    job = bundle_again()
    assert (job.status, job.error_message) == ("completed", "")
    assert job.result["content_digest"] == written.manifest.content_digest
    hosts = dict(BundledArtifact.objects.values_list("artifact_id", "host"))
    assert {one: hosts[paths.path_id(one)] for one in ODD_IDS[:5]} == {one: f"host of {one!r}" for one in ODD_IDS[:5]}
    for searched in ("~40964304", "42"):
        ids = {paths.path_id("~40964304")} if searched == "~40964304" else {"42", paths.path_id(42)}
        query, values = search_sql.hits(
            "orchestrator_bundle_artifacts", "artifact_id", text=searched, hex_digits="", limit=9
        )
        with connection.cursor() as cursor:
            cursor.execute(query, values)
            assert {row[0] for row in cursor.fetchall() if row[1] == "id"} == ids
    assert restore(Bundle.objects.get().path).result["changed"] is False


def test_the_file_of_an_odd_id_that_a_bundle_lacked_is_named_by_its_path(orch):
    place = paths.path_id("~40964304")
    path = f"artifacts/{place}/0.bin"
    gap = {"path": path, "reason": "Forensic artifacts: it cannot be reached."}
    odd_incident(without=(place,), missing=[gap]).bundle(orch, "b.tar.zst")
    assert restore("b.tar.zst").status == "completed"
    assert bundle_again(allow_partial=True).result["missing"] == [gap]


def test_every_record_that_a_source_had_to_leave_out_is_still_named_after_a_restore(orch):
    gaps = [{"source": "alerts", "reason": f"Alerts DB: alert {n}, byte {n}00, was refused: NaN."} for n in (2, 5, 9)]
    Incident(missing=gaps).bundle(orch, "b.tar.zst")
    assert restore("b.tar.zst").status == "completed"
    assert bundle_again(allow_partial=True).result["missing"] == gaps


def written_sources(bundle):
    import json

    return json.loads(bytes(bundle.manifest.raw))["metadata"]["sources"]


def test_an_incident_that_was_never_restored_is_unknown(orch):
    job = bundle_again()
    assert (job.status, job.error_code) == ("failed", "incident_unknown")


def test_a_stored_file_that_is_gone_or_changed_stops_the_bundle(orch):
    Incident().bundle(orch, "b.tar.zst")
    restore("b.tar.zst")
    file = orch.forensic / INCIDENT / "art-1" / "plain.log"
    file.write_bytes(b"One line\n")
    assert bundle_again().status != "completed"
    file.unlink()
    assert bundle_again().error_code == "source_invalid"
    file.symlink_to(orch.sign_key)
    assert bundle_again().error_code == "source_invalid"
    assert not Bundle.objects.exists()


def test_a_partial_bundle_restores_what_it_has_and_says_what_is_missing(orch):
    partial = Incident(without=("alerts.json", "art-1"), missing=[GAP, FILE_GAP])
    written = partial.bundle(orch, "b.tar.zst")
    job = restore("b.tar.zst")
    assert (job.status, job.error_message) == ("completed", "")
    assert (job.result["complete"], job.result["missing"]) == (False, [GAP, FILE_GAP])
    assert job.result["plan"]["files"]["new"] == 4
    assert ArtifactRecord.objects.get(artifact_id="art-1").stored_path == ""
    assert bundle_again().error_code == "source_invalid"
    again = bundle_again(allow_partial=True)
    assert (again.status, again.error_message) == ("completed", "")
    assert again.result["content_digest"] == written.manifest.content_digest
    assert sorted(again.result["missing"], key=str) == sorted([GAP, FILE_GAP], key=str)


def test_alerts_that_came_with_a_gap_beside_them_are_not_complete_after_a_restore(orch):
    written = Incident(missing=[GAP]).bundle(orch, "b.tar.zst")
    restore("b.tar.zst")
    assert bundle_again().error_code == "source_invalid"
    again = bundle_again(allow_partial=True)
    assert (again.result["content_digest"], again.result["missing"]) == (written.manifest.content_digest, [GAP])
    Incident().bundle(orch, "whole.tar.zst")
    restore("whole.tar.zst")
    assert bundle_again().result["missing"] == []


def test_a_full_bundle_completes_what_a_partial_one_began(orch):
    Incident(without=("alerts.json", "art-1"), missing=[GAP, FILE_GAP]).bundle(orch, "part.tar.zst")
    restore("part.tar.zst")
    whole = Incident().bundle(orch, "whole.tar.zst")
    job = restore("whole.tar.zst")
    assert job.result["plan"]["files"] == {"new": 1, "equal": 4, "conflict": 0}
    assert job.result["plan"]["artifacts"] == {"new": 0, "equal": 5, "conflict": 0}
    assert RestoredIncident.objects.get().missing == []
    assert bundle_again().result["content_digest"] == whole.manifest.content_digest
    assert len(tree(orch.forensic)) == 5


def test_a_partial_bundle_takes_nothing_away_from_a_full_one(orch):
    whole = Incident().bundle(orch, "whole.tar.zst")
    restore("whole.tar.zst")
    Incident(without=("alerts.json", "art-1"), missing=[GAP, FILE_GAP]).bundle(orch, "part.tar.zst")
    assert restore("part.tar.zst").result["changed"] is False
    assert bundle_again().result["content_digest"] == whole.manifest.content_digest


def test_an_empty_incident_comes_back_as_empty_as_it_was(orch):
    empty = Incident(header={"incident_id": INCIDENT}, events=[], alerts=[], files={})
    written = empty.bundle(orch, "b.tar.zst")
    assert restore("b.tar.zst").status == "completed"
    assert bundle_again().result["content_digest"] == written.manifest.content_digest
