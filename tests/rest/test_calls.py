"""Every call of the API does what it says, over a real socket, for a caller who may."""

from __future__ import annotations

import json
from uuid import UUID, uuid4

import requests

from bundles.models import Bundle, BundledArtifact
from custody.models import Event
from incidents.rest.search_shapes import ArtifactShape, FoundShape, GroupShape, RecordShape
from jobs.models import Job
from jobs.queue import queue, registry
from jobs.queue.claim_request import ClaimRequest
from tests.support import console_rows as rows
from tests.support import timeline_rows
from tests.support.api_deployment import INCIDENT, Api, Traces, api, is_problem, make_bundle

__all__ = ["api"]


def location_of(answer: requests.Response) -> str:
    job_id = answer.json()["job_id"]
    assert answer.headers["Location"] == f"/jobs/{UUID(job_id)}"
    return str(job_id)


def test_asking_for_a_bundle_makes_one_queued_job_and_one_line_in_custody(api: Api):
    answer = api.post("/bundle/create", {"incident_id": INCIDENT})
    job_id = location_of(answer)
    assert answer.status_code == 202
    assert answer.json() == {"job_id": job_id, "status": "queued", "incident_id": INCIDENT}
    job = Job.objects.get()
    assert (str(job.job_id), job.job_type, job.priority) == (job_id, "bundle_create", 100)
    assert job.payload["chunk_size_mb"] == 256
    event = Event.objects.get()
    assert (event.action, event.actor, event.authenticated_by, event.address) == (
        "bundle.create", "operator", "token", "127.0.0.1",
    )  # fmt: skip


def test_asking_again_while_it_is_active_gives_the_same_job_with_200_and_its_real_state(api: Api):
    first = location_of(api.post("/bundle/create", {"incident_id": INCIDENT}))
    queue.claim(ClaimRequest("worker", tuple(kind.name for kind in registry.all())))
    again = api.post("/bundle/create", {"incident_id": INCIDENT}, role="analyst")
    assert again.status_code == 200
    assert again.json() == {"job_id": first, "status": "processing", "incident_id": INCIDENT}
    assert location_of(again) == first
    assert Job.objects.count() == 1


def test_an_idempotency_key_gives_the_same_job_and_refuses_another_request(api: Api):
    body = {"incident_id": INCIDENT, "idempotency_key": "once", "source": "restored", "allow_partial": True}
    first = location_of(api.post("/bundle/create", body))
    queue.cancel(UUID(first))
    again = api.post("/bundle/create", {**body, "priority": 100})
    assert (again.status_code, again.json()["job_id"], again.json()["status"]) == (200, first, "cancelled")
    is_problem(api.post("/bundle/create", {**body, "priority": 101}), 409, "idempotency_key_reused")
    other = api.post("/bundle/create", body, role="analyst")
    assert (other.status_code, other.json()["job_id"] != first) == (202, True)


def test_a_restore_is_asked_for_by_path_or_by_id(api: Api, orch):
    bundle = make_bundle(orch)
    path = orch.output_dir / bundle.name
    body = {"bundle_path": str(path), "verify_signature": True, "idempotency_key": "rehydrate-123"}
    answer = api.post("/rehydrate/start", body)
    first = location_of(answer)
    assert answer.status_code == 202
    assert answer.json() == {"job_id": first, "status": "queued", "bundle_path": str(path)}
    again = api.post("/rehydrate/start", body)
    assert (again.status_code, again.json()) == (200, answer.json())
    by_id = api.post("/rehydrate/start", {"bundle_id": str(bundle.bundle_id), "dry_run": True})
    assert (by_id.status_code, by_id.json()["bundle_path"]) == (202, str(path))
    assert Job.objects.count() == 2


def test_an_uploaded_bundle_is_kept_in_quarantine_under_a_name_of_ours(api: Api, orch):
    content = (orch.output_dir / make_bundle(orch).name).read_bytes()
    form = {"idempotency_key": (None, "up"), "dry_run": (None, "true")}
    file = {"bundle_file": ("../../../etc/pass\u202ewd.tar.zst", content)}
    answer = api.post("/rehydrate/start", files={**form, **file})
    assert answer.status_code == 202
    kept = list((orch.output_dir / ".quarantine").iterdir())
    assert [str(path) for path in kept] == [answer.json()["bundle_path"]]
    assert kept[0].read_bytes() == content
    assert Job.objects.get().payload["dry_run"] is True
    again = api.post("/rehydrate/start", files={**file, **form})
    assert (again.status_code, again.json()) == (200, answer.json())
    assert list((orch.output_dir / ".quarantine").iterdir()) == kept


