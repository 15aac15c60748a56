"""What the simulated workers and people do: the product's own calls, and a handler that publishes files."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.db import Error, connection, transaction

from bundles.models import Bundle
from bundles.storage import bundle_files
from custody import chain
from foundation.principal import SYSTEM, Principal
from jobs import services
from jobs.errors import IdempotencyKeyReusedError, JobError, PermanentError, RetryableError
from jobs.queue import queue, registry
from jobs.queue.claim_request import ClaimRequest
from jobs.queue.context import JobContext
from jobs.queue.job_result import JobResult
from jobs.worker.attempt import perform
from jobs.worker.attempt_reporter import AttemptReporter
from jobs.worker.completion import answer_was_lost
from soak.actors import Actor, current

JOB_TYPE, PHASES, OPERATION = "soak", ("working", "publishing"), "soak.ask"
PEOPLE = tuple(Principal(name=name, authenticated_by="session", permissions=None) for name in ("ann", "bob"))
NO_RESULT_SHARE = 0.4  # of the attempts, which have nothing to register
WAIT_FOR_HEARTBEAT = "wait for the heartbeat"  # a worker's point when its attempt ends during a heartbeat


class Process:
    """A worker process: one actor that runs jobs, and one that renews the lease meanwhile.

    Attributes:
        name: stable for its life; holder of the leases it claims.
        reporter: of the current attempt; None between attempts.
        stopping: set when it was asked to stop.
    """

    def __init__(self, name: str, worker: Actor, heartbeat: Actor) -> None:
        self.name, self.worker, self.heartbeat = name, worker, heartbeat
        self.reporter: AttemptReporter | None = None
        self.stopping = threading.Event()
        self._beating = False

    @property
    def dead(self) -> bool:
        """Whether it was killed."""
        return self.worker.dead

    def work(self) -> None:
        """Claim a job and perform it, as `jobs.worker.worker` does."""
        try:
            job = queue.claim(ClaimRequest(self.name, (JOB_TYPE,)))
            if job is not None:
                self.reporter = AttemptReporter(job, PHASES, stopping=self.stopping, direct=False)
                perform(job, self.reporter, rest=self._rest)
        except Error as error:
            _reconnect_after(error)
        finally:
            self.reporter = None

    def beat(self) -> None:
        """One heartbeat, as `jobs.worker.heartbeat_thread` does."""
        reporter, self._beating = self.reporter, True
        try:
            if reporter is not None:
                reporter.beat()
        except Error:
            connection.close()
        finally:
            self._beating = False

    def _rest(self) -> None:
        self.reporter = None
        while self._beating:
            self.worker.pause_at(WAIT_FOR_HEARTBEAT)


def handle(context: JobContext) -> JobResult:
    """One attempt: report progress, publish a file, and end in one of the ways that a handler can."""
    actor = current()
    assert actor is not None  # noqa: S101 # only actors claim
    rng = actor.rng
    reports = rng.random() < 0.8  # the others never check whether to stop
    no_result = rng.random() < NO_RESULT_SHARE
    staging = bundle_files.make_staging(context.job_id, context.lease_token)
    try:
        for done in range(1, rng.randint(2, 4)):
            actor.pause_at("working")
            if reports:
                context.progress("working", done, 4)
        if no_result:
            _maybe_raise(rng.random())
            bundle_files.remove_staging(staging)
            return JobResult({})
        finished = staging / "bundle"
        finished.write_bytes(context.lease_token.bytes)
        actor.pause_at("before publish")
        name = f"{context.job_id.hex}-{context.lease_token.hex}.soak"
        bundle_files.publish(finished, name)
        actor.pause_at("after publish")
        _maybe_raise(rng.random())
    except Exception:
        bundle_files.withdraw(staging)
        raise
    return JobResult(
        {"name": name}, register=_registration(context, name, staging), discard=lambda: bundle_files.withdraw(staging)
    )


def _maybe_raise(chance: float) -> None:
    if chance < 0.1:
        raise RetryableError("source_unavailable", "The source is down.")
    if chance < 0.15:
        raise PermanentError("source_refused", "The source does not know it.")
    if chance < 0.2:
        raise ValueError("a bug in the handler")


def _registration(context: JobContext, name: str, staging: Path) -> Callable[[], None]:
    def register() -> None:
        Bundle.objects.create(
            bundle_id=uuid.uuid4(), incident_id=context.incident_id, name=name, size=16, sha256="0" * 64,
            created_at=datetime(2026, 1, 1, tzinfo=UTC), created_by="soak", job_id=context.job_id, source="live",
            compression="zstd", key_id="0" * 64, content_digest="0" * 64, manifest_hash="0" * 64, complete=True,
            files=1, total_bytes=16,
        )  # fmt: skip
        chain.record(SYSTEM, "bundle.published", "bundle", name)
        transaction.on_commit(lambda: bundle_files.remove_staging(staging))

    return register


def _reconnect_after(error: Error) -> None:
    """Drop a broken connection; raise any other database error, which fails the seed."""
    if not answer_was_lost(error) or "deadlock" in str(error):
        raise error
    connection.close()


def register_type() -> None:
    """Register the simulated job type in this process."""
    registry.register(registry.JobType(name=JOB_TYPE, title="Soak", phases=PHASES, handler=handle))


def ask(actor: Actor, answered: Callable[[tuple[str, str, str], str], None]) -> None:
    """Enqueue a job; requests, idempotency keys and active keys sometimes repeat."""
    rng = actor.rng
    who, key = rng.choice(PEOPLE), rng.choice(("", "k0", "k1", "k2", "k3"))
    more: dict[str, Any] = {
        "payload": {"n": rng.randint(0, 9) // 8}, "priority": rng.choice((1, 100, 100, 200)),
        "active_key": rng.choice((None, None, "a0", "a1")),
    }  # fmt: skip
    try:
        with transaction.atomic():
            got = queue.enqueue(JOB_TYPE, principal=who, operation=OPERATION, idempotency_key=key, **more)
            chain.record(who, "soak.ask", "job", str(got.job.job_id))
    except IdempotencyKeyReusedError:
        return
    except Error as error:
        _reconnect_after(error)
        return
    if key:
        answered((who.name, OPERATION, key), str(got.job.job_id))


def person(call: Callable[..., Any], *arguments: Any) -> None:
    """Call a service as a person would, whether or not the job's state allows it."""
    try:
        call(SYSTEM, *arguments)
    except JobError:
        return
    except Error as error:
        _reconnect_after(error)


def upkeep(call: Callable[[], Any]) -> None:
    """One upkeep task of the supervisor."""
    try:
        call()
    except Error as error:
        _reconnect_after(error)


def _recover() -> None:
    queue.recover_expired()


PERSONS: dict[str, Callable[..., Any]] = {
    "cancel": services.cancel,
    "retry": services.retry,
    "free": services.free_stuck,
}
UPKEEP: dict[str, Callable[[], Any]] = {"recover": _recover, "sweep": bundle_files.sweep}
