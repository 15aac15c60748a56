"""What people may see of workers and do to them: the list, and the request that one finishes its job and leaves.

A drain is a durable request on the worker's row. The worker reads it with its heartbeat, claims no more, finishes its
job and leaves. Its supervisor keeps the slot empty until SIGHUP or a restart (docs/job-lifecycle.md).
"""

from __future__ import annotations

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from custody import chain
from foundation import keyset
from foundation.errors import InvalidRequestError
from foundation.keyset import Page
from foundation.principal import Principal
from jobs.errors import WorkerNotFoundError
from jobs.models import Job, Status, Worker
from jobs.worker_registration import live_workers, silent_since

LIST_ORDER = ("host", "pid", "worker_id")
GONE, SILENT, DRAINING = "gone", "silent", "draining"
STATES = ("idle", "busy", DRAINING, SILENT, GONE)


def page(
    principal: Principal, *, host: str = "", state: str = "", cursor: str = "", limit: int = keyset.DEFAULT_LIMIT
) -> Page[Worker]:
    """One page of workers by host and process: live ones, unless `state` is `gone`. `current_job` is the queue's.

    Raises:
        AccessDeniedError: the principal may not see workers.
        InvalidRequestError: the state is unknown.
        CursorInvalidError: the cursor belongs to another list.
    """
    principal.require("jobs.view_worker")
    if state and state not in STATES:
        raise InvalidRequestError("There is no such state.", {"state": "one of " + ", ".join(STATES)})
    if "\x00" in host:
        return Page(items=[], next="")
    rows = _in_state(state)
    found = keyset.page(rows.filter(host=host) if host else rows, order=LIST_ORDER, cursor=cursor, limit=limit)
    jobs_held = dict(
        Job.objects.filter(status__in=[Status.PROCESSING], worker_id__in=[worker.worker_id for worker in found.items])
        .order_by("started_at")
        .values_list("worker_id", "job_id")
    )
    for worker in found.items:
        worker.current_job = jobs_held.get(worker.worker_id)
    return found


def get(principal: Principal, worker_id: str) -> Worker:
    """One live worker.

    Raises:
        AccessDeniedError: the principal may not see workers.
        WorkerNotFoundError: no live worker has that id.
    """
    principal.require("jobs.view_worker")
    worker = None if "\x00" in worker_id else live_workers().filter(worker_id=worker_id).first()
    if worker is None:
        raise WorkerNotFoundError("There is no such worker any more.")
    held = Job.objects.filter(status__in=[Status.PROCESSING], worker_id=worker_id).order_by("-started_at")
    worker.current_job = held.values_list("job_id", flat=True).first()
    return worker


def others(worker: Worker) -> int:
    """How many other live workers take new jobs."""
    return live_workers().exclude(state=Worker.State.STOPPING).exclude(worker_id=worker.worker_id).filter(
        drain_requested_at=None
    ).count()  # fmt: skip


def drain(principal: Principal, worker_id: str) -> Worker:
    """Ask a worker to finish its job, claim no other, and leave. Asking twice is no error; custody records the first.

    Raises:
        AccessDeniedError: the principal may not drain workers.
        WorkerNotFoundError: no live worker has that id.
    """
    principal.require("jobs.drain_worker")
    with transaction.atomic():
        worker = get(principal, worker_id)
        fresh = Worker.objects.filter(worker_id=worker_id, drain_requested_at=None).update(
            drain_requested_at=Now(), drain_requested_by=principal.name
        )
        if fresh:
            details = {"host": worker.host, "pid": worker.pid, "job": str(worker.current_job or "")}
            chain.record(principal, "worker.drain", "worker", worker_id, outcome="requested", details=details)
    return worker


def _in_state(state: str) -> QuerySet[Worker]:
    live = live_workers()
    late = Now() - silent_since()
    asked = ~Q(drain_requested_at=None) | Q(state=Worker.State.STOPPING)
    if state == GONE:
        return Worker.objects.exclude(worker_id__in=live.values("worker_id"))
    if state == SILENT:
        return live.filter(heartbeat_at__lte=late)
    if state == DRAINING:
        return live.filter(asked, heartbeat_at__gt=late)
    if state:
        return live.exclude(asked).filter(state=state, heartbeat_at__gt=late)
    return live
