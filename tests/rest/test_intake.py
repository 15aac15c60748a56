"""Files are taken in, bundled and removed by the API; a wrong request changes nothing; passwords stay secret."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from bundles.errors import UploadNotFoundError
from bundles.format.model.records import read_timeline
from bundles.format.reading.extract import extract_bundle
from bundles.intake import store
from bundles.intake.errors import IntakeNotFoundError
from bundles.keys import trusted_keys
from bundles.models import Bundle, Intake, IntakeMapping
from bundles.rest.intake_shapes import IntakeShape, ListedIntakeShape, MappingShape
from bundles.storage import bundle_files
from bundles.uploads import resumable
from custody.models import Event
from foundation.principal import SYSTEM
from jobs.models import Job
from jobs.queue import registry
from tests.support import main_job
from tests.support.api_deployment import ROLES, Api, Traces, api, is_problem

__all__ = ["api"]

CONTENT = b"when,what,box\n2026-01-02T03:04:05Z,Logon,dc01\n2026-01-02T03:05:05Z,Logoff,dc01\n"
COLUMNS = {"timestamp": "when", "title": "what", "host": "box"}
HOSTILE = '<img src=x>\u202e";.csv'


@pytest.fixture
def folder(tmp_path: Path, settings: Any) -> Path:
    """A watched folder."""
    made = tmp_path / "incoming"
    made.mkdir()
    settings.ORCH_INTAKE_DIR = made
    return made


def taken_in(api: Api, content: bytes = CONTENT, name: str = "table.csv") -> dict[str, Any]:
    answer = api.post("/intake", files={"file": (name, content)}, role="analyst")
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    assert answer.headers["Location"] == f"/intake/{made['intake_id']}"
    return made


def bundled(api: Api, intake: dict[str, Any], **body: Any) -> Bundle:
    answer = api.post(f"/intake/{intake['intake_id']}/bundle", {"incident_id": "import-1", **body}, role="analyst")
    assert answer.status_code == 202, answer.text
    made = main_job.finished(Job.objects.get(job_id=answer.json()["job_id"]))
    return Bundle.objects.get(bundle_id=made["bundle_id"])


def header_of(made: Bundle, into: Path) -> dict[str, Any]:
    extract_bundle(bundle_files.output_dir() / made.name, trusted_keys.trusted(), into)
    return dict(read_timeline(into / "timeline.json").header)


def kept_files(orch: Any) -> list[str]:
    return [name for name in main_job.files_of(orch.output_dir) if "store" not in name]


def test_a_file_is_taken_in_previewed_bundled_with_a_saved_mapping_and_removed(api: Api, orch, tmp_path):
    intake = taken_in(api)
    assert set(intake) == set(IntakeShape().fields)
    assert (intake["size"], intake["sha256"]) == (len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    assert (intake["state"], intake["received_by"], intake["preview"]) == ("received", "analyst", None)
    main_job.finished(Job.objects.get(job_id=intake["preview_job_id"]))
    address = f"/intake/{intake['intake_id']}"
    assert api.get(address).json()["preview"]["columns"] == ["when", "what", "box"]
    saved = api.call("PUT", "/intake/mappings/siem", json={"mapping": COLUMNS}).json()
    assert set(saved) == set(MappingShape().fields)
    made = bundled(api, intake, mapping_name="siem")
    assert made.source == "intake"
    mapping = header_of(made, tmp_path / "out")["collection"]["mapping"]
    assert mapping == {"name": "siem", "columns": COLUMNS}
    notes = json.dumps(api.get(f"/bundles/{made.bundle_id}/manifest").json())
    assert "the saved mapping siem was given: host from box; timestamp from when; title from what." in notes
    listed = api.get("/intake").json()
    assert [set(one) for one in listed["intakes"]] == [set(ListedIntakeShape().fields)]
    assert (listed["intakes"][0]["bundle_id"], listed["next"]) == (str(made.bundle_id), None)
    assert api.call("DELETE", address).status_code == 204
    is_problem(api.get(address), 404, "intake_not_found")
    is_problem(api.post(f"{address}/bundle", {"incident_id": "a"}), 404, "intake_not_found")
    is_problem(api.call("DELETE", address), 404, "intake_not_found")
    assert not store.folder_of(Intake.objects.get().intake_id).exists()


def test_delivered_files_are_listed_in_pages(api: Api):
    ids = [taken_in(api, name=f"{number}.bin")["intake_id"] for number in range(3)]
    first = api.get("/intake", params={"limit": 2}).json()
    second = api.get("/intake", params={"limit": 2, "cursor": first["next"]}).json()
    assert [one["intake_id"] for one in first["intakes"] + second["intakes"]] == ids[::-1]
    assert second["next"] is None


def test_the_same_key_gives_the_same_job_and_another_request_with_it_is_refused(api: Api):
    path = f"/intake/{taken_in(api)['intake_id']}/bundle"
    body = {"incident_id": "import-1", "idempotency_key": "once", "priority": 7}
    first = api.post(path, body)
    again = api.post(path, body)
    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json()["job_id"] == again.json()["job_id"]
    is_problem(api.post(path, {**body, "priority": 8}), 409, "idempotency_key_reused")
    is_problem(api.call("DELETE", path.removesuffix("/bundle")), 409, "state_conflict")


def test_the_password_is_nowhere_but_in_its_file_and_not_longer_than_needed(api: Api, orch, caplog):
    secret = "tr0ub4dor&3-geheim"
    intake = taken_in(api)
    answer = api.post(f"/intake/{intake['intake_id']}/bundle", {"incident_id": "import-1", "password": secret})
    kept = store.folder_of(Intake.objects.get().intake_id) / "password"
    assert (kept.read_text(), kept.stat().st_mode & 0o777) == (secret, 0o600)
    wrong = api.post(f"/intake/{intake['intake_id']}/bundle", {"incident_id": "b", "password": secret, "kind": "x"})
    is_problem(wrong, 400, "invalid_request")
    job = main_job.run_to_its_end(Job.objects.get(job_id=answer.json()["job_id"]))
    said = [answer.text, wrong.text, caplog.text, api.get(f"/jobs/{job.job_id}").text, api.get("/intake").text]
    said += [json.dumps([one.details, one.digest], default=str) for one in Event.objects.all()]
    said += [json.dumps([one.payload, one.result], default=str) for one in Job.objects.all()]
    assert [text for text in said if secret in text] == []
    os.utime(kept, (0, 0))
    store.sweep()
    assert not kept.exists()


def test_a_file_on_the_host_is_copied_and_no_path_leads_out_of_the_folder(api: Api, orch, folder, tmp_path):
    inside, outside = folder / "case" / HOSTILE, tmp_path / "secret.csv"
    inside.parent.mkdir()
    for file in (inside, outside):
        file.write_bytes(CONTENT)
    (folder / "link.csv").symlink_to(outside)
    (folder / "way").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe")
    (folder / "a.zip.password").write_text("x")
    before = Traces.now(orch)
    for path in (
        "", ".", "..", "../secret.csv", "case/../../secret.csv", str(outside), "link.csv", "way/secret.csv", "pipe",
        "case", "missing", "a.zip.password", "/etc/passwd", "x" * 4000, "case/" + HOSTILE + "/x",
    ):  # fmt: skip
        answer = api.post("/intake", {"intake_path": path})
        is_problem(answer, 400, "intake_path_invalid" if path else "invalid_request")
        assert str(tmp_path) not in answer.text
    assert Traces.now(orch) == before
    for path in (f"case/{HOSTILE}", str(inside)):
        answer = api.post("/intake", {"intake_path": path})
        assert (answer.status_code, answer.json()["name"]) == (201, HOSTILE)
    assert inside.read_bytes() == CONTENT


def test_without_a_watched_folder_no_path_can_be_named(api: Api, orch):
    before = Traces.now(orch)
    is_problem(api.post("/intake", {"intake_path": "a"}), 400, "intake_path_invalid")
    assert Traces.now(orch) == before


def test_a_wrong_form_or_body_leaves_nothing(api: Api, orch, settings):
    settings.ORCH_MAX_UPLOAD_BYTES = 100_000
    address = f"/intake/{uuid4()}/bundle"
    before, files = Traces.now(orch), kept_files(orch)
    for fields in (
        {"file": (None, "text")},
        {"other": ("a", b"x")},
        {"file": ("a", b"x"), "more": (None, "y")},
        {"first": (None, "y"), "file": ("a", b"x")},
    ):
        assert api.post("/intake", files=fields).status_code == 400
    is_problem(api.post("/intake", files={"file": ("a", b"x" * 100_001)}), 413, "upload_too_large")
    is_problem(api.post("/intake", files={"file": ("a", b"x" * 500_000)}), 413, "upload_too_large")
    for body in ({}, {"intake_path": 1}, {"intake_path": "a", "x": 1}):
        is_problem(api.post("/intake", body), 400, "invalid_request")
    is_problem(api.post(address, {"incident_id": "a"}), 404, "intake_not_found")
    is_problem(api.post(address.replace("-", "x"), {"incident_id": "a"}), 404, "intake_not_found")
    assert (Traces.now(orch), kept_files(orch)) == (before, files)


def test_a_wrong_option_of_a_bundle_is_named(api: Api, orch):
    path = f"/intake/{taken_in(api)['intake_id']}/bundle"
    before = Traces.now(orch)
    for wrong, field in (
        ({"incident_id": "../x"}, "incident_id"),
        ({"kind": "nonsense"}, "kind"),
        ({"mapping": {"when": "a"}}, "mapping"),
        ({"mapping": {"title": ""}}, "mapping"),
        ({"mapping": {"title": 1}}, "mapping"),
        ({"mapping": {"title": "a"}, "mapping_name": "b"}, "mapping_name"),
        ({"mapping_name": "never-saved"}, "mapping_name"),
        ({"password": "x" * 1025}, "password"),
        ({"priority": "1"}, "priority"),
        ({"chunk_size_mb": 1}, "chunk_size_mb"),
    ):
        problem = is_problem(api.post(path, {"incident_id": "a", **wrong}), 400, "invalid_request")
        assert any(name.startswith(field) for name in problem["errors"]), (wrong, problem)
    assert Traces.now(orch) == before


def test_mappings_are_saved_replaced_listed_and_deleted_and_custody_names_each(api: Api, orch):
    for mapping in (COLUMNS, {"title": "what"}):
        assert api.call("PUT", "/intake/mappings/siem", json={"mapping": mapping}).json()["mapping"] == mapping
    assert [one["name"] for one in api.get("/intake/mappings").json()["mappings"]] == ["siem"]
    assert api.get("/intake/mappings/siem").json()["mapping"] == {"title": "what"}
    for name, mapping in (("siem", {}), ("siem", {"x": "y"}), ("a b", COLUMNS), ("-", COLUMNS), ("x" * 65, COLUMNS)):
        is_problem(api.call("PUT", f"/intake/mappings/{name}", json={"mapping": mapping}), 400, "invalid_request")
    assert IntakeMapping.objects.get().mapping == {"title": "what"}
    assert api.call("DELETE", "/intake/mappings/siem").status_code == 204
    for method in ("GET", "DELETE"):
        is_problem(api.call(method, "/intake/mappings/siem"), 404, "mapping_not_found")
    assert sorted(Event.objects.values_list("action", flat=True)) == [
        "intake.delete_mapping", "intake.save_mapping", "intake.save_mapping",
    ]  # fmt: skip


def test_an_interrupted_upload_goes_on_and_becomes_one_delivered_file(api: Api, orch, monkeypatch):
    monkeypatch.setattr(resumable, "PIECE_BYTES", 50)
    begun = api.post("/intake/uploads", {"name": HOSTILE, "size": len(CONTENT)})
    assert (begun.status_code, begun.json()["piece_bytes"]) == (201, 50)
    ticket = {"Upload-Ticket": begun.json()["ticket"]}

    def send(at: int, piece: bytes) -> Any:
        headers = {**ticket, "Upload-Offset": str(at), "Content-Type": "application/octet-stream"}
        return api.call("PUT", "/intake/uploads", headers=headers, data=piece)

    assert send(0, CONTENT[:50]).json() == {"offset": 50}
    is_problem(api.post("/intake/uploads/finish", headers=ticket), 409, "upload_offset")
    is_problem(send(0, CONTENT[:50]), 409, "upload_offset")
    assert api.get("/intake/uploads", headers=ticket).json() == {"offset": 50}
    assert send(50, CONTENT[50:]).json() == {"offset": len(CONTENT)}
    is_problem(api.get("/intake/uploads", headers=ticket, role="admin"), 404, "upload_not_found")
    first, again = (api.post("/intake/uploads/finish", headers=ticket) for _ in range(2))
    assert (first.status_code, first.json()) == (201, again.json())
    assert (first.json()["name"], first.json()["sha256"]) == (HOSTILE, hashlib.sha256(CONTENT).hexdigest())
    assert Intake.objects.count() == Event.objects.filter(action="intake.received").count() == 1
    assert list((orch.output_dir / ".quarantine").iterdir()) == []


def test_an_upload_serves_the_purpose_that_it_began_for(api: Api):
    to_verify = resumable.begin(SYSTEM, "a", 0)
    to_import = resumable.begin(SYSTEM, "a", 0, purpose=resumable.IMPORT)
    with pytest.raises(UploadNotFoundError):
        resumable.finish(SYSTEM, to_import)
    with pytest.raises(UploadNotFoundError):
        resumable.complete(SYSTEM, to_verify, resumable.IMPORT)


def test_an_import_is_resubmitted_with_the_same_file_while_it_is_there(api: Api):
    intake = taken_in(api)
    made = bundled(api, intake, mapping=COLUMNS)
    job = Job.objects.get(job_id=str(made.job_id))
    kind = registry.get(job.job_type)
    assert kind.resubmit is not None
    again = kind.resubmit(SYSTEM, job)
    assert (again.created, again.job.payload) == (True, job.payload)
    assert main_job.finished(again.job)["content_digest"] == made.content_digest
    assert api.call("DELETE", f"/intake/{intake['intake_id']}").status_code == 204
    with pytest.raises(IntakeNotFoundError, match="There is no such delivered file here"):
        kind.resubmit(SYSTEM, job)


def test_a_file_is_read_again_with_the_columns_that_were_chosen(api: Api):
    intake = taken_in(api)
    main_job.finished(Job.objects.get(job_id=intake["preview_job_id"]))
    address = f"/intake/{intake['intake_id']}"
    assert api.call("GET", address).json()["preview"]["first"] == []
    answer = api.post(f"{address}/preview", {"mapping": COLUMNS}, role="analyst")
    assert answer.status_code == 202, answer.text
    main_job.finished(Job.objects.get(job_id=answer.json()["job_id"]))
    first = api.call("GET", address).json()["preview"]["first"]
    assert [(one["title"], one["time_field"]) for one in first] == [("Logon", "when"), ("Logoff", "when")]
    wrong = api.post(f"{address}/preview", {"mapping": {"nothing": "when"}}, role="analyst")
    assert "mapping" in is_problem(wrong, 400, "invalid_request")["errors"]


CALLS = [
    ("GET", "/intake"), ("POST", "/intake"), ("GET", "/intake/{id}"), ("DELETE", "/intake/{id}"),
    ("POST", "/intake/{id}/bundle"), ("POST", "/intake/{id}/preview"), ("POST", "/intake/uploads"),
    ("GET", "/intake/uploads"),
    ("PUT", "/intake/uploads"), ("POST", "/intake/uploads/finish"), ("GET", "/intake/mappings"),
    ("GET", "/intake/mappings/a"), ("PUT", "/intake/mappings/a"), ("DELETE", "/intake/mappings/a"),
]  # fmt: skip


def test_who_may_bundle_may_import_and_nobody_else_learns_anything(api: Api, orch):
    intake = taken_in(api)
    before = Traces.now(orch)
    for method, path in CALLS:
        for there in (intake["intake_id"], uuid4()):
            address = path.format(id=there)
            is_problem(api.call(method, address, role=""), 401, "not_authenticated")
            detail = is_problem(api.call(method, address, role="viewer"), 403, "permission_denied")["detail"]
            assert all(role in detail for role in ROLES[1:])
    assert Traces.now(orch) == before
