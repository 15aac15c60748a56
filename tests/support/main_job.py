"""Shared by tests of the main job: an incident with difficult names, its sources, and jobs run to their end."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from bundles import services as bundle_services
from bundles.models import Bundle
from bundles.samples.services import SampleServices
from bundles.storage import bundle_files, store_marker
from bundles.timelines import record_index
from bundles.uploads import quarantine
from foundation.principal import SYSTEM
from jobs import waiting
from jobs.models import ENDED, Job
from jobs.queue import queue, registry
from jobs.worker.worker import run_one
from rehydration import services as restore_services
from rehydration import staging as restore_staging
from tests.support.upstreams import Upstreams

INCIDENT = "case-9"
LONG_NAME = "журнал-" + "ж" * 113 + ".evtx"
FILES = {
    "a-1": ("memory dump of host 3.bin", bytes(range(256)) * 600),
    "a-2": ("empty", b""),
    "a-3": ("Rëchnung №7 日本語.pdf", b"%PDF" + b"\x00\xff" * 400),
    "a-4": (LONG_NAME, b"long name"),
    "a-5": (" leading and trailing ", b"\r\n"),
}
ALERTS = 7


def write_incident(
    folder: Path, incident_id: str = INCIDENT, files: dict[str, tuple[str, bytes]] | None = None
) -> Path:
    """Write an incident below `folder`, in the layout of the sample services; its artifact ids start with its id."""
    place = folder / incident_id
    records = []
    for key, (name, content) in (FILES if files is None else files).items():
        artifact_id = f"{incident_id}.{key}"
        file = place / "artifacts" / artifact_id / name
        file.parent.mkdir(parents=True)
        file.write_bytes(content)
        records.append(
            {
                "artifact_id": artifact_id,
                "incident_id": incident_id,
                "name": name,
                "filepath": f"artifacts/{artifact_id}/{name}",
                "size": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
                "collected_at": "2026-01-02T00:00:00Z",
            }
        )
    place.mkdir(parents=True, exist_ok=True)
    events = [{"timestamp": f"2026-01-01T00:00:0{n}Z", "source": "b", "target": "a", "n": n} for n in (3, 1, 2)]
    timeline = {"incident_id": incident_id, "events": events, "entities": {"host": ["h-1"]}, "event_count": 3}
    alerts = [
        {"id": f"alert-{n:04}", "timestamp": f"2026-01-01T00:00:{n:02}Z", "correlation_id": incident_id, "score": 0.5}
        for n in range(ALERTS)
    ]
    for name, value in (("timeline", timeline), ("alerts", alerts), ("artifacts", records)):
        (place / f"{name}.json").write_text(json.dumps(value))
    return folder


def point_at(settings: Any, services: SampleServices) -> None:
    """Make `services` the sources of this process's settings."""
    settings.KILLCHAIN_API_URL = services.url("killchain")
    settings.DB_API_URL = services.url("db")
    settings.FORENSIC_API_URL = services.url("forensic")
    settings.ORCH_SOURCE_TIMEOUT_SECONDS = 5


@pytest.fixture
def sources(orch: Any, settings: Any, tmp_path: Path) -> Iterator[Upstreams]:
    """The three services over the incident, and the settings pointing at them."""
    folder = tmp_path / "incidents"
    with Upstreams([write_incident(folder)]) as services:
        point_at(settings, services)
        yield services


def run_to_its_end(job: Job) -> Job:
    """Run all attempts of a job in this process, without the pauses between them; returns the ended job."""
    while True:
        Job.objects.filter(job_id=job.job_id).update(run_after=datetime(2000, 1, 1, tzinfo=UTC))
        ran = run_one()
        now = ran or Job.objects.get(job_id=job.job_id)
        assert ran or not now.is_queued, f"no worker can claim it: {waiting.reason(now)} {registry.hindrances()}"
        if now.job_id == job.job_id and now.status in ENDED:
            return now


def finished(job: Job) -> dict[str, Any]:
    """The result of a job that must succeed."""
    done = run_to_its_end(job)
    assert done.status == "completed", f"{done.error_code}: {done.error_message}"
    return dict(done.result or {})


def bundle(incident_id: str = INCIDENT, **asked: Any) -> Bundle:
    """Bundle an incident in this process."""
    made = finished(bundle_services.request_bundle(SYSTEM, incident_id=incident_id, **asked).job)
    return Bundle.objects.get(bundle_id=made["bundle_id"])


def restore(made: Bundle) -> dict[str, Any]:
    """Restore a bundle in this process; returns the job's result."""
    return finished(restore_services.request_restore(SYSTEM, bundle_id=str(made.bundle_id)).job)


def path_of(made: Bundle) -> Path:
    return bundle_files.output_dir() / made.name


def job_of(made: Bundle) -> Job:
    assert made.job_id is not None
    return Job.objects.get(job_id=made.job_id)


def files_of(root: Path) -> list[str]:
    """Every file below `root` except the store's marker."""
    return sorted(
        str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir() and path.name != store_marker.NAME
    )


def sweep_all() -> None:
    """Run every sweep of a worker."""
    bundle_files.sweep()
    record_index.remove_hidden()
    quarantine.sweep()
    restore_staging.sweep()


def expire_lease(job: Job) -> None:
    """Expire the lease of a job, and recover the job as a worker's upkeep would."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE orchestrator_jobs SET lease_expires_at = clock_timestamp() - interval '1 s' WHERE job_id = %s",
            [job.job_id],
        )
    assert job.job_id in [one.job_id for one in queue.recover_expired()]


def change_a_byte(path: Path, at: int | None = None) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2 if at is None else at] ^= 1
    path.write_bytes(raw)
