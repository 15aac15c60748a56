"""The main job: bundle, verify, refuse one changed byte, restore, restore again, bundle again."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from bundles import manifest_files
from bundles import services as bundle_services
from bundles.format.reading.report import check_bundle
from bundles.keys import trusted_keys
from custody import chain
from custody.models import Event
from foundation.principal import SYSTEM
from orchestrator_site.configuration.env import BASE_DIR
from rehydration.models import Alert, ArtifactRecord, TimelineEvent
from tests.support.main_job import (
    ALERTS,
    FILES,
    INCIDENT,
    bundle,
    change_a_byte,
    files_of,
    finished,
    path_of,
    point_at,
    restore,
    sources,
    write_incident,
)
from tests.support.upstreams import Upstreams

__all__ = ["sources"]

pytestmark = pytest.mark.django_db(transaction=True)

SHARED = Path(os.environ.get("ORCH_SHARED_INCIDENTS") or BASE_DIR.parent / "shared" / "incidents")


def walk(orch, incident_id: str) -> dict[str, dict[str, int]]:
    """Run and check the whole main job on one incident; returns the restore's plan."""
    made = bundle(incident_id)
    assert (made.complete, made.state, made.missing) == (True, "ready", [])
    report = check_bundle(path_of(made), trusted_keys.trusted()).as_dict()
    assert (report["verified"], report["sha256"], report["content_digest"]) == (True, made.sha256, made.content_digest)
    changed = orch.root / "changed.tar.zst"
    shutil.copyfile(path_of(made), changed)
    change_a_byte(changed)
    refused = check_bundle(changed, trusted_keys.trusted()).as_dict()
    assert (refused["verified"], bool(refused["error"]["code"])) == (False, True)
    first = restore(made)
    assert (first["changed"], first["conflict_total"], first["reconciled"]["ok"]) == (True, 0, True)
    before = [files_of(orch.forensic), *(model.objects.count() for model in (TimelineEvent, Alert, ArtifactRecord))]
    again = restore(made)
    assert (again["changed"], again["conflict_total"]) == (False, 0)
    assert not any(counts["new"] for counts in again["plan"].values())
    after = [files_of(orch.forensic), *(model.objects.count() for model in (TimelineEvent, Alert, ArtifactRecord))]
    assert after == before
    remade = bundle(incident_id, source="restored")
    assert (remade.content_digest, remade.files) == (made.content_digest, made.files)
    assert remade.sha256 != made.sha256
    assert files_of(orch.output_dir) == sorted([made.name, remade.name])
    assert chain.verify().intact
    return dict(first["plan"])


def test_an_incident_bundled_restored_and_bundled_again_has_the_same_content_digest(orch, sources):
    plan = walk(orch, INCIDENT)
    assert (plan["alerts"]["new"], plan["events"]["new"], plan["artifacts"]["new"]) == (ALERTS, 3, len(FILES))


def test_non_ascii_spaced_and_long_names_and_empty_files_are_restored_byte_for_byte(orch, sources):
    restore(bundle())
    assert max(len(name.encode()) for name, _ in FILES.values()) >= 200
    restored = {
        (path.parent.name, path.name): path.read_bytes()
        for path in (orch.forensic / INCIDENT).rglob("*")
        if path.is_file()
    }
    assert restored == {(f"{INCIDENT}.{key}", name): content for key, (name, content) in FILES.items()}


def test_gzip_and_zstd_bundles_of_one_incident_have_the_same_content_digest(orch, sources):
    zstd, gzip = bundle(), bundle(compression="gzip")
    assert (zstd.compression, gzip.compression) == ("zstd", "gzip")
    assert gzip.name.endswith(".tar.gz")
    assert zstd.content_digest == gzip.content_digest


def test_small_chunks_are_signed_and_do_not_change_the_content_digest(orch, sources, tmp_path):
    write_incident(tmp_path / "incidents", "case-big", {"big": ("disk.dd", os.urandom(2_500_000))})
    whole, cut = bundle("case-big"), bundle("case-big", chunk_size_mb=1)
    entries = {entry["path"]: entry for entry in manifest_files.files_of(cut.bundle_id)}
    assert [chunk["size"] for chunk in entries["artifacts/case-big.big/disk.dd"]["chunks"]] == [
        1 << 20,
        1 << 20,
        402_848,
    ]
    assert whole.content_digest == cut.content_digest


def test_each_action_of_the_main_job_is_recorded_once_and_in_order(orch, sources):
    made = bundle()
    finished(bundle_services.request_verification(SYSTEM, made.bundle_id).job)
    restore(made)
    recorded = list(Event.objects.order_by("sequence").values_list("action", "outcome"))
    assert recorded == [
        ("bundle.create", "requested"),
        ("bundle.published", "ok"),
        ("bundle.verify", "requested"),
        ("bundle.verified", "ok"),
        ("incident.restore", "requested"),
        ("bundle.verified", "ok"),
        ("incident.restored", "ok"),
    ]


REAL = (
    sorted(entry.name for entry in SHARED.iterdir() if (entry / "timeline.json").is_file()) if SHARED.is_dir() else []
)


@pytest.mark.skipif(not REAL, reason="needs the public incidents (ORCH_SHARED_INCIDENTS)")
@pytest.mark.parametrize("incident_id", REAL)
def test_a_public_incident_goes_through_the_whole_main_job(orch, settings, incident_id):
    with Upstreams([SHARED]) as services:
        point_at(settings, services)
        settings.ORCH_SOURCE_TIMEOUT_SECONDS = 30
        plan = walk(orch, incident_id)
    assert min(plan[table]["new"] for table in ("alerts", "events", "artifacts", "files")) > 0
