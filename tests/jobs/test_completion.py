"""A COMMIT whose answer is lost: output is discarded only when it is certain that nothing was committed."""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone

from custody import chain
from custody.models import Event
from foundation.principal import SYSTEM
from jobs import services
from jobs.errors import LeaseLostError, OutcomeUnknownError
from jobs.models import Attempt, Job, Worker
from jobs.queue import queue, registry
from jobs.queue.claim_request import ClaimRequest
from jobs.queue.job_result import JobResult
from jobs.worker.completion import complete_with_recovery

pytestmark = pytest.mark.django_db(transaction=True)


class Cutter:
    """A proxy in front of PostgreSQL that can cut a connection just before or just after a COMMIT."""

    def __init__(self, directory: Path, server: str) -> None:
        self.cut = ""
        self.refuse = False
        self._server = server
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(directory / ".s.PGSQL.5432"))
        self._listening.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                if self.refuse:
                    client.close()
                    continue
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                threading.Thread(target=self._forward, args=(client, server), daemon=True).start()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        with client, server, contextlib.suppress(OSError):
            back = threading.Thread(target=self._return, args=(client, server), daemon=True)
            self._silent = False
            back.start()
            while request := client.recv(65536):
                if self.cut and b"COMMIT" in request:
                    if self.cut == "after":
                        self._silent = True
                        server.sendall(request)
                        self._answered = threading.Event()
                        self._answered.wait(10)
                    self.cut = ""
                    client.shutdown(socket.SHUT_RDWR)
                    break
                server.sendall(request)
            server.shutdown(socket.SHUT_RDWR)

    def _return(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while answer := server.recv(65536):
                if self._silent:
                    self._answered.set()
                    return
                client.sendall(answer)


@pytest.fixture
def cutter() -> Iterator[Cutter]:
    known = connection.settings_dict
    with tempfile.TemporaryDirectory() as name:
        made = Cutter(Path(name), f"{known['HOST']}/.s.PGSQL.{known['PORT']}")
        host, known["HOST"] = known["HOST"], name
        connection.close()
        yield made
        known["HOST"] = host
        connection.close()
        made.close()


@pytest.fixture
def job() -> Job:
    registry.register(registry.JobType(name="t", title="T", phases=("one",), handler=lambda _: JobResult({})))
    queue.enqueue("t", {}, principal=SYSTEM, operation="test")
    claimed = queue.claim(ClaimRequest("worker", ("t",)))
    assert claimed is not None
    return claimed


def finished(discarded: list[str]) -> JobResult:
    def register() -> None:
        chain.record(SYSTEM, "bundle.published", "bundle", "b")

    return JobResult({"made": 1}, register=register, discard=lambda: discarded.append("file"))


@pytest.mark.parametrize("cut", ["before", "after"])
def test_a_commit_without_an_answer_ends_in_one_outcome_and_keeps_the_file(cutter, job, cut):
    discarded: list[str] = []
    cutter.cut = cut
    complete_with_recovery(job, finished(discarded), None, patience_s=20)
    assert cutter.cut == ""
    done = Job.objects.get(job_id=job.job_id)
    assert (done.status, done.result) == ("completed", {"made": 1})
    assert discarded == []
    assert Event.objects.filter(action="bundle.published").count() == 1
    assert [attempt.outcome for attempt in services.attempts_of(job)] == ["completed"]


def test_a_job_that_was_lost_while_the_connection_was_cut_discards_the_file(cutter, job):
    discarded: list[str] = []
    made = finished(discarded)

    def shorten_the_lease_then_register() -> None:
        assert made.register is not None
        made.register()
        at_once = threading.Thread(target=expire_when_unlocked)
        at_once.start()
        threads.append(at_once)
        cutter.cut = "before"

    def expire_when_unlocked() -> None:
        Job.objects.filter(job_id=job.job_id).update(lease_expires_at=job.created_at)
        connection.close()

    threads: list[threading.Thread] = []
    with pytest.raises(LeaseLostError):
        complete_with_recovery(job, JobResult({}, shorten_the_lease_then_register, made.discard), None, patience_s=20)
    threads[0].join()
    assert discarded == ["file"]
    assert not Event.objects.exists()


def test_a_worker_that_freezes_while_it_checks_its_commit_does_not_block_recovery(cutter, job):
    recovered: list[Job] = []
    discarded: list[str] = []

    def recover() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '5s'")
        Job.objects.filter(job_id=job.job_id).update(lease_expires_at=job.created_at)
        recovered.extend(queue.recover_expired())
        connection.close()

    def freeze_after_asking(execute, sql, params, many, context):
        answer = execute(sql, params, many, context)
        if "orchestrator_job_attempts" in sql and sql.startswith("SELECT"):
            other = threading.Thread(target=recover)
            other.start()
            other.join()
        return answer

    cutter.cut = "before"
    with connection.execute_wrapper(freeze_after_asking), pytest.raises(LeaseLostError):
        complete_with_recovery(job, finished(discarded), None, patience_s=20)
    assert [one.job_id for one in recovered] == [job.job_id]
    assert discarded == ["file"]


def test_while_the_database_stays_away_nothing_is_discarded(cutter, job):
    discarded: list[str] = []
    cutter.cut, cutter.refuse = "before", True
    with pytest.raises(OutcomeUnknownError):
        complete_with_recovery(job, finished(discarded), None, patience_s=0.5)
    assert discarded == []
    cutter.refuse = False
    assert Job.objects.get(job_id=job.job_id).status == "processing"


def test_a_registration_that_fails_discards_the_file_and_raises(job):
    discarded: list[str] = []

    def refuse() -> None:
        raise ValueError("the table is full")

    with pytest.raises(ValueError, match="the table is full"):
        complete_with_recovery(job, JobResult({}, refuse, lambda: discarded.append("file")), None)
    assert discarded == ["file"]
    queue.release(job)


def test_a_session_that_the_server_ended_during_registration_is_tried_again(job):
    discarded: list[str] = []
    made = finished(discarded)
    calls: list[Callable[[], None]] = []

    def cut_once() -> None:
        assert made.register is not None
        made.register()
        calls.append(made.register)
        if len(calls) == 1:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    complete_with_recovery(job, JobResult({}, cut_once, made.discard), None, patience_s=20)
    assert Job.objects.get(job_id=job.job_id).status == "completed"
    assert (len(calls), discarded, Event.objects.count()) == (2, [], 1)


def test_a_slow_registration_is_not_cut_off(job, settings):
    settings.ORCH_LEASE_SECONDS = 1  # the server's idle limit must not depend on it

    def slow() -> None:
        time.sleep(1)  # as long as preparing a large record takes
        assert not Event.objects.exists()

    complete_with_recovery(job, JobResult({}, slow), None)
    done = Job.objects.get(job_id=job.job_id)
    assert (done.status, done.attempts) == ("completed", 1)


@pytest.mark.parametrize(
    ("heard_of_s", "state", "reason"),
    [(0, "busy", "held up"), (3600, "busy", "died, froze"), (0, "stopped", "died, froze"), (None, "", "died, froze")],
    ids=["a live worker", "a silent worker", "a stopped worker", "an unknown worker"],
)
def test_the_reason_of_an_expired_lease_depends_on_the_state_of_its_worker(job, heard_of_s, state, reason):
    if heard_of_s is not None:
        now = timezone.now()
        Worker.objects.create(
            worker_id=job.worker_id, host="a", pid=1, started_at=now, version="1", state=state,
            heartbeat_at=now - timedelta(seconds=heard_of_s),
        )  # fmt: skip
    Job.objects.filter(job_id=job.job_id).update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    [recovered] = queue.recover_expired()
    assert reason in recovered.error_message
    attempt = Attempt.objects.get(job_id=job.job_id, outcome="lost")
    assert attempt.error_message == recovered.error_message


def test_the_server_ends_the_session_of_a_worker_that_freezes_while_it_completes(job):
    limits: list[str] = []

    def look() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SHOW idle_in_transaction_session_timeout")
            limits.append(cursor.fetchone()[0])

    complete_with_recovery(job, JobResult({}, look), None)
    assert limits == ["10min"]
