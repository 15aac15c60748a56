"""Restores that die, wait or are watched: whatever happens, running the job again gives the whole result, once."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from uuid import uuid4

import pytest
from django.db import connection, connections

from custody.models import Event
from foundation.principal import SYSTEM
from jobs.errors import CancelledError
from jobs.models import Job
from jobs.queue import queue
from jobs.queue.claim_request import ClaimRequest
from rehydration import artifacts, incident_lock, reconcile, services, staging
from rehydration import restore as restoring
from rehydration.models import Alert, ArtifactRecord, RestoredIncident, TimelineEvent
from tests.support.rehydration_incident import FILES, INCIDENT, Incident, run, tree

pytestmark = pytest.mark.django_db(transaction=True)


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def run_in_a_process_that(spoil) -> None:
    """Claim and run one job in a child process, after `spoil` has set there where it dies."""
    connections.close_all()
    child = os.fork()
    if child == 0:
        try:
            spoil()
            run()
        finally:
            os._exit(1)
    _, left = os.waitpid(child, 0)
    assert os.WTERMSIG(left) == signal.SIGKILL


def let_the_lease_expire(job: Job) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE orchestrator_jobs SET lease_expires_at = clock_timestamp() - interval '1 s' WHERE job_id = %s",
            [job.job_id],
        )
    assert [one.job_id for one in queue.recover_expired()] == [job.job_id]


def at_the_second_file() -> None:
    place = artifacts.place
    placed: list[object] = []

    def place_one(*told):
        if placed:
            die()
        placed.append(told)
        place(*told)

    pytest.MonkeyPatch().setattr(artifacts, "place", place_one)


def after_the_files() -> None:
    pytest.MonkeyPatch().setattr(reconcile, "file_problems", die)


def among_the_rows() -> None:
    pytest.MonkeyPatch().setattr(restoring, "_update_incident", die)


def after_the_commit() -> None:
    pytest.MonkeyPatch().setattr(staging, "remove", die)


@pytest.mark.parametrize("moment", [at_the_second_file, after_the_files, among_the_rows])
def test_a_restore_killed_before_its_commit_is_done_by_another_worker_and_nothing_twice(orch, moment):
    Incident().bundle(orch, "b.tar.zst")
    job = services.request_restore(SYSTEM, bundle_path="b.tar.zst").job
    run_in_a_process_that(moment)
    assert not ArtifactRecord.objects.exists()
    assert not Alert.objects.exists()
    assert tree(orch.forensic)
    assert run() is None
    let_the_lease_expire(job)
    done = run()
    assert (done.job_id, done.status, done.attempts) == (job.job_id, "completed", 2)
    counted = [model.objects.count() for model in (TimelineEvent, Alert, ArtifactRecord)]
    assert counted == [4, 5, 5]
    assert len(tree(orch.forensic)) == len(FILES)
    assert Event.objects.filter(action="incident.restored").count() == 1
    assert len(list((orch.forensic / ".staging").iterdir())) == 1
    assert staging.sweep() == 1
    assert list((orch.forensic / ".staging").iterdir()) == []


def test_a_restore_killed_after_its_commit_is_complete_and_leaves_only_what_the_sweep_removes(orch):
    Incident().bundle(orch, "b.tar.zst")
    job = services.request_restore(SYSTEM, bundle_path="b.tar.zst").job
    run_in_a_process_that(after_the_commit)
    job.refresh_from_db()
    assert (job.status, RestoredIncident.objects.get().alerts) == ("completed", 5)
    assert staging.sweep() == 1


def test_the_sweep_spares_an_attempt_that_holds_its_lease(orch):
    Incident().bundle(orch, "b.tar.zst")
    services.request_restore(SYSTEM, bundle_path="b.tar.zst")
    claimed = queue.claim(ClaimRequest("w", ("rehydrate",)))
    assert claimed is not None
    assert claimed.lease_token is not None
    mine = staging.make(claimed.job_id, claimed.lease_token)
    other = staging.make(claimed.job_id, uuid4())
    assert staging.sweep() == 1
    assert mine.is_dir()
    assert not other.exists()


def test_a_worker_that_lost_its_lease_writes_no_row(orch, monkeypatch):
    Incident().bundle(orch, "b.tar.zst")
    job = services.request_restore(SYSTEM, bundle_path="b.tar.zst").job
    file_problems = reconcile.file_problems

    def lose_the_lease(*told):
        let_the_lease_expire(job)
        return file_problems(plan=told[0], store=told[1], on_bytes=lambda _: None)

    monkeypatch.setattr(reconcile, "file_problems", lose_the_lease)
    left = run()
    assert left.status == "queued"
    assert not Alert.objects.exists()
    assert not Event.objects.filter(action="incident.restored").exists()
    assert list((orch.forensic / ".staging").iterdir()) == []
    monkeypatch.undo()
    assert run().status == "completed"
    assert Alert.objects.count() == 5


def test_rows_that_appeared_while_the_restore_ran_undo_it_and_the_next_try_sees_them(orch, monkeypatch):
    Incident().bundle(orch, "b.tar.zst")
    job = services.request_restore(SYSTEM, bundle_path="b.tar.zst").job
    place_files = restoring.place_files

    def place_while_another_writes(*told):
        place_files(*told)
        Alert.objects.create(incident_id=INCIDENT, alert_id="a-1", timestamp="", record="{}")

    monkeypatch.setattr(restoring, "place_files", place_while_another_writes)
    left = run()
    assert (left.status, left.error_code) == ("queued", "target_changed")
    assert (Alert.objects.count(), TimelineEvent.objects.count()) == (1, 0)
    monkeypatch.undo()
    Job.objects.filter(job_id=job.job_id).update(run_after=job.created_at)
    done = run()
    assert (done.status, done.result["conflict_total"]) == ("completed", 1)


def test_a_second_restore_of_the_incident_waits_and_can_be_cancelled_meanwhile(orch):
    other = connections.create_connection("default")
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [incident_lock.key_of(INCIDENT)])
        waited: list[bool] = []

        def waiting():
            waited.append(True)
            if len(waited) == 2:
                raise CancelledError("cancelled")

        with pytest.raises(CancelledError):
            incident_lock.acquire(INCIDENT, waiting)
        assert len(waited) == 2
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [incident_lock.key_of(INCIDENT)])
    finally:
        other.close()
    incident_lock.acquire(INCIDENT, waiting)
    incident_lock.release(INCIDENT)
    assert len(waited) == 2


def test_the_lock_is_free_again_after_a_restore_and_after_a_failure(orch):
    Incident().bundle(orch, "b.tar.zst")
    for digest, ending in (("", "completed"), ("0" * 64, "failed")):
        services.request_restore(SYSTEM, bundle_path="b.tar.zst", plan_digest=digest)
        assert run().status == ending
        other = connections.create_connection("default")
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [incident_lock.key_of(INCIDENT)])
            assert cursor.fetchone() == (True,)
        other.close()


def test_a_folder_that_a_dead_attempt_made_is_on_disk_before_a_file_stands_in_it(tmp_path, monkeypatch):
    (tmp_path / "i-1" / "a-1").mkdir(parents=True)
    sync, synced = os.fsync, []

    def note(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    with artifacts._folder(tmp_path, ["i-1", "a-1"]):
        pass
    assert synced == [str(tmp_path), str(tmp_path / "i-1")]