def test_jobs_are_listed_in_pages_filtered_and_shown_alone(api: Api):
    ids = [api.post("/bundle/create", {"incident_id": f"incident-{n}"}).json()["job_id"] for n in range(5)]
    seen: list[str] = []
    cursor = ""
    while True:
        page = api.get("/jobs", role="viewer", params={"limit": 2, "cursor": cursor}).json()
        seen += [job["job_id"] for job in page["jobs"]]
        if page["next"] is None:
            break
        cursor = page["next"]
    assert seen == ids[::-1]
    of_one = api.get("/jobs?status=queued&type=bundle_create&incident_id=incident-3&cursor=").json()
    assert [job["job_id"] for job in of_one["jobs"]] == [ids[3]]
    assert api.get("/jobs?status=failed").json() == {"jobs": [], "next": None}
    assert api.get(f"/jobs/{ids[3]}", role="viewer").json() == of_one["jobs"][0]


def test_a_job_is_cancelled_and_queued_again_where_its_state_allows(api: Api):
    job_id = api.post("/bundle/create", {"incident_id": INCIDENT}).json()["job_id"]
    is_problem(api.post(f"/jobs/{job_id}/retry"), 409, "state_conflict")
    cancelled = api.post(f"/jobs/{job_id}/cancel")
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    is_problem(api.post(f"/jobs/{job_id}/cancel", {}), 409, "state_conflict")
    again = api.post(f"/jobs/{job_id}/retry", {})
    assert (again.status_code, again.json()["status"]) == (200, "queued")
    assert sorted(Event.objects.values_list("action", flat=True)) == ["bundle.create", "job.cancel", "job.retry"]


def test_bundles_are_listed_shown_and_verified(api: Api, orch):
    one, two = make_bundle(orch), make_bundle(orch, "other")
    listed = api.get("/bundles", role="viewer").json()
    assert [bundle["bundle_id"] for bundle in listed["bundles"]] == [str(two.bundle_id), str(one.bundle_id)]
    assert listed["next"] is None
    mine = api.get(f"/bundles?incident_id={INCIDENT}", role="viewer").json()["bundles"]
    assert mine == [api.get(f"/bundles/{one.bundle_id}", role="viewer").json()]
    assert (mine[0]["sha256"], mine[0]["path"]) == (one.sha256, str(orch.output_dir / one.name))
    answer = api.post(f"/bundles/{one.bundle_id}/verify", role="analyst")
    job_id = location_of(answer)
    assert answer.status_code == 202
    assert answer.json() == {"job_id": job_id, "status": "queued", "bundle_id": str(one.bundle_id)}
    assert Job.objects.get().job_type == "bundle_verify"
    assert api.post(f"/bundles/{one.bundle_id}/verify", {}).status_code == 200


def test_the_manifest_is_exactly_the_bytes_that_were_signed(api: Api, orch):
    bundle = make_bundle(orch)
    answer = api.get(f"/bundles/{bundle.bundle_id}/manifest", role="viewer")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.content == bytes(bundle.manifest.raw)
    assert json.loads(answer.content)["incident_id"] == INCIDENT


def test_incidents_are_those_that_jobs_and_bundles_name(api: Api, orch):
    bundle = make_bundle(orch)
    api.post("/bundle/create", {"incident_id": "another"})
    found = api.get("/incidents", role="viewer").json()
    assert [incident["incident_id"] for incident in found["incidents"]] == ["another", INCIDENT]
    assert found["next"] is None
    one = api.get(f"/incidents/{INCIDENT}", role="viewer").json()
    assert one == api.get("/incidents?search=123").json()["incidents"][0]
    assert (one["bundles"], one["restored_at"], one["last_bundle"]["bundle_id"]) == (1, None, str(bundle.bundle_id))


def test_a_search_finds_jobs_bundles_and_artifacts_by_incident(api: Api, orch):
    bundle = make_bundle(orch)
    job_id = api.post("/bundle/create", {"incident_id": INCIDENT}).json()["job_id"]
    file = BundledArtifact.objects.order_by("place").first()
    assert file is not None
    found = api.get("/search", params={"q": file.name[1:].upper()}, role="viewer").json()
    assert set(found) == set(FoundShape().fields)
    [group] = found["evidence"]
    assert set(group) == set(GroupShape().fields)
    [artifact] = group["files"]
    assert set(artifact) == set(ArtifactShape().fields)
    assert (group["incident_id"], group["artifacts"]) == (INCIDENT, {"number": 1, "at_least": False})
    assert (artifact["sha256"], artifact["bundle_id"]) == (file.sha256, str(bundle.bundle_id))
    assert artifact["path"].endswith(file.name)
    for text, kind, name in ((job_id, "jobs", "job_id"), (bundle.sha256[:8], "bundles", "bundle_id")):
        [one] = api.get("/search", params={"q": text}).json()[kind]
        assert one[name] == {"jobs": job_id, "bundles": str(bundle.bundle_id)}[kind]
    assert api.get("/search", params={"q": INCIDENT[2:]}).json()["incidents"] == [INCIDENT]


