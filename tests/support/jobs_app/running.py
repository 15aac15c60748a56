"""What tests of real worker processes share: starting them on the test's database, and watching from outside."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.conf import settings
from django.db import connection

from foundation.principal import SYSTEM
from jobs.models import Job
from jobs.queue import queue, registry
from jobs.queue.job_result import JobResult

PATIENCE_S = 240.0
TYPES = ("note", "wait", "ignore", "hang", "query")


def eventually(what: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
    """The first truthy answer of `what`; fails when there is none in time."""
    give_up_at = time.monotonic() + patience_s
    while time.monotonic() < give_up_at:
        if found := what():
            return found
        time.sleep(0.02)
    raise AssertionError("it never came to pass")


@pytest.fixture(autouse=True)
def types_known_here() -> Iterator[None]:
    for name in TYPES:
        registry.register(registry.JobType(name=name, title=name, phases=("working",), handler=lambda _: JobResult({})))
    yield
    for name in TYPES:
        registry.unregister(name)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts `run_orch_worker` on the test's database; whatever is left of it at the end is killed."""
    known = connection.settings_dict
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.support.worker_settings",
        "DB_HOST": known["HOST"],
        "DB_NAME": known["NAME"],
        "DB_USER": known["USER"],
        "ORCH_LEASE_SECONDS": "2",
        "ORCH_HEARTBEAT_SECONDS": "1",
    }
    started: list[psutil.Popen] = []

    def run(*arguments: str, **variables: str) -> subprocess.Popen[bytes]:
        with (tmp_path / "worker.log").open("ab") as log:
            process = psutil.Popen(
                [sys.executable, "manage.py", "run_orch_worker", *arguments],
                cwd=settings.BASE_DIR, env=environment | variables, stdout=log, stderr=log,
            )  # fmt: skip
        started.append(process)
        return process  # type: ignore[return-value] # psutil.Popen wraps subprocess.Popen

    yield run
    family = []
    for process in started:
        if process.is_running():
            family += [process, *process.children(recursive=True)]
    for member in family:
        member.kill()
    psutil.wait_procs(family, timeout=240)


def workers_of(supervisor: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The worker processes of a supervisor, without its upkeep process."""
    return [child for child in psutil.Process(supervisor.pid).children() if child.name().startswith("orch-worker")]


def ask(job_type: str, tmp_path: Path, **more: Any) -> Job:
    files = {name: str(tmp_path / name) for name in ("file", "started", "end")}
    return queue.enqueue(job_type, {**files, **more}, principal=SYSTEM, operation="test").job


def now(job: Job) -> Job:
    return Job.objects.get(job_id=job.job_id)


def state(job: Job) -> str:
    return str(now(job).status)


def done(job: Job) -> bool:
    return state(job) == "completed"
