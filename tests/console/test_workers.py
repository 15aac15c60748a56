"""The Workers page and what it steers: a drained worker finishes its job, leaves, and is not simply started again."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from subprocess import Popen

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from custody.models import Event
from foundation.principal import SYSTEM
from jobs import waiting, worker_restarts, workers
from jobs.models import RestartReason, Worker
from jobs.worker import recycling
from jobs.worker.liveness import Liveness
from jobs.worker.worker_slot import WorkerSlot
from jobs.worker_registration import WorkerRegistration, live_workers
from tests.support import console_rows as rows
from tests.support.console_rows import signed_in
from tests.support.jobs_app.running import ask, done, eventually, now, start, types_known_here

__all__ = ["start", "types_known_here"]  # fixtures

DRAIN = "/console/workers/drain"


def shown(client: Client, address: str, status: int = 200) -> str:
    answer = client.get(address)
    assert answer.status_code == status
    return str(answer.content.decode())


@pytest.mark.django_db
def test_a_worker_is_shown_with_its_job_age_and_memory() -> None:
    rows.worker(jobs_done=1204, state="busy")
    job = rows.job("processing")
    text = shown(signed_in("viewer"), reverse("workers-page"))
    for words in ("host-a", "42", "Busy", "1,204", "96.0 MiB", reverse("job-page", args=[job.job_id])):
        assert words in text
    assert "Drain…" not in text


@pytest.mark.django_db
def test_restarts_are_shown_with_host_reason_and_how_the_last_one_ended() -> None:
    assert "No worker process had to be replaced" in shown(signed_in("viewer"), reverse("workers-page"))
    for reason, detail in (("silent", "signal SIGKILL"), ("silent", "signal SIGSEGV"), ("not_up", "exit code 1")):
        worker_restarts.note(RestartReason(reason), detail, host="host-z")
    text = shown(signed_in("viewer"), reverse("workers-page"))
    for words in ("Gave no sign of life", "host-z", "signal SIGSEGV", "Did not start in time", "exit code 1"):
        assert words in text
    assert "signal SIGKILL" not in text
    assert re.search(r'<td class="num">2</td>', text)


@pytest.mark.django_db
def test_draining_is_confirmed_and_says_what_it_means() -> None:
    rows.worker("host-a/42:x", state="busy")
    job = rows.job("processing", worker_id="host-a/42:x")
    operator = signed_in("operator")
    listed = shown(operator, reverse("workers-page"))
    link = re.search(r'href="([^"]+)"\s+aria-label="Drain process 42', listed)
    assert link
    text = shown(operator, link[1].replace("&amp;", "&"))
    for words in (
        str(job.job_id),
        "is finished first",
        "No other worker takes jobs",
        "not replaced until",
        "orch_workers drain",
    ):
        assert words in text
    assert Worker.objects.get().drain_requested_at is None
    after = operator.post(DRAIN, {"worker": "host-a/42:x"}, follow=True).content.decode()
    assert "was asked to finish and leave" in after
    assert "Draining" in after
    worker = Worker.objects.get()
    assert worker.drain_requested_at is not None
    assert worker.drain_requested_by.startswith("operator-")
    event = Event.objects.get(action="worker.drain")
    assert (event.object_type, event.object_id, event.outcome) == ("worker", "host-a/42:x", "requested")
    assert str(job.job_id) in event.details


@pytest.mark.django_db
def test_asking_twice_is_no_error_and_one_event() -> None:
    rows.worker("w")
    assert workers.drain(SYSTEM, "w").worker_id == "w"
    first = Worker.objects.get().drain_requested_at
    workers.drain(SYSTEM, "w")
    assert Worker.objects.get().drain_requested_at == first
    assert Event.objects.filter(action="worker.drain").count() == 1
    assert "Already requested" in shown(signed_in("operator"), f"{DRAIN}?worker=w")


@pytest.mark.django_db
@pytest.mark.parametrize("role", ["viewer", "analyst"])
def test_draining_needs_its_permission(role: str) -> None:
    rows.worker("w")
    client = signed_in(role)
    assert "permission_denied" in shown(client, f"{DRAIN}?worker=w", 403)
    assert client.post(DRAIN, {"worker": "w"}).status_code == 403
    assert Worker.objects.get().drain_requested_at is None


@pytest.mark.django_db
def test_a_worker_that_has_left_cannot_be_drained() -> None:
    rows.worker("gone", state="stopped")
    assert "worker_not_found" in shown(signed_in("operator"), f"{DRAIN}?worker=gone", 404)
    assert "worker_not_found" in shown(signed_in("operator"), f"{DRAIN}?worker=%00", 404)


@pytest.mark.django_db
def test_a_queued_job_says_that_every_worker_is_leaving() -> None:
    rows.worker("w", state="stopping")
    assert "finishes its job and leaves" in waiting.reason(rows.job())


@pytest.mark.django_db
def test_a_worker_learns_of_the_request_with_its_heartbeat_and_takes_no_new_jobs() -> None:
    presence = WorkerRegistration()
    presence.announce()
    presence.beat(stopping=False)
    before = presence.drain_requested
    workers.drain(SYSTEM, presence.worker_id)
    presence.beat(stopping=False)
    assert (before, presence.drain_requested) == (False, True)
    assert Worker.objects.get().state == Worker.State.STOPPING


@pytest.mark.django_db
def test_the_shell_can_do_the_same() -> None:
    rows.worker("w")
    out = StringIO()
    call_command("orch_workers", "drain", "w", stdout=out)
    call_command("orch_workers", "list", stdout=out)
    assert "asked to finish and leave" in out.getvalue()
    assert "draining" in out.getvalue()
    with pytest.raises(CommandError, match="worker_not_found"):
        call_command("orch_workers", "drain", "nobody")


def test_the_place_of_a_drained_worker_stays_empty_until_it_is_told_to_be_filled() -> None:
    started: list[int] = []

    class Gone:
        pid = 1

        def poll(self) -> int:
            return recycling.DRAINED_EXIT_CODE

        def kill(self) -> None:
            pytest.fail("it has left by itself")

    def check(slot: WorkerSlot) -> None:
        now = time.monotonic()
        assert slot.check(now) is None, "that is no restart"
        if slot.may_start(now):
            started.append(slot.number)
            slot.start(Gone, now)

    slot = WorkerSlot(0, Liveness(1), drain=False)
    for _ in range(3):
        check(slot)
    assert started == [0]
    assert (slot.drained, slot.crashed, slot.done) == (True, 0, False)
    slot.fill()
    check(slot)
    assert started == [0, 0]


@pytest.mark.django_db(transaction=True)
def test_a_real_worker_finishes_its_job_leaves_and_comes_back_only_when_told(
    start: Callable[..., Popen[bytes]], tmp_path: Path
) -> None:
    supervisor = start("--concurrency", "1", ORCH_LEASE_SECONDS="20")  # no lease ends on a busy machine
    job = ask("wait", tmp_path)
    eventually((tmp_path / "started.1").exists)
    (worker,) = eventually(lambda: list(live_workers()))
    workers.drain(SYSTEM, worker.worker_id)
    eventually(lambda: Worker.objects.get(worker_id=worker.worker_id).state == Worker.State.STOPPING)
    assert now(job).status == "processing", "its job goes on"
    waits = ask("note", tmp_path, file=str(tmp_path / "second"))
    (tmp_path / "end").touch()
    eventually(lambda: done(job))
    eventually(lambda: Worker.objects.get(worker_id=worker.worker_id).state == Worker.State.STOPPED)
    assert now(job).attempts == 1
    eventually(lambda: "its place stays empty" in (tmp_path / "worker.log").read_text())
    assert not live_workers().exists()
    assert now(waits).status == "queued"
    assert supervisor.poll() is None
    supervisor.send_signal(signal.SIGHUP)
    eventually(lambda: done(waits))
    eventually(lambda: live_workers().count() == 1)
