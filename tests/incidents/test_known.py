"""The list of incidents, and the three public incidents there and back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.utils.timezone import now

from bundles import services as bundle_services
from bundles.format.cli import cli
from bundles.models import Bundle
from foundation.errors import AccessDeniedError
from foundation.keyset import CursorInvalidError
from foundation.principal import SYSTEM, Principal
from incidents import services
from incidents.errors import IncidentNotFoundError
from jobs.queue import queue
from rehydration.models import RestoredIncident
from tests.support.rehydration_incident import restore, run

pytestmark = pytest.mark.django_db

SHARED = Path(__file__).resolve().parents[3] / "shared" / "incidents"
PUBLIC = sorted(path.parent for path in SHARED.glob("*/timeline.json"))


def bundled(incident_id: str, name: str) -> Bundle:
    return Bundle.objects.create(
        incident_id=incident_id, name=name, size=1, sha256="0" * 64, created_at=now(), created_by="x", source="live",
        compression="zstd", key_id="0" * 64, complete=True, files=1, total_bytes=1, content_digest="0" * 64,
        manifest_hash="0" * 64,
    )  # fmt: skip


def restored(incident_id: str, alerts: int = 0) -> None:
    RestoredIncident.objects.create(
        incident_id=incident_id, restored_at=now(), restored_by="x", bundle_sha256="", content_digest="",
        signature_checked=True, has_alerts=True, has_artifacts=True, alerts=alerts,
    )  # fmt: skip


def asked_for(incident_id: str) -> None:
    queue.enqueue("rehydrate", {}, principal=SYSTEM, operation="x", incident_id=incident_id)


def walk(limit: int, **asked) -> list[str]:
    found, cursor = [], ""
    while True:
        page = services.incidents(SYSTEM, cursor=cursor, limit=limit, **asked)
        found += [item.incident_id for item in page.items]
        cursor = page.next
        if not cursor:
            return found


def test_each_incident_that_a_job_a_bundle_or_a_restore_names_is_listed_once():
    for place in range(7):
        asked_for(f"job-{place}")
        bundled(f"b-{place}", f"{place}.tar.zst")
        restored(f"r-{place}")
    asked_for("")
    asked_for("b-3")
    restored("job-2")
    everything = walk(500)
    assert len(everything) == 21
    assert sorted(everything) == sorted({*everything})
    assert walk(1) == walk(4) == everything


def test_a_summary_counts_what_is_here():
    asked_for("x")
    asked_for("x")
    bundled("x", "1.tar.zst")
    newest = bundled("x", "2.tar.zst")
    restored("x", alerts=12)
    found = services.incident(SYSTEM, "x")
    assert (found.jobs, found.bundles, found.alerts, found.last_bundle) == (2, 2, 12, newest)
    assert services.incidents(SYSTEM).items == [found]


def test_a_search_finds_ids_that_contain_it_whatever_the_case():
    for incident_id in ("Alpha-1", "beta-1", "beta_2"):
        asked_for(incident_id)
    assert sorted(walk(1, search="A-")) == ["Alpha-1", "beta-1"]
    assert walk(2, search="%") == walk(2, search="_3") == walk(2, search="\x00") == []
    assert walk(2, search="A_2") == ["beta_2"]


def test_a_page_takes_the_same_few_queries_however_many_incidents_it_shows(django_assert_num_queries):
    for place in range(30):
        bundled(f"b-{place}", f"{place}.tar.zst")
    with django_assert_num_queries(5):
        assert len(services.incidents(SYSTEM, limit=30).items) == 30


@pytest.mark.parametrize("cursor", ["!", "AA", "Li4vLi4", "\x00", "é", "====", "x" * 5000])
def test_a_cursor_of_another_list_is_refused(cursor):
    with pytest.raises(CursorInvalidError):
        services.incidents(SYSTEM, cursor=cursor)


@pytest.mark.parametrize("incident_id", ["unknown", "", "../x", "\x00", "é"])
def test_an_incident_that_nothing_names_is_not_found(incident_id):
    with pytest.raises(IncidentNotFoundError):
        services.incident(SYSTEM, incident_id)


def test_who_may_not_see_bundles_sees_no_incidents():
    nobody = Principal(name="nobody", authenticated_by="session")
    with pytest.raises(AccessDeniedError):
        services.incidents(nobody)
    with pytest.raises(AccessDeniedError):
        services.incident(nobody, "x")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("folder", PUBLIC, ids=lambda path: path.name)
def test_a_public_incident_goes_there_and_back(orch, folder, capsys):
    incident_id = folder.name
    target = orch.output_dir / "b.tar.zst"
    made = [
        "create",
        str(folder),
        "--incident-id",
        incident_id,
        "--key",
        str(orch.sign_key),
        "-o",
        str(target),
        "--json",
    ]
    assert cli.main(made) == 0
    digest = json.loads(capsys.readouterr().out)["content_digest"]
    job = restore("b.tar.zst")
    assert (job.status, job.error_message) == ("completed", "")
    assert job.result["plan"]["alerts"]["new"] == len(json.loads((folder / "alerts.json").read_bytes()))
    for path in (folder / "artifacts").rglob("*"):
        if path.is_file():
            assert (
                orch.forensic / incident_id / path.relative_to(folder / "artifacts")
            ).read_bytes() == path.read_bytes()
    assert restore("b.tar.zst").result["changed"] is False
    bundle_services.request_bundle(SYSTEM, incident_id=incident_id, source="restored")
    assert run().result["content_digest"] == digest
