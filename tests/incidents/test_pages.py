"""The list of incidents, and what an incident's page tells beside its timeline: where evidence is, what it holds."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.timezone import now

from bundles.models import Bundle, KeptTimeline, Manifest
from bundles.services import request_verification
from bundles.timelines.record_index import keep_restored
from foundation.principal import SYSTEM
from jobs.worker.worker import run_one
from orchestrator_site.templatetags.console import NOTHING
from rehydration.models import ArtifactRecord, RestoredIncident
from tests.console.test_pages import MOST_QUERIES, shown
from tests.support import console_rows as rows
from tests.support import main_job
from tests.support.console_rows import signed_in
from tests.support.main_job import finished, sources
from tests.support.rehydration_incident import Incident, restore
from tests.support.timeline_rows import event, events, kept

__all__ = ["sources"]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("orch")]

LIST = "/console/incidents"


@pytest.fixture
def operator() -> Client:
    return signed_in("operator")


def page_of(incident_id: str) -> str:
    return reverse("incident-page", args=[incident_id])


def words(text: str) -> str:
    """What a reader sees, on one line."""
    return " ".join(re.sub(r"<[^>]*>", " ", text).split())


def row_of(text: str, incident_id: str) -> str:
    found = [row for row in re.findall(r"<tr>.*?</tr>", text, re.DOTALL) if page_of(incident_id) in row]
    assert len(found) == 1
    return words(found[0])


def test_the_empty_list_tells_how_to_fill_it(operator: Client) -> None:
    text = shown(operator, LIST)
    assert "No incidents yet" in text
    assert reverse("new-bundle") in text
    assert reverse("new-bundle") not in shown(signed_in("viewer"), LIST)


def test_the_list_tells_alerts_artifacts_and_the_last_bundle_with_its_verification(
    operator: Client, tmp_path: Path
) -> None:
    alerts = [{"id": str(number), "severity": "high"} for number in range(1200)]
    good = kept(tmp_path / "a", events(3), alerts=alerts, artifacts=["x", "y"], incident_id="good-one")
    rows.verification(good)
    bad = kept(tmp_path / "b", events(3), incident_id="bad-one")
    rows.verification(bad, ok=False)
    rows.job("queued", incident_id="asked-for")
    rows.bundle("never-counted")
    text = shown(operator, LIST)
    assert row_of(text, "good-one").startswith("good-one 1,200 2 2 min ago")
    assert re.search(r"Verified \d+ s ago", row_of(text, "good-one"))
    assert "Not verified" in row_of(text, "bad-one")
    assert row_of(text, "asked-for").startswith(f"asked-for {NOTHING} {NOTHING} none")
    assert row_of(text, "never-counted").startswith(f"never-counted {NOTHING} {NOTHING}")
    assert "Not yet verified" in row_of(text, "never-counted")


def test_a_partial_bundle_carries_its_warning_in_the_list_and_on_the_page(operator: Client, tmp_path: Path) -> None:
    gap = [{"source": "forensic", "reason": rows.HOSTILE}]
    bundle = kept(tmp_path / "a", events(3), complete=False, missing=gap)
    for verified in (False, True):
        if verified:
            rows.verification(bundle)
        row = row_of(shown(operator, LIST), rows.INCIDENT)
        assert "Partial" in row
        assert "1 item missing" in row
        page = shown(operator, page_of(rows.INCIDENT))
        assert "The newest bundle is partial" in page
        assert "<script>alert" not in page
        assert "U+202E" in page


def test_the_list_is_searched_and_paged_by_key(operator: Client, django_assert_max_num_queries: Any) -> None:
    for number in range(60):
        rows.bundle(f"case-{number:03}")
    with django_assert_max_num_queries(MOST_QUERIES):
        first = shown(operator, LIST)
    more = re.findall(r'href="(\?cursor=[^"]+)"', first)
    second = shown(operator, LIST + more[0])
    found = [set(re.findall(r"/console/incidents/(case-\d+)", text)) for text in (first, second)]
    assert found[0] | found[1] == {f"case-{number:03}" for number in range(60)}
    assert not found[0] & found[1]
    searched = shown(operator, LIST + "?search=CASE-05")
    assert set(re.findall(r"/console/incidents/(case-\d+)", searched)) == {f"case-05{number}" for number in range(10)}
    assert "No incident matches" in shown(operator, LIST + "?search=nowhere")
    assert "&lt;b&gt;" in shown(operator, LIST + "?search=<b>")


@pytest.mark.parametrize("incident_id", ["unknown", "x" * 128, "..", "%3Cscript%3E", "a b", "\u202ex"])
def test_an_incident_that_nothing_names_is_not_found(operator: Client, incident_id: str) -> None:
    text = shown(operator, f"{LIST}/{incident_id}", status=404)
    assert "incident_not_found" in text
    assert "<script>" not in text.replace("<script src", "")


def test_an_incident_that_only_a_job_names_says_what_to_do_next(operator: Client) -> None:
    rows.job("failed")
    text = shown(operator, page_of(rows.INCIDENT))
    assert "Its timeline appears with its first bundle" in text
    assert "Compare two bundles" not in text
    assert f"{reverse('new-bundle')}?incident_id={rows.INCIDENT}" in text
    assert "No artifact file of this incident is known here." in text
    assert "Bundle it now" not in shown(signed_in("viewer"), page_of(rows.INCIDENT))


def test_alerts_are_told_by_severity_the_worst_first_and_none_is_lost(operator: Client, tmp_path: Path) -> None:
    told = ["low", "critical", "high", "high", None, "odd", "medium", "info"]
    kept(tmp_path / "a", events(1), alerts=[{"id": str(at), "severity": name} for at, name in enumerate(told)])
    text = words(shown(operator, page_of(rows.INCIDENT)))
    assert "Critical 1 High 2 Medium 1 Low 1 Info 1 Unrated 2" in text
    assert "8 alerts" in text


def test_artifacts_stand_with_their_whole_digest_and_a_button_that_copies_it(operator: Client, tmp_path: Path) -> None:
    names = [f"file {number:02}.evtx" for number in range(23)]
    kept(tmp_path / "a", events(1), artifacts=names)
    seen: list[str] = []
    address = page_of(rows.INCIDENT)
    for _ in range(3):
        text = shown(operator, address)
        seen += re.findall(r"<bdi>(file \d\d\.evtx)</bdi>", text)
        for name in seen[-3:]:
            assert f'data-copy="{rows.sha(name)}"' in text
        following = re.findall(r'href="(\?artifacts=[^"]+)"\s+rel="next"', text)
        address = page_of(rows.INCIDENT) + (following[0].split("#")[0] if following else "")
    assert seen == names
    assert "of 23, as signed in the bundle" in text
    assert "There are no more artifacts." in shown(operator, page_of(rows.INCIDENT) + "?artifacts=500")


def test_a_bundle_whose_timeline_is_not_kept_is_read_when_it_is_verified(
    operator: Client, orch: Any, sources: Any, django_capture_on_commit_callbacks: Any
) -> None:
    made = main_job.bundle()
    built = set((orch.output_dir / ".staging").iterdir())  # removed on commit, which a test's transaction never does
    counts = Bundle.objects.get().counts
    assert counts == {"events": 3, "alerts": {"unrated": main_job.ALERTS}, "artifacts": 5}
    KeptTimeline.objects.all().delete()
    Bundle.objects.update(counts=None)
    text = shown(operator, page_of(main_job.INCIDENT))
    assert "Not read yet" in text
    assert "Verify the newest bundle" in text
    assert "Verify the newest bundle" not in shown(signed_in("viewer"), page_of(main_job.INCIDENT))
    with django_capture_on_commit_callbacks(execute=True):
        finished(request_verification(SYSTEM, made.bundle_id).job)
    assert Bundle.objects.get().counts == counts
    assert "<b>3</b> of 3 events" in shown(operator, page_of(main_job.INCIDENT))
    assert set((orch.output_dir / ".staging").iterdir()) <= built


def test_a_bundles_job_keeps_its_timeline_with_its_row(operator: Client, sources: Any) -> None:
    made = main_job.bundle()
    timeline = KeptTimeline.objects.get()
    assert (timeline.bundle_id, timeline.events, timeline.kept, timeline.dated) == (made.bundle_id, 3, 15, 15)
    files = {entry["path"]: entry for entry in manifest_files(made)}
    members = "".join(files[f"{name}.json"]["sha256"] for name in ("timeline", "alerts", "artifacts"))
    assert timeline.sha256 == hashlib.sha256(members.encode()).hexdigest()
    text = shown(operator, page_of(main_job.INCIDENT))
    assert "<b>3</b> of 3 events" in text
    assert "artifact" in words(text)
    times = re.findall(r"2026-01-01 00:00:0(\d)\.000</time>", text)
    assert times == ["1", "2", "3"]


def manifest_files(bundle: Bundle) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(bytes(Manifest.objects.get(bundle=bundle).raw))["files"]
    return listed


def test_a_restored_incident_shows_what_was_restored_however_odd_it_is(
    operator: Client, orch: Any, django_assert_max_num_queries: Any
) -> None:
    made = Incident()
    made.bundle(orch, "odd.tar.zst")
    restore("odd.tar.zst")
    with django_assert_max_num_queries(MOST_QUERIES):
        text = shown(operator, page_of(made.incident_id))
    assert "what was restored here" in text
    assert "signature was checked" in text
    assert "<b>4</b> of 4 events" in text
    assert "4 events, 5 alerts, 5 artifacts" in words(text)
    assert "High 1 Low 1 Unrated 3" in words(text)
    assert "5 of 5, as restored here" in text
    assert "\u202e" not in text
    kept_here = KeptTimeline.objects.get()
    restore("odd.tar.zst", dry_run=True)
    assert KeptTimeline.objects.get().pk == kept_here.pk


def test_events_of_a_second_restore_join_those_of_the_first(operator: Client, orch: Any) -> None:
    made = Incident()
    made.bundle(orch, "one.tar.zst")
    restore("one.tar.zst")
    made.events = [*made.events, event(0)]
    made.bundle(orch, "two.tar.zst")
    restore("two.tar.zst")
    assert RestoredIncident.objects.get().events == 5
    assert "<b>5</b> of 5 events" in shown(operator, page_of(made.incident_id))


def test_what_was_restored_before_timelines_were_read_says_so_and_is_read_by_the_next_restore(
    operator: Client, orch: Any
) -> None:
    made = Incident()
    made.bundle(orch, "one.tar.zst")
    restore("one.tar.zst")
    KeptTimeline.objects.all().delete()
    text = shown(operator, page_of(made.incident_id))
    assert "events of this incident have not been read for this page" in text
    restore("one.tar.zst")
    text = shown(operator, page_of(made.incident_id))
    assert "<b>4</b> of 4 events" in text
    assert "High 1 Low 1 Unrated 3" in words(text)


@pytest.mark.parametrize(
    ("state", "verdict", "origin"),
    [("ready", None, "bundle"), ("ready", True, "bundle"), ("ready", False, "restored"), ("lost", None, "restored")],
)
def test_a_bundle_that_cannot_be_relied_on_gives_way_to_what_was_restored(
    operator: Client, tmp_path: Path, state: str, verdict: bool | None, origin: str
) -> None:
    bundle = kept(tmp_path / "a", events(7))
    RestoredIncident.objects.create(
        incident_id=rows.INCIDENT, restored_at=now(), restored_by="x", bundle_sha256="", content_digest=rows.sha("c"),
        signature_checked=False, has_alerts=True, has_artifacts=True, events=5,
    )  # fmt: skip
    keep_restored(rows.INCIDENT, {"event": ['{"severity":"low"}'] * 5}, {"event": 5})
    if verdict is not None:
        rows.verification(bundle, ok=verdict)
    Bundle.objects.update(state=state)
    texts = {"": shown(operator, page_of(rows.INCIDENT))}
    for name in ("bundle", "restored"):
        texts[name] = shown(operator, page_of(rows.INCIDENT) + f"?origin={name}")
    assert "<b>7</b> of 7 events" in texts["bundle"]
    assert "?origin=restored" in texts["bundle"]
    assert "<b>5</b> of 5 events" in texts["restored"]
    assert "Signature not checked" in texts["restored"]
    count = "7" if origin == "bundle" else "5"
    assert f"<b>{count}</b> of {count} events" in texts[""]
    if state == "lost":
        assert "The file of this bundle is missing" in texts["bundle"]


def test_restored_artifacts_are_paged_by_key_and_tell_a_file_that_no_bundle_carried(operator: Client) -> None:
    RestoredIncident.objects.create(
        incident_id=rows.INCIDENT, restored_at=now(), restored_by="x", bundle_sha256="", content_digest=rows.sha("c"),
        signature_checked=True, has_alerts=True, has_artifacts=True, artifacts=12,
    )  # fmt: skip
    for number in range(12):
        ArtifactRecord.objects.create(
            incident_id=rows.INCIDENT, artifact_id=f"a-{number:02}", name=rows.HOSTILE, size=5, record="{}",
            sha256="" if number == 11 else rows.sha(str(number)),
        )  # fmt: skip
    first = shown(operator, page_of(rows.INCIDENT))
    assert "U+202E" in first
    assert "10 of 12, as restored here" in first
    following = re.findall(r'href="(\?artifacts=[^"]+)"\s+rel="next"', first)
    second = shown(operator, page_of(rows.INCIDENT) + following[0].split("#")[0])
    assert "2 of 12, as restored here" in second
    assert "File missing" in second
    assert "cursor_invalid" in shown(operator, page_of(rows.INCIDENT) + "?artifacts=forged", status=400)


def test_jobs_bundles_and_custody_of_the_incident_are_on_its_page(operator: Client, tmp_path: Path) -> None:
    first, second = kept(tmp_path / "a", events(3)), kept(tmp_path / "b", events(3))
    failed = rows.job("failed")
    assert run_one() is None
    text = shown(operator, page_of(rows.INCIDENT))
    for bundle in (first, second):
        assert reverse("bundle-page", args=[bundle.bundle_id]) in text
    assert reverse("job-page", args=[failed.job_id]) in text
    assert "All events of this incident" in text
    assert reverse("compare-bundles", args=[rows.INCIDENT]) in text
    assert "Compare two bundles" in text
