"""The two jobs of the kill points: how each is requested and attempted, and what must hold after a kill."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.db import connection

from bundles import services as bundle_services
from bundles.models import Bundle
from bundles.storage import bundle_files
from custody import chain
from custody.models import Event
from foundation.principal import SYSTEM
from jobs.models import ACTIVE, Attempt, Job
from jobs.queue import queue
from jobs.worker import attempt_reporter
from jobs.worker.worker import run_one
from rehydration import services as restore_services
from rehydration.models import RestoredIncident
from soak import invariants
from soak.deployment import write_incident

# Each fits into one read, with or without its answer's head, so attempts report progress equally often.
FILES = (("memory dump.bin", bytes(range(256)) * 12), ("empty", b""), ("журнал №7.evtx", b"note"))
PATIENCE_S = 30.0
POLL_S = 0.005


class BundleVictim:
    """A `bundle_create` job of a small incident."""

    def __init__(self, incidents: Path) -> None:
        self.incidents = incidents
        self.roots: tuple[Path, ...] = (bundle_files.output_dir(), Path(settings.FORENSIC_STORAGE_PATH))
        self._made = 0
        settings.ORCH_VERIFY_AFTER_CREATE = False  # that job would be claimed in the place of the next one

    def prepare(self) -> Job:
        """Request the next job; all incident ids have the same length."""
        return bundle_services.request_bundle(SYSTEM, incident_id=self._next_incident()).job

    def attempt(self) -> None:
        """Claim and run the job in the process that will be killed.

        Every report of progress is written (a worker writes two a second), and nothing depends on time, so attempts
        make the same calls however fast they run.
        """
        attempt_reporter.WRITE_SPACING_S, attempt_reporter.LOOK_SPACING_S = 0.0, math.inf
        settings.ORCH_HEARTBEAT_SECONDS = settings.ORCH_LEASE_SECONDS = 3600
        run_one("doomed")

    def faults_after(self, job: Job) -> list[str]:
        """Let another worker finish the job; returns the invariants that do not hold then."""
        _wait_for_session_end()
        invariants.sweep_everything()  # while the lease is still valid, as another host's worker may
        connection.cursor().execute(
            "UPDATE orchestrator_jobs SET lease_expires_at = clock_timestamp() - interval '1 s'"
            " WHERE lease_token IS NOT NULL"
        )
        queue.free_stuck()
        while Job.objects.filter(status__in=ACTIVE).exists() and run_one("rescuer") is not None:
            pass
        invariants.sweep_everything()
        return list(self._faults(Job.objects.get(job_id=job.job_id)))

    def _faults(self, job: Job) -> Iterator[str]:
        if not job.is_completed or job.attempts > 2:
            yield f"the job is {job.status} after {job.attempts} attempts: {job.error_code} {job.error_message}"
        lost = Attempt.objects.filter(job=job, outcome=Attempt.Outcome.LOST).count()
        if lost != job.attempts - 1:
            yield f"{lost} of {job.attempts} attempts are recorded as lost"
        yield from invariants.of_job(job)
        yield from invariants.of_stores()
        if not chain.verify().intact:
            yield "the chain of custody is broken"
        yield from self._result_faults(job)

    def _result_faults(self, job: Job) -> Iterator[str]:
        yield from invariants.of_bundle_job(job)
        for made in Bundle.objects.filter(job_id=job.job_id):
            yield from invariants.of_bundle_file(made)

    def _next_incident(self) -> str:
        self._made += 1
        incident_id = f"{type(self).__name__}-{self._made:05}"
        write_incident(self.incidents, incident_id, FILES)
        return incident_id


class RestoreVictim(BundleVictim):
    """A `rehydrate` job of a bundle of a small incident that was never restored before."""

    def prepare(self) -> Job:
        """Bundle the next incident and request its restore."""
        made = _bundle(self._next_incident(), "live")
        return restore_services.request_restore(SYSTEM, bundle_id=str(made.bundle_id)).job

    def _result_faults(self, job: Job) -> Iterator[str]:
        """The incident is restored once, and a bundle made from it has the content digest of the evidence."""
        yield from invariants.of_restored(job.incident_id, times=1)
        restored = RestoredIncident.objects.filter(incident_id=job.incident_id).first()
        again = _bundle(job.incident_id, "restored")
        if restored is None or restored.content_digest != again.content_digest:
            yield "what was restored is not what was bundled"
        if Event.objects.filter(action="incident.restore_failed", incident_id=job.incident_id).exists():
            yield "custody has a failed restore"


VICTIMS = {"bundle": BundleVictim, "restore": RestoreVictim}


def _bundle(incident_id: str, source: str) -> Bundle:
    job = bundle_services.request_bundle(SYSTEM, incident_id=incident_id, source=source).job
    run_one("preparer")
    return Bundle.objects.get(job_id=job.job_id)


def _wait_for_session_end() -> None:
    """Wait until the server has ended the killed worker's session, which still runs what it had received."""
    give_up_at = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up_at:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )
            if cursor.fetchone() == (0,):
                return
        time.sleep(POLL_S)
    raise AssertionError("a killed worker's session does not end")
