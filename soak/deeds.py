"""What workers and people do in a simulated world: the product's own calls, and a handler that publishes files."""

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
FRUITLESS = 0.4  # of the attempts have nothing to register
HEART = "wait for the heart"  # the point of a worker that would end its attempt while its heart beats


class Process:
    """A worker process: an actor that works, and one that beats while it does.

    Attributes:
        name: stable for its life; holds the leases it claims.
        pulse: of the claim it works on, while it does.
        stopping: set when it was asked to stop.
    """

    def __init__(self, name: str, worker: Actor, heart: Actor) -> None:
        self.name, self.worker, self.heart = name, worker, heart
        self.pulse: AttemptReporter | None = None
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
                self.pulse = AttemptReporter(job, PHASES, stopping=self.stopping, direct=False)
                perform(job, self.pulse, rest=self._rest)
        except Error as error:
            _reconnect_after(error)
        finally:
            self.pulse = None

    def beat(self) -> None:
        """One tick of the heart, as `jobs.worker.heartbeat_thread` does."""
        pulse, self._beating = self.pulse, True
        try:
            if pulse is not None:
                pulse.beat()
        except Error:
            connection.close()
        finally:
            self._beating = False

    def _rest(self) -> None:
        self.pulse = None
        while self._beating:
            self.worker.stop_at(HEART)


def handle(context: JobContext) -> JobResult:
    """One attempt: work, publish a file, and one of the ends that a handler can come to."""
    actor = current()
    assert actor is not None  # noqa: S101 # only actors claim
    rng = actor.rng
    polite = rng.random() < 0.8  # the rude never ask whether they should go on
    fruitless = rng.random() < FRUITLESS
    staging = bundle_files.make_staging(context.job_id, context.lease_token)
    try:
        for done in range(1, rng.randint(2, 4)):
            actor.stop_at("working")
            if polite:
                context.progress("working", done, 4)
        if fruitless:
            _end_badly(rng.random())
            bundle_files.remove_staging(staging)
            return JobResult({})
        finished = staging / "bundle"
        finished.write_bytes(context.lease_token.bytes)
        actor.stop_at("before publish")
        name = f"{context.job_id.hex}-{context.lease_token.hex}.soak"
        bundle_files.publish(finished, name)
        actor.stop_at("after publish")
        _end_badly(rng.random())
    except Exception:
        bundle_files.withdraw(staging)
        raise
    return JobResult(
        {"name": name}, register=_registration(context, name, staging), discard=lambda: bundle_files.withdraw(staging)
    )


def _end_badly(chance: float) -> None:
    if chance < 0.1:
        raise RetryableError("source_unavailable", "The source is down.")
    if chance < 0.15:
        raise PermanentError("source_refused", "The source does not know it.")
    if chance < 0.2:
        raise ValueError("a fault of the handler's")


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
    """Leave a cut connection behind; any other error of the database's is a failure of the seed."""
    if not answer_was_lost(error) or "deadlock" in str(error):
        raise error
    connection.close()


def register_type() -> None:
    """Make the simulated job type known to this process."""
    registry.register(registry.JobType(name=JOB_TYPE, title="Soak", phases=PHASES, handler=handle))


def ask(actor: Actor, answered: Callable[[tuple[str, str, str], str], None]) -> None:
    """Enqueue: now and then the same request, the same key, the same active key."""
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
    """Something a person asks of a job, whether or not its state allows it."""
    try:
        call(SYSTEM, *arguments)
    except JobError:
        return
    except Error as error:
        _reconnect_after(error)


def upkeep(call: Callable[[], Any]) -> None:
    """What the supervisor does now and then."""
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
