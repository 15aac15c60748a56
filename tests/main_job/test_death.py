"""A worker killed at various moments of bundling: another does the job, there is one bundle, and nothing is left.

The worker is a child process that kills itself with SIGKILL at the given moment. tests/rehydration/test_death.py does
the same for restores, and tests/main_job/test_workers.py does both with real `run_orch_worker` processes.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

import pytest
from django.db import connection, connections

from bundles import measures
from bundles import services as bundle_services
from bundles.format.reading.report import check_bundle
from bundles.keys import trusted_keys
from bundles.models import Bundle, IndexedRecord, KeptTimeline, Manifest
from bundles.storage import bundle_files
from bundles.timelines import facts, record_index
from custody import chain
from custody.models import Event
from foundation.principal import SYSTEM
from jobs.models import Job
from jobs.queue.context import JobContext
from jobs.worker.worker import drain, run_one
from tests.support.main_job import (
    INCIDENT,
    expire_lease,
    files_of,
    path_of,
    restore,
    sources,
    sweep_all,
    write_incident,
)

__all__ = ["sources"]

pytestmark = pytest.mark.django_db(transaction=True)

BUNDLE_AND_VERIFY = 2  # jobs: the request, and the verification that the completed job queues


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def at_progress(phase: str, report: int = 1) -> Callable[[], None]:
    """Die at the given report of a phase."""

    def install() -> None:
        real, seen = JobContext.progress, [0]

        def progress(self: JobContext, now: str, done: int = 0, total: int | None = None, **more: str) -> None:
            real(self, now, done, total, **more)
            seen[0] += now == phase
            if seen[0] == report:
                die()

        pytest.MonkeyPatch().setattr(JobContext, "progress", progress)

    return install


def in_place_of(owner: object, name: str) -> Callable[[], None]:
    return lambda: pytest.MonkeyPatch().setattr(owner, name, die)


def after(owner: object, name: str) -> Callable[[], None]:
    """Die when the call has returned."""

    def install() -> None:
        real = getattr(owner, name)

        def called(*given: object, **more: object) -> None:
            real(*given, **more)
            die()

        pytest.MonkeyPatch().setattr(owner, name, called)

    return install


BEFORE_THE_COMMIT = {
    "after making its folder": after(bundle_files, "make_staging"),
    "fetching": at_progress("fetching", 3),
    "packing": at_progress("packing", 2),
    "signing": at_progress("signing"),
    "about to publish": at_progress("publishing"),
    "indexing the records": after(facts, "keep"),
    "after indexing them": after(record_index, "write_hidden"),
    "between noting and linking": in_place_of(os, "link"),
    "after publishing": after(bundle_files, "publish"),
    "while inserting rows": in_place_of(Manifest.objects, "create"),
    "after recording custody": after(chain, "record"),
}


def run_and_die(install: Callable[[], None]) -> None:
    """Claim and run one job in a child process, after `install` has set there where it dies."""
    connections.close_all()
    child = os.fork()
    if child == 0:
        try:
            install()
            run_one("doomed")
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGKILL


def but_fetched(names: list[str]) -> list[str]:
    """Without what a job's attempts keep for the next one."""
    return [name for name in names if f"{bundle_files.FETCHED}/" not in name]


def the_one_valid_bundle(orch) -> Bundle:
    made = Bundle.objects.get()
    assert files_of(orch.output_dir) == [made.name]
    report = check_bundle(path_of(made), trusted_keys.trusted())
    assert (report.verified, report.sha256) == (True, made.sha256)
    assert Event.objects.filter(action="bundle.published").count() == 1
    verification = Job.objects.get(job_type="bundle_verify")
    assert verification.payload == {"bundle_id": str(made.bundle_id)}
    assert Event.objects.filter(action="bundle.verify", outcome="requested").count() == 1
    assert chain.verify().intact
    return made


@pytest.mark.parametrize("moment", BEFORE_THE_COMMIT)
def test_after_a_worker_is_killed_while_bundling_another_makes_one_valid_bundle(orch, sources, moment):
    job = bundle_services.request_bundle(SYSTEM, incident_id=INCIDENT).job
    run_and_die(BEFORE_THE_COMMIT[moment])
    assert not Bundle.objects.exists()
    assert run_one() is None
    sweep_all()
    expire_lease(job)
    done = run_one()
    assert done is not None
    assert (done.job_id, done.status, done.attempts) == (job.job_id, "completed", 2)
    sweep_all()
    assert KeptTimeline.objects.get().kept == IndexedRecord.objects.count() > 0
    the_one_valid_bundle(orch)


@pytest.mark.parametrize("sweep_first", [True, False])
def test_what_a_killed_worker_published_is_swept_before_or_after_another_does_the_job(orch, sources, sweep_first):
    job = bundle_services.request_bundle(SYSTEM, incident_id=INCIDENT).job
    run_and_die(BEFORE_THE_COMMIT["after publishing"])
    (orphan,) = [name for name in files_of(orch.output_dir) if not name.startswith(".")]
    expire_lease(job)
    if sweep_first:
        assert bundle_files.sweep() == 1
        assert but_fetched(files_of(orch.output_dir)) == []
    assert drain() == BUNDLE_AND_VERIFY
    if not sweep_first:
        assert bundle_files.sweep() == 1
    assert the_one_valid_bundle(orch).name != orphan


