"""The two jobs that kill points are about: how each is asked for and attempted, and what must hold after a death."""

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
from soak import verdicts
from soak.deployment import write_incident

# Each fits into one read, with the head of its answer or without: so attempts report progress equally often.
FILES = (("memory dump.bin", bytes(range(256)) * 12), ("empty", b""), ("журнал №7.evtx", b"note"))
PATIENCE_S = 30.0
LOOK_S = 0.005


class BundleVictim:
    """A `bundle_create` job of a small incident."""

    def __init__(self, incidents: Path) -> None:
        self.incidents = incidents
        self.roots: tuple[Path, ...] = (bundle_files.output_dir(), Path(settings.FORENSIC_STORAGE_PATH))
        self._made = 0

    def prepare(self) -> Job:
        """Ask for the next job; every incident's id is as long as the others'."""
        return bundle_services.request_bundle(SYSTEM, incident_id=self._next_incident()).job

    def attempt(self) -> None:
        """Claim the job and try it, as the process that is to die.

        Every report of progress is written, where a worker writes two a second, and nothing is done only because time
        has passed: so attempts make the same calls, however fast they run, and a death can fall on each.
        """
        attempt_reporter.WRITE_SPACING_S, attempt_reporter.LOOK_SPACING_S = 0.0, math.inf
        settings.ORCH_HEARTBEAT_SECONDS = settings.ORCH_LEASE_SECONDS = 3600
        run_one("doomed")

    def faults_after(self, job: Job) -> list[str]:
        """Let another worker finish what the dead one left; what then does not hold."""
        _wait_for_the_server()
        verdicts.sweep_everything()  # while the lease still runs, as another host's worker may
        connection.cursor().execute(
            "UPDATE orchestrator_jobs SET lease_expires_at = clock_timestamp() - interval '1 s'"
            " WHERE lease_token IS NOT NULL"
        )
        queue.free_stuck()
        while Job.objects.filter(status__in=ACTIVE).exists() and run_one("rescuer") is not None:
            pass
        verdicts.sweep_everything()
        return list(self._faults(Job.objects.get(job_id=job.job_id)))

    def _faults(self, job: Job) -> Iterator[str]:
        if not job.is_completed or job.attempts > 2:
            yield f"the job is {job.status} after {job.attempts} attempts: {job.error_code} {job.error_message}"
        lost = Attempt.objects.filter(job=job, outcome=Attempt.Outcome.LOST).count()
        if lost != job.attempts - 1:
            yield f"{lost} of {job.attempts} attempts are told as lost"
        yield from verdicts.of_job(job)
        yield from verdicts.of_stores()
        if not chain.verify().intact:
            yield "the chain of custody is broken"
        yield from self._fruit(job)

    def _fruit(self, job: Job) -> Iterator[str]:
        yield from verdicts.of_bundle_job(job)
        for made in Bundle.objects.filter(job_id=job.job_id):
            yield from verdicts.of_bundle_file(made)

    def _next_incident(self) -> str:
        self._made += 1
        incident_id = f"{type(self).__name__}-{self._made:05}"
        write_incident(self.incidents, incident_id, FILES)
        return incident_id


class RestoreVictim(BundleVictim):
    """A `rehydrate` job of a bundle of a small incident that was never restored before."""

    def prepare(self) -> Job:
        """Bundle the next incident and ask for its restore."""
        made = _bundle(self._next_incident(), "live")
        return restore_services.request_restore(SYSTEM, bundle_id=str(made.bundle_id)).job

    def _fruit(self, job: Job) -> Iterator[str]:
        """Restored once, and equal: what is bundled from it has the content digest of the evidence."""
        yield from verdicts.of_restored(job.incident_id, times=1)
        restored = RestoredIncident.objects.filter(incident_id=job.incident_id).first()
        again = _bundle(job.incident_id, "restored")
        if restored is None or restored.content_digest != again.content_digest:
            yield "what was restored is not what was bundled"
        if Event.objects.filter(action="incident.restore_failed", incident_id=job.incident_id).exists():
            yield "custody tells a failed restore"


VICTIMS = {"bundle": BundleVictim, "restore": RestoreVictim}


def _bundle(incident_id: str, source: str) -> Bundle:
    job = bundle_services.request_bundle(SYSTEM, incident_id=incident_id, source=source).job
    run_one("preparer")
    return Bundle.objects.get(job_id=job.job_id)


def _wait_for_the_server() -> None:
    """Until the server has ended the dead worker's session: it carries out what it had received."""
    give_up_at = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up_at:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )
            if cursor.fetchone() == (0,):
                return
        time.sleep(LOOK_S)
    raise AssertionError("a dead worker's session does not end")
