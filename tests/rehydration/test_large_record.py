"""A large record on a busy machine takes long, and is restored at the first attempt."""

from __future__ import annotations

import subprocess
import sys

import pytest

from foundation.principal import SYSTEM
from jobs.models import Job
from orchestrator_site.configuration.env import BASE_DIR
from rehydration import services
from rehydration.models import Alert
from tests.support.busy import busy_cores
from tests.support.rehydration_incident import Incident
from tests.support.site_deployment import environment

RECORD_BYTES = 24 * 1024 * 1024
LEASE_S = 20  # the server once ended a completing session that was silent for a third of it


@pytest.mark.django_db(transaction=True)
def test_a_large_record_is_restored_at_the_first_attempt_while_the_cores_are_busy(orch):
    large = {"id": "large", "timestamp": "2026-01-01", "raw": "é" * (RECORD_BYTES // 6)}
    Incident(alerts=[large], files={"art-1": ("a.log", b"one")}).bundle(orch, "b.tar.zst")
    asked = services.request_restore(SYSTEM, bundle_path="b.tar.zst").job
    command = ["nice", "-n", "2", sys.executable, "manage.py", "run_orch_worker", "--concurrency", "1", "--drain"]
    with busy_cores():
        done = subprocess.run(
            command, cwd=BASE_DIR, env=environment(orch, ORCH_LEASE_SECONDS=str(LEASE_S)), check=False,
            capture_output=True, timeout=1200,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    job = Job.objects.get(job_id=asked.job_id)
    assert (job.status, job.attempts, job.error_message) == ("completed", 1, "")
    assert len(Alert.objects.get().record) > RECORD_BYTES
