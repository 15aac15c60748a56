"""Verification jobs: every verdict is stored as a row, on the bundle and in custody."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bundles import services
from bundles.models import Bundle, Verification
from bundles.storage import bundle_files
from custody import chain
from custody.models import Event
from foundation.principal import SYSTEM, Principal
from jobs.models import Job
from tests.support.main_job import bundle, change_a_byte, finished, path_of, run_to_its_end, sources

__all__ = ["sources"]

pytestmark = pytest.mark.django_db


def verdict(made: Bundle) -> Verification:
    """Verify, and compare every place that stores the verdict."""
    job = services.request_verification(SYSTEM, made.bundle_id).job
    result = finished(job)
    row = services.verifications(made)[0]
    now = Bundle.objects.get(bundle_id=made.bundle_id)
    event = Event.objects.order_by("-sequence").first()
    assert event is not None
    assert result == {"bundle_id": str(made.bundle_id), "report": row.report}
    assert (row.job_id, row.ok, row.requested_by) == (job.job_id, row.report["verified"], "system")
    assert (now.verified_at, now.verified_ok) == (row.at, row.ok)
    assert (event.object_id, event.incident_id) == (str(made.bundle_id), made.incident_id)
    assert event.action == ("bundle.verified" if row.ok else "bundle.verify_failed")
    assert event.outcome == ("ok" if row.ok else row.report["error"]["code"])
    assert event.digest == (row.report["sha256"] or "")
    assert chain.verify().intact
    return row


def test_a_sound_bundle_is_verified_and_every_check_is_named(orch, sources):
    made = bundle()
    row = verdict(made)
    assert row.ok
    assert (row.report["sha256"], row.report["size"]) == (made.sha256, made.size)
    assert {check["ok"] for check in row.report["checks"]} == {True}


def test_a_new_bundle_is_verified_by_a_job_of_its_own_for_the_person_who_asked(orch, sources):
    alice = Principal(name="alice", authenticated_by="session", permissions=None)
    asked = services.request_bundle(alice, incident_id="case-9").job
    made = Bundle.objects.get(bundle_id=finished(asked)["bundle_id"])
    job = Job.objects.get(job_type="bundle_verify")
    assert (job.status, job.requested_by, job.incident_id) == ("queued", "alice", "case-9")
    assert made.verified_at is None
    published, requested = Event.objects.filter(object_id=str(made.bundle_id)).order_by("sequence")
    assert (published.action, requested.action) == ("bundle.published", "bundle.verify")
    assert (requested.actor, requested.outcome) == ("alice", "requested")
    assert json.loads(requested.details) == {"job_id": str(job.job_id), "after_job_id": str(asked.job_id)}
    assert services.request_verification(alice, made.bundle_id).job.job_id == job.job_id
    assert finished(job)["report"]["verified"]
    assert Verification.objects.get(bundle=made).requested_by == "alice"
    assert Job.objects.filter(job_type="bundle_verify").count() == 1, "a verification is not verified again"


def test_a_new_bundle_waits_to_be_verified_by_a_person_where_the_setting_says_so(orch, sources, settings):
    settings.ORCH_VERIFY_AFTER_CREATE = False
    bundle()
    assert not Job.objects.filter(job_type="bundle_verify").exists()
    assert not Event.objects.filter(action="bundle.verify").exists()


@pytest.mark.parametrize("place", [0, 0.3, 0.5, 0.999])
def test_one_changed_byte_anywhere_is_found(orch, sources, place):
    made = bundle()
    change_a_byte(path_of(made), int(place * made.size))
    row = verdict(made)
    assert not row.ok
    assert row.report["error"]["detail"]


def test_another_sound_bundle_in_its_place_is_found(orch, sources):
    made, other = bundle(), bundle()
    path_of(made).write_bytes(path_of(other).read_bytes())
    row = verdict(made)
    assert (row.ok, row.report["error"]["code"]) == (False, "bundle_replaced")
    assert row.report["sha256"] == other.sha256


def test_a_missing_file_is_lost_and_nothing_is_claimed_of_it(orch, sources):
    made = bundle()
    path_of(made).rename(orch.root / "taken-away")
    row = verdict(made)
    assert row.report["error"]["code"] == "bundle_lost"
    assert {check["ok"] for check in row.report["checks"]} == {None}
    assert Bundle.objects.get().state == "lost"
    (orch.root / "taken-away").rename(path_of(made))
    assert verdict(made).ok
    assert Bundle.objects.get().state == "ready"


@pytest.mark.parametrize("instead", ["folder", "link"])
def test_something_else_in_its_place_is_no_bundle(orch, sources, instead):
    made = bundle()
    path_of(made).rename(orch.root / "taken-away")
    if instead == "folder":
        path_of(made).mkdir()
    else:
        path_of(made).symlink_to(orch.root / "taken-away")
    row = verdict(made)
    assert not row.ok


def test_a_bundle_whose_key_was_revoked_is_not_verified_any_more(orch, sources):
    made = bundle()
    assert verdict(made).ok
    (orch.trusted / "revoked").mkdir()
    (orch.trusted / "signer.pem").rename(orch.trusted / "revoked" / "signer.pem")
    row = verdict(made)
    assert (row.ok, row.report["error"]["code"]) == (False, "signer_revoked")
    assert [one.ok for one in services.verifications(made)] == [False, True]


def test_without_a_key_nothing_is_decided_and_no_verdict_is_left(orch, sources):
    made = bundle()
    (orch.trusted / "signer.pem").unlink()
    job = run_to_its_end(services.request_verification(SYSTEM, made.bundle_id).job)
    assert (job.status, job.error_code) == ("failed", "no_keys")
    assert not Verification.objects.exists()
    assert Bundle.objects.get().verified_ok is None
    assert [event.outcome for event in Event.objects.filter(action__startswith="bundle.verif")] == ["requested"]


def test_nothing_is_signed_by_a_key_that_is_not_trusted_or_was_revoked(orch, sources):
    kept = (orch.trusted / "signer.pem").read_bytes()
    (orch.trusted / "revoked").mkdir()
    (orch.trusted / "revoked" / "signer.pem").write_bytes(kept)
    job = run_to_its_end(services.request_bundle(SYSTEM, incident_id="case-9").job)
    assert (job.status, job.error_code, job.attempts) == ("failed", "key_untrusted", 1)
    assert not Bundle.objects.exists()
    assert not (bundle_files.output_dir() / bundle_files.STAGING).exists()


def test_a_verdict_whose_transaction_fails_is_stored_nowhere(orch, sources, monkeypatch):
    made = bundle()
    job = services.request_verification(SYSTEM, made.bundle_id).job
    real = chain.record

    def broken(who: Principal, action: str, *given: str, **more: Any) -> Event:
        if action == "bundle.verified":
            raise RuntimeError("no line today")
        return real(who, action, *given, **more)

    monkeypatch.setattr(chain, "record", broken)
    failed = run_to_its_end(job)
    assert (failed.status, failed.error_code) == ("failed", "internal_error")
    assert not Verification.objects.exists()
    assert Bundle.objects.get().verified_at is None
    monkeypatch.setattr(chain, "record", real)
    assert verdict(made).ok
    assert Job.objects.filter(job_type="bundle_verify").count() == 2


def test_the_log_of_a_job_shows_what_was_read_made_and_found(orch, sources):
    made = bundle()
    job = services.request_verification(SYSTEM, made.bundle_id).job
    finished(job)
    change_a_byte(path_of(made), made.size // 2)
    failed = services.request_verification(SYSTEM, made.bundle_id).job
    finished(failed)
    created = Job.objects.get(job_type="bundle_create")
    logs = {one: list(one.log.values_list("level", "message", "fields")) for one in (created, job, failed)}
    assert [message for _, message, _ in logs[created]] == [
        "Read 3 events, 7 alerts, 5 artifacts; nothing is missing.", "Packed and signed the bundle.",
        "Published the file in the bundle store.",
    ]  # fmt: skip
    assert (logs[created][0][2]["missing"], logs[created][2][2]["sha256"]) == (0, made.sha256)
    assert [(level, message) for level, message, _ in logs[job]] == [("info", "Every check passed.")]
    assert [(level, message) for level, message, _ in logs[failed]] == [("error", "The bundle is not verified.")]