def test_a_job_whose_worker_is_killed_after_the_commit_is_done_and_the_sweep_keeps_its_bundle(orch, sources):
    job = bundle_services.request_bundle(SYSTEM, incident_id=INCIDENT).job
    run_and_die(in_place_of(bundle_files, "remove_staging"))
    assert Job.objects.get(job_id=job.job_id).status == "completed"
    assert bundle_files.sweep() == 1
    assert restore(the_one_valid_bundle(orch))["changed"]


def test_a_sweep_killed_half_way_is_finished_by_the_next(orch, sources):
    job = bundle_services.request_bundle(SYSTEM, incident_id=INCIDENT).job
    run_and_die(BEFORE_THE_COMMIT["after publishing"])
    expire_lease(job)
    connections.close_all()
    child = os.fork()
    if child == 0:
        pytest.MonkeyPatch().setattr(bundle_files, "remove_staging", die)
        bundle_files.sweep()
        os._exit(1)
    os.waitpid(child, 0)
    assert bundle_files.sweep() == 1
    assert but_fetched(files_of(orch.output_dir)) == []
    (left,) = (orch.output_dir / ".staging").iterdir()
    assert left.name.startswith(job.job_id.hex)
    assert left.name.endswith(bundle_files.FETCHED)


def test_a_lease_lost_between_publishing_and_commit_leaves_no_bundle_and_no_file(orch, sources, monkeypatch):
    job = bundle_services.request_bundle(SYSTEM, incident_id=INCIDENT).job
    published: list[str] = []
    publish = bundle_files.publish

    def publish_and_lose_the_lease(finished, name):
        publish(finished, name)
        published.append(name)
        assert (orch.output_dir / name).is_file()
        expire_lease(job)

    monkeypatch.setattr(bundle_files, "publish", publish_and_lose_the_lease)
    left = run_one()
    assert left is not None
    assert (left.status, len(published)) == ("queued", 1)
    assert but_fetched(files_of(orch.output_dir)) == []
    assert not Bundle.objects.exists()
    assert not Event.objects.filter(action="bundle.published").exists()
    monkeypatch.undo()
    assert drain() == BUNDLE_AND_VERIFY
    assert the_one_valid_bundle(orch).name != published[0]


def test_a_worker_that_wakes_after_another_did_its_job_removes_only_its_own_file(orch, sources, monkeypatch):
    job = bundle_services.request_bundle(SYSTEM, incident_id=INCIDENT).job
    publish = bundle_files.publish

    def publish_late(finished, name):
        monkeypatch.setattr(bundle_files, "publish", publish)
        expire_lease(job)
        done = run_one("quicker")
        assert done is not None
        assert done.status == "completed"
        publish(finished, name)

    monkeypatch.setattr(bundle_files, "publish", publish_late)
    left = run_one("frozen")
    assert left is not None
    assert (left.status, left.attempts) == ("completed", 2)
    the_one_valid_bundle(orch)


def test_a_failed_transaction_removes_the_file_and_the_next_attempt_makes_another(orch, sources, monkeypatch):
    bundle_services.request_bundle(SYSTEM, incident_id=INCIDENT)

    def broken(**_):
        raise RuntimeError("on purpose")

    monkeypatch.setattr(measures, "bundle_made", broken)
    left = run_one()
    assert left is not None
    assert (left.status, left.error_code) == ("queued", "internal_error")
    assert but_fetched(files_of(orch.output_dir)) == []
    assert not Bundle.objects.exists()
    monkeypatch.undo()
    Job.objects.filter(job_id=left.job_id).update(run_after=left.created_at)
    assert drain() == BUNDLE_AND_VERIFY
    the_one_valid_bundle(orch)


def test_two_workers_racing_do_each_job_once(orch, sources, tmp_path):
    incidents = [INCIDENT, "case-1", "case-2", "case-3"]
    for incident_id in incidents[1:]:
        write_incident(tmp_path / "incidents", incident_id, {"a": ("note.txt", b"note")})
    for incident_id in incidents:
        bundle_services.request_bundle(SYSTEM, incident_id=incident_id)
    done: list[int] = []

    def work(name: str) -> None:
        done.append(drain(name))
        connection.close()

    racers = [threading.Thread(target=work, args=(f"racer-{n}",)) for n in range(2)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert sum(done) == len(incidents) * BUNDLE_AND_VERIFY
    assert set(Job.objects.values_list("status", "attempts")) == {("completed", 1)}
    made = list(Bundle.objects.values_list("name", flat=True))
    assert sorted(Bundle.objects.values_list("incident_id", flat=True)) == sorted(incidents)
    assert files_of(orch.output_dir) == sorted(made)
    assert chain.verify().intact