def test_a_search_finds_events_and_says_what_other_incidents_have_too(api: Api, orch, tmp_path):
    shared = {"source": "203.0.113.7", "command_line": "rundll32.exe evil.dll"}
    for number in range(3):
        timeline_rows.kept(tmp_path / str(number), [timeline_rows.event(0, **shared)], incident_id=f"case-{number}")
    found = api.get("/search", params={"q": "evil.dll", "limit": 2}, role="viewer").json()
    assert [group["events"] for group in found["evidence"]] == [{"number": 1, "at_least": False}] * 2
    assert (len(found["other_incidents"]), found["complete"]) == (1, True)
    [record] = found["evidence"][0]["records"]
    assert set(record) == set(RecordShape().fields)
    assert (record["kind"], record["at"], record["field"]) == ("event", "2026-01-12T08:00:00.000000Z", "command_line")
    assert record["excerpt"] == shared["command_line"]
    elsewhere = api.get("/incidents/case-1/elsewhere", role="viewer").json()
    value = {"value": "203.0.113.7", "kind": "address", "incidents": 2, "first": ["case-0", "case-2"]}
    assert elsewhere == {"elsewhere": [value]}
    is_problem(api.get("/incidents/none/elsewhere"), 404, "incident_not_found")


def test_bundles_whose_records_cannot_be_searched_yet_are_listed(api: Api, orch, tmp_path):
    timeline_rows.kept(tmp_path, [timeline_rows.event()])
    unread = make_bundle(orch)
    found = api.get("/bundles?verdict=unread").json()["bundles"]
    assert [one["bundle_id"] for one in found] == [str(unread.bundle_id)]


def test_what_is_not_there_is_a_problem_document_with_404(api: Api, orch):
    nobody = uuid4()
    for path, code in (
        (f"/jobs/{nobody}", "job_not_found"),
        ("/jobs/none", "job_not_found"),
        (f"/bundles/{nobody}", "bundle_not_found"),
        (f"/bundles/{nobody}/manifest", "bundle_not_found"),
        (f"/bundles/{nobody}/download", "bundle_not_found"),
        ("/bundles/%2e%2e%2f", "not_found"),
        ("/incidents/none", "incident_not_found"),
        ("/incidents/-%0a", "incident_not_found"),
        ("/jobs/", "not_found"),
        ("/bundle/create/", "not_found"),
    ):
        is_problem(api.get(path), 404, code)
    for path, code in (
        (f"/jobs/{nobody}/cancel", "job_not_found"),
        (f"/jobs/{nobody}/retry", "job_not_found"),
        (f"/bundles/{nobody}/verify", "bundle_not_found"),
    ):
        is_problem(api.post(path), 404, code)
    assert Traces.now(orch).jobs == Traces.now(orch).events == 0


def test_a_wrong_method_is_405_and_names_the_right_ones(api: Api):
    refused = api.get("/bundle/create")
    is_problem(refused, 405, "method_not_allowed")
    assert "POST" in refused.headers["Allow"]
    is_problem(api.call("DELETE", "/jobs"), 405, "method_not_allowed")
    is_problem(api.call("OPTIONS", "/jobs"), 405, "method_not_allowed")
    is_problem(api.call("OPTIONS", "/health"), 405, "method_not_allowed")
    is_problem(api.call("PUT", "/health"), 405, "method_not_allowed")


def test_whatever_accept_says_the_answer_is_json(api: Api):
    for accept in ("text/html", "application/xml;q=0.1", "nonsense"):
        answer = api.get("/jobs", headers={"Accept": accept})
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")


def test_a_lost_bundle_file_is_told_apart_from_an_unknown_bundle(api: Api, orch):
    bundle = make_bundle(orch)
    (orch.output_dir / bundle.name).unlink()
    is_problem(api.get(f"/bundles/{bundle.bundle_id}/download"), 410, "bundle_unavailable")
    assert Bundle.objects.count() == 1


def test_a_retry_may_wait_until_the_sources_answer(api: Api, settings):
    settings.KILLCHAIN_API_URL = "http://127.0.0.1:9"  # nothing listens there
    job = rows.job("failed")
    waits = api.post(f"/jobs/{job.job_id}/retry", {"when_available": True})
    assert (waits.status_code, waits.json()["status"], waits.json()["waits_for"]) == (200, "queued", "sources")
    assert api.post(f"/jobs/{job.job_id}/cancel").json()["waits_for"] is None
    verify = rows.job("failed", job_type="bundle_verify")
    assert api.post(f"/jobs/{verify.job_id}/retry", {"when_available": True}).json()["code"] == "state_conflict"
    assert api.post(f"/jobs/{verify.job_id}/retry", {"when_available": "yes"}).status_code == 400
    assert api.post(f"/jobs/{verify.job_id}/retry").json()["status"] == "queued"
