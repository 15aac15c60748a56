"""Real worker processes, killed by SIGKILL while they import: the next goes on, and each bundle is made once."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from collections import Counter

import pytest

from bundles.format.reading.report import check_bundle
from bundles.intake import services, store
from bundles.intake.delivered import DELIVERED
from bundles.intake.services import Arrived
from bundles.keys import trusted_keys
from bundles.models import Bundle, Intake
from bundles.storage import bundle_files
from custody.models import Event
from foundation.principal import SYSTEM
from jobs import services as job_services
from jobs.models import ENDED, Job
from tests.main_job.test_workers import workers
from tests.support.dying_app.apps import READ_LOG
from tests.support.jobs_app.running import eventually
from tests.support.main_job import files_of, path_of, sources, sweep_all

__all__ = ["sources", "workers"]

pytestmark = pytest.mark.django_db(transaction=True)

MEMBERS, MEMBER_BYTES = 40, 4_000_000
THREADS = 4
MOMENTS = ("at-reading", "at-staging", "at-staging-tar", "at-packing")


def contents(moment: str) -> dict[str, bytes]:
    """Members that are not looked into for records, and one that is; the names are of this moment alone."""
    line = b'{"event_type":"dns","timestamp":"2026-01-01T00:00:00Z"}\n'
    files = {f"{moment}/{number}.bin": bytes([number]) * MEMBER_BYTES for number in range(MEMBERS)}
    return {f"{moment}/eve.json": line * 500, **files}


def zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def tarred(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def requested(moment: str) -> Job:
    """Deliver a collection, wait until it was read for its preview, and ask for its bundle."""
    raw = tarred(contents(moment)) if moment.endswith("tar") else zipped(contents(moment))
    file = bundle_files.quarantine() / "arrived.part"
    file.write_bytes(raw)
    sha256 = hashlib.sha256(raw).hexdigest()
    intake = services.receive(SYSTEM, Arrived(file=file, name=moment, size=len(raw), sha256=sha256))
    eventually(lambda: not Job.objects.exclude(status__in=ENDED).exists())
    job = services.request_bundle(SYSTEM, intake.intake_id, incident_id=moment).job
    assert job.needs_bytes > MEMBERS * MEMBER_BYTES, "members are staged unpacked"
    return job


def test_imports_whose_workers_are_killed_go_on_where_they_were(orch, sources, workers, tmp_path):
    for moment in MOMENTS:
        job = requested(moment)
        eventually(lambda: not Job.objects.exclude(status__in=ENDED).exists())
        assert [one.outcome for one in job_services.attempts_of(job)] == ["lost", "completed"], moment
        assert (tmp_path / "deaths" / moment).exists()

    read = Counter((tmp_path / READ_LOG).read_text().split())
    for moment in MOMENTS:
        times = Counter(read[f"{moment}/{number}.bin"] for number in range(MEMBERS))
        again = sum(number for count, number in times.items() if count == 2)
        assert set(times) <= {1, 2}, "no member is unpacked more than once an attempt"
        assert again <= (THREADS if "staging" in moment else 0), "what was staged is not unpacked again"
    assert Bundle.objects.count() == len(MOMENTS)
    assert Event.objects.filter(action="bundle.published").count() == len(MOMENTS)
    for made in Bundle.objects.all():
        assert made.complete
        assert check_bundle(path_of(made), trusted_keys.trusted()).verified
        assert ((made.counts or {})["events"], made.files) == (500, 3 + 1 + MEMBERS + 1)
    sweep_all()
    store.sweep()
    published = [name for name in files_of(orch.output_dir) if not name.startswith(store.INTAKES)]
    assert published == sorted(Bundle.objects.values_list("name", flat=True))
    assert list((orch.output_dir / bundle_files.STAGING).iterdir()) == []
    for intake in Intake.objects.all():
        assert [path.name for path in store.folder_of(intake.intake_id).iterdir()] == [DELIVERED]
