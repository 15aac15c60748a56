"""Real `run_orch_worker` processes, killed by SIGKILL while they bundle and restore: every job is done once."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

from bundles import services as bundle_services
from bundles.format.reading.report import check_bundle
from bundles.keys import trusted_keys
from bundles.models import Bundle
from custody import chain
from custody.models import Event
from foundation.principal import SYSTEM
from jobs import services as job_services
from jobs.models import ENDED, Job
from orchestrator_site.configuration.env import BASE_DIR
from rehydration import services as restore_services
from rehydration.models import Alert, TimelineEvent
from tests.support.dying_app.apps import DEATHS
from tests.support.jobs_app.running import eventually
from tests.support.main_job import ALERTS, files_of, path_of, sources, sweep_all, write_incident
from tests.support.site_deployment import environment

__all__ = ["sources"]

pytestmark = pytest.mark.django_db(transaction=True)

BUNDLING = ("at-fetching", "at-publishing", "at-commit")
RESTORING = ("at-restoring", "at-rows")


@pytest.fixture
def workers(orch, sources, tmp_path):
    """A supervisor with two worker processes on the test's database; a worker dies once at each moment."""
    (tmp_path / "deaths").mkdir()
    variables = environment(
        orch,
        DJANGO_SETTINGS_MODULE="tests.support.dying_settings",
        ORCH_LEASE_SECONDS="2",
        ORCH_HEARTBEAT_SECONDS="1",
        KILLCHAIN_API_URL=sources.url("killchain"),
        DB_API_URL=sources.url("db"),
        FORENSIC_API_URL=sources.url("forensic"),
        **{DEATHS: str(tmp_path / "deaths")},
    )
    with (tmp_path / "workers.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "run_orch_worker", "--concurrency", "2"],
            cwd=BASE_DIR, env=variables, stdout=log, stderr=log,
        )  # fmt: skip
    yield process
    family = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    _, alive = psutil.wait_procs([psutil.Process(process.pid), *family], timeout=240)
    for member in alive:
        member.kill()
    assert alive == []


def test_jobs_whose_workers_are_killed_are_done_by_others_exactly_once(orch, sources, workers, tmp_path):
    for incident_id in (*BUNDLING, *RESTORING):
        write_incident(tmp_path / "incidents", incident_id, {"a": ("note.txt", b"note"), "b": ("empty", b"")})
    requested = [bundle_services.request_bundle(SYSTEM, incident_id=incident_id).job for incident_id in BUNDLING]
    eventually(lambda: not Job.objects.exclude(status__in=ENDED).exists())
    for incident_id in RESTORING:
        bundle_services.request_bundle(SYSTEM, incident_id=incident_id)
    eventually(lambda: Bundle.objects.filter(incident_id__in=RESTORING).count() == len(RESTORING))
    to_restore = Bundle.objects.filter(incident_id__in=RESTORING)
    requested += [restore_services.request_restore(SYSTEM, bundle_id=str(made.bundle_id)).job for made in to_restore]
    eventually(lambda: not Job.objects.exclude(status__in=ENDED).exists())

    assert sorted(path.name for path in (tmp_path / "deaths").iterdir()) == sorted((*BUNDLING, *RESTORING))
    for job in requested:
        assert [one.outcome for one in job_services.attempts_of(job)] == ["lost", "completed"]
        assert job_services.get(SYSTEM, job.job_id).status == "completed"
    assert Bundle.objects.count() == len(BUNDLING) + len(RESTORING)
    sweep_all()
    assert files_of(orch.output_dir) == sorted(Bundle.objects.values_list("name", flat=True))
    for made in Bundle.objects.all():
        assert check_bundle(path_of(made), trusted_keys.trusted()).verified
    assert [Alert.objects.count(), TimelineEvent.objects.count()] == [ALERTS * len(RESTORING), 3 * len(RESTORING)]
    assert len(files_of(orch.forensic)) == 2 * len(RESTORING)
    assert Event.objects.filter(action="bundle.published").count() == Bundle.objects.count()
    assert Event.objects.filter(action="incident.restored").count() == len(RESTORING)
    assert chain.verify().intact
