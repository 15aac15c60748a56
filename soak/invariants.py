"""What must hold of a deployment whenever no job is active. Each check yields a line for each violation.

Used by the kill points and by chaos. Only `sweep_everything` changes anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from django.conf import settings

from bundles.format.reading.report import check_bundle
from bundles.keys import trusted_keys
from bundles.manifest_files import artifacts_of
from bundles.models import Bundle, BundledArtifact, Manifest
from bundles.storage import bundle_files, store_marker
from custody.models import Event
from jobs.models import ACTIVE, Attempt, Job, Status
from jobs.worker import sweeps
from rehydration.models import ArtifactRecord, RestoredIncident

ENDS_WITHOUT_RESULT = (Status.FAILED, Status.CANCELLED)


def sweep_everything() -> None:
    """Run the sweeps of a worker's upkeep process."""
    sweeps.run_all()


def of_job(job: Job) -> Iterator[str]:
    """One outcome: only a completed job has a completed attempt, its last; attempts are numbered without a gap."""
    history = list(Attempt.objects.filter(job=job).order_by("number"))
    completed = [attempt.number for attempt in history if attempt.outcome == Attempt.Outcome.COMPLETED]
    if job.status in ACTIVE:
        yield f"{job} has no outcome"
    if [attempt.number for attempt in history] != list(range(1, job.attempts + 1)):
        yield f"{job} counts {job.attempts} attempts and has {len(history)}"
    if completed != ([job.attempts] if job.is_completed else []):
        yield f"{job} has the completed attempts {completed} of {job.attempts}"
    if any(attempt.outcome == Attempt.Outcome.RUNNING or attempt.ended_at is None for attempt in history):
        yield f"{job} has a running attempt"
    if job.is_failed and not job.error_code:
        yield f"{job} does not say why it failed"


def of_bundle_job(job: Job) -> Iterator[str]:
    """A completed job has one bundle, with manifest, artifacts and one custody event; any other job has none."""
    found = list(Bundle.objects.filter(job_id=job.job_id))
    if len(found) != int(job.is_completed):
        yield f"{job} has {len(found)} bundles"
    for made in found:
        if (job.result or {}).get("bundle_id") != str(made.bundle_id):
            yield f"{job}'s result names another bundle than {made.name}"
        if not Manifest.objects.filter(bundle=made).exists():
            yield f"{made.name} has no manifest"
        elif BundledArtifact.objects.filter(bundle=made).count() != artifacts_of(made, offset=0, limit=0)[1]:
            yield f"{made.name} has other artifacts in the search index than in its manifest"
        if Event.objects.filter(action="bundle.published", object_id=str(made.bundle_id)).count() != 1:
            yield f"{made.name} does not have exactly one event in custody"


def of_bundle_file(made: Bundle) -> Iterator[str]:
    """A registered bundle verifies, and is the file that was registered."""
    report = check_bundle(bundle_files.output_dir() / made.name, trusted_keys.trusted())
    if not report.verified or report.sha256 != made.sha256:
        yield f"{made.name} does not verify: {report.error}"


def of_stores() -> Iterator[str]:
    """No file without a row and no row without a file, in both stores; nothing left in staging."""
    yield from _difference("bundle", _files(bundle_files.output_dir()), Bundle.objects.values_list("name", flat=True))
    stored = ArtifactRecord.objects.exclude(stored_path="").values_list("stored_path", flat=True)
    yield from _difference("artifact", _files(Path(settings.FORENSIC_STORAGE_PATH)), stored)
    for root in (bundle_files.output_dir(), Path(settings.FORENSIC_STORAGE_PATH)):
        yield from (f"left in staging: {path.name}" for path in root.glob(".staging/*"))


def of_restored(incident_id: str, times: int) -> Iterator[str]:
    """The incident is restored once, and custody has `times` restores of it."""
    if RestoredIncident.objects.filter(incident_id=incident_id).count() != 1:
        yield f"{incident_id} does not have exactly one restored incident"
    recorded = Event.objects.filter(action="incident.restored", incident_id=incident_id).count()
    if recorded != times:
        yield f"custody has {recorded} restores of {incident_id}, not {times}"


def _difference(kind: str, files: list[str], rows: Iterable[str]) -> Iterator[str]:
    present, known = Counter(files), Counter(rows)
    yield from (f"{kind} file without a row: {name}" for name in (present - known).elements())
    yield from (f"{kind} row without a file: {name}" for name in (known - present).elements())


def _files(root: Path) -> list[str]:
    """Every file below `root` except the store's marker, those in staging and quarantine included."""
    found = [path.relative_to(root) for path in root.rglob("*") if not path.is_dir()]
    return [str(path) for path in found if str(path) != store_marker.NAME]
