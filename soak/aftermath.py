"""After chaos: prints how everything ended, and checks `soak.invariants`.

A restore that failed may have put files in place that have no rows until a later restore. So failed jobs are retried
before files are compared with rows.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

from django.conf import settings
from django.db import connection
from django.db.models import Count

from bundles import services as bundle_services
from bundles.models import Bundle
from bundles.storage import bundle_files
from foundation.principal import SYSTEM
from jobs import services as job_services
from jobs.errors import StateConflictError
from jobs.models import ACTIVE, Attempt, Job, Status
from jobs.worker.worker import drain
from orchestrator_site.configuration.env import BASE_DIR
from rehydration import services as restore_services
from rehydration.models import RestoredIncident
from soak import invariants
from soak.requests import Requests


def judge(injected: Mapping[str, int], requests: Requests, faults: list[str]) -> int:
    """Print what was done and how it ended; returns the exit code: 0 when everything holds."""
    connection.close()
    table("faults", injected)
    table("jobs, by kind and outcome", _by(Job, "job_type", "status"))
    table("attempts, by outcome", _by(Attempt, "outcome"))
    table("attempts that did not complete, by reason", _by(Attempt, "outcome", "error_code"))
    table("jobs that failed, by reason", _by(Job.objects.filter(status=Status.FAILED), "job_type", "error_code"))
    faults = [*faults, *_unfinished(requests)]
    invariants.sweep_everything()
    before = [fault for fault in invariants.of_stores() if fault.startswith("artifact file without a row")]
    retried = _retry_failed()
    invariants.sweep_everything()
    faults += [*invariants.of_stores(), *_restored(requests), *_custody()]
    verified, refused = _verify_by_cli()
    faults += refused
    print(f"\njobs accepted {len(requests.accepted)}, requests without an answer {requests.unanswered}")
    print(f"artifact files of failed restores: {len(before)}; jobs retried: {retried}")
    print(f"bundles verified by tools/verify_bundle.py: {verified}/{Bundle.objects.count()}")
    print(f"{len(faults)} faults in what must hold")
    for fault in faults:
        print(f"FAILED {fault}")
    return 1 if faults or not verified else 0


def table(title: str, rows: Mapping[str, int]) -> None:
    """Print counts under a title."""
    print(f"\n{title}")
    for name, number in sorted(rows.items()):
        print(f"  {name:64}{number:>8,}")


def _by(rows: object, *fields: str) -> Counter[str]:
    found = getattr(rows, "objects", rows).values_list(*fields).annotate(Count("pk")).order_by()  # type: ignore[attr-defined] # a model or a query set
    return Counter({" ".join(row[:-1]): row[-1] for row in found if row[1:-1] != ("",)})


def _unfinished(requests: Requests) -> Iterator[str]:
    """Every accepted job exists, and every job has one outcome with its results."""
    lost = requests.accepted - set(Job.objects.values_list("job_id", flat=True))
    yield from (f"job {job_id} was accepted and is gone" for job_id in lost)
    for job in Job.objects.all():
        yield from invariants.of_job(job)
        if job.job_type == "bundle_create":
            yield from invariants.of_bundle_job(job)


def _retry_failed() -> int:
    """Retry failed and cancelled jobs in this process, without faults; returns how many.

    A job with an equal one that is active cannot be retried, and need not be.
    """
    retried = 0
    for job in Job.objects.filter(status__in=invariants.ENDS_WITHOUT_RESULT):
        try:
            job_services.retry(SYSTEM, job.job_id)
        except StateConflictError:
            continue
        drain("aftermath")
        retried += 1
    return retried


def _restored(requests: Requests) -> Iterator[str]:
    """A restored incident equals the evidence: bundled again, it has the content digest of the first bundle."""
    for incident_id in requests.incidents:
        made = Bundle.objects.filter(incident_id=incident_id, source="live").first()
        if made is None:
            yield f"{incident_id} was never bundled"
            continue
        if not RestoredIncident.objects.filter(incident_id=incident_id).exists():
            restore_services.request_restore(SYSTEM, bundle_id=str(made.bundle_id))
        drain("aftermath")
        job = bundle_services.request_bundle(SYSTEM, incident_id=incident_id, source="restored").job
        drain("aftermath")
        again = Bundle.objects.filter(job_id=job.job_id).first()
        if again is None or again.content_digest != made.content_digest:
            yield f"{incident_id} as restored is not as it was bundled"
    if Job.objects.filter(status__in=ACTIVE).exists():
        yield "a job of the aftermath has not ended"


def _custody() -> Iterator[str]:
    done = subprocess.run(
        [sys.executable, "manage.py", "verify_custody"], cwd=BASE_DIR, capture_output=True, text=True, check=False
    )
    if done.returncode:
        yield f"manage.py verify_custody: {done.stdout}{done.stderr}"


def _verify_by_cli() -> tuple[int, list[str]]:
    """Verify each bundle by the command line; returns how many verify, and a line for each other."""

    def verify(name: str) -> str:
        command = [sys.executable, "tools/verify_bundle.py", str(bundle_files.output_dir() / name)]
        done = subprocess.run(
            [*command, "--key", str(settings.ORCH_VERIFY_KEY_PATH)],
            cwd=BASE_DIR, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return "" if done.returncode == 0 else f"{name}: exit {done.returncode}: {done.stdout}{done.stderr}"

    names = list(Bundle.objects.values_list("name", flat=True))
    with ThreadPoolExecutor(2) as pool:
        refused = [line for line in pool.map(verify, names) if line]
    return len(names) - len(refused), refused
