"""Accepts a request for work once: equal requests that race or repeat get one job.

Two unique indexes decide, not a query before the write: one on (principal, operation, idempotency key), one on the
`active_key` of queued or processing jobs. A request that conflicts with another waits for it and gets its job.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from datetime import datetime
from typing import Any

from django.db import transaction

from foundation import prepared_statements
from foundation.errors import InvalidRequestError
from foundation.principal import Principal
from foundation.storable_text import refuse_unstorable, storable_text
from jobs.errors import IdempotencyKeyReusedError
from jobs.models import Job
from jobs.queue import registry, wakeup
from jobs.queue.job_result import Enqueued

LOWEST_PRIORITY, HIGHEST_PRIORITY = -1000, 1000
MAX_KEY_CHARS = 200
# Seconds of age that a point of priority is worth: a job overtakes those that are older by at most that much, so that a
# flood of urgent jobs delays the others, but not for ever. 100 points are an hour.
POINT_S = 36.0

REMEMBER_KEY = """
INSERT INTO orchestrator_idempotency (principal, operation, key, request_hash, job_id, created_at)
VALUES (%(requested_by)s, %(operation)s, %(key)s, %(request_hash)s, %(job_id)s, clock_timestamp())
ON CONFLICT (principal, operation, key) DO NOTHING RETURNING job_id"""

KNOWN_KEY = """
SELECT request_hash, to_json(job)::text FROM orchestrator_idempotency JOIN orchestrator_jobs job USING (job_id)
WHERE principal = %(requested_by)s AND operation = %(operation)s AND key = %(key)s"""

POINT_KEY_AT = """
UPDATE orchestrator_idempotency SET job_id = %(job_id)s
WHERE principal = %(requested_by)s AND operation = %(operation)s AND key = %(key)s RETURNING job_id"""

# Returns the row as one JSON text and notifies the workers, as `wakeup.announce` does: one statement for a request.
INSERT_JOB = """
WITH made AS (
INSERT INTO orchestrator_jobs
    (job_id, job_type, status, payload, idempotency_key, created_at, run_after, priority, incident_id, requested_by,
     active_key, exclusive_key, needs_bytes, order_at, max_retries, retry_count, attempts, progress, cancel_requested,
     worker_id, error_code, error_message)
VALUES
    (%(job_id)s, %(job_type)s, 'queued', %(payload)s::jsonb, %(key)s, clock_timestamp(),
     COALESCE(%(run_after)s::timestamptz, clock_timestamp()), %(priority)s, %(incident_id)s, %(requested_by)s,
     %(active_key)s, %(exclusive_key)s, %(needs_bytes)s,
     clock_timestamp() - make_interval(secs => %(priority)s::int * %(point_s)s), 3, 0, 0, '{}', false, '', '', '')
ON CONFLICT (active_key) WHERE status IN ('queued', 'processing') DO NOTHING RETURNING *)
SELECT to_json(made)::text, CASE WHEN %(channel)s::text <> '' THEN pg_notify(%(channel)s, COALESCE(
    GREATEST(0, extract(epoch FROM %(run_after)s::timestamptz - clock_timestamp()))::text, '')) END FROM made"""

ACTIVE_JOB = """
SELECT * FROM orchestrator_jobs WHERE active_key = %(active_key)s AND status IN ('queued', 'processing')"""


def enqueue(
    job_type: str,
    payload: dict[str, Any],
    *,
    principal: Principal,
    operation: str,
    incident_id: str = "",
    priority: int = 100,
    idempotency_key: str = "",
    request_body: dict[str, Any] | None = None,
    active_key: str | None = None,
    exclusive_key: str | None = None,
    needs_bytes: int = 0,
    run_after: datetime | None = None,
) -> Enqueued:
    """Accept a request for work. The caller has checked the principal's permission.

    Args:
        job_type: a registered type.
        payload: the handler's parameters, a JSON object.
        principal: who asks; idempotency keys are theirs alone.
        operation: what they called, such as `bundle.create`; each operation has its own idempotency keys.
        incident_id: the incident it concerns, if any.
        priority: -1000 to 1000; higher is claimed first, unless the other is older by 36 seconds for each point.
        idempotency_key: the caller's name for this request; the same key with an equal request gets the same job.
        request_body: compared to decide whether requests are equal; `payload` when omitted.
        active_key: at most one queued or processing job has it; a request with the same key gets that job.
        exclusive_key: of the jobs that have it, one runs at a time.
        needs_bytes: disk space that it is expected to need on the worker's host; not claimed where there is less.
        run_after: earliest time of the claim; now when omitted.

    Raises:
        InvalidRequestError: something cannot be stored, or the priority is out of range.
        IdempotencyKeyReusedError: the key was used for another request.
    """
    registry.get(job_type)
    _refuse_bad_priority(priority)
    if len(idempotency_key) > MAX_KEY_CHARS:
        too_long = f"is longer than {MAX_KEY_CHARS} characters"
        raise InvalidRequestError(f"idempotency_key {too_long}.", {"idempotency_key": too_long})
    for field, value in (
        ("payload", payload), ("request", request_body), ("idempotency_key", idempotency_key),
        ("active_key", active_key), ("exclusive_key", exclusive_key), ("incident_id", incident_id),
    ):  # fmt: skip
        refuse_unstorable(field, value)
    same = {"payload": payload if request_body is None else request_body, "job_type": job_type}
    values: dict[str, Any] = {
        "job_id": uuid.uuid4(), "job_type": job_type, "payload": json.dumps(payload), "key": idempotency_key,
        "run_after": run_after, "priority": priority, "incident_id": incident_id, "active_key": active_key,
        "exclusive_key": exclusive_key, "needs_bytes": needs_bytes,
        "requested_by": storable_text(principal.name), "operation": operation,
        "request_hash": hashlib.sha256(json.dumps(same, sort_keys=True).encode("ascii")).hexdigest(),
    }  # fmt: skip
    if not idempotency_key:
        return _insert(values)  # one statement needs no transaction around it
    with transaction.atomic(savepoint=False):
        known = _known_key(values)
        if known is None:
            enqueued = _insert(values)
            if not enqueued.created:
                _execute(POINT_KEY_AT, {**values, "job_id": enqueued.job.job_id})
            return enqueued
    request_hash, job = known
    if request_hash != values["request_hash"]:  # outside the block: an error inside would end a caller's transaction
        raise IdempotencyKeyReusedError(
            "This idempotency key was used before for another request; use a new key for a new request."
        )
    return Enqueued(Job.of_json(job), created=False)


def _known_key(values: dict[str, Any]) -> tuple[str, str] | None:
    """The request hash and the job (as JSON) that the key was used for, or None when it is new and now ours.

    Waits for a racing transaction with the same key.
    """
    while _execute(REMEMBER_KEY, values) is None:
        known = _execute(KNOWN_KEY, values)
        if known is not None:
            return known[0], known[1]
        # Its job was purged between the two statements: the key is free again.
    return None


def _insert(values: dict[str, Any]) -> Enqueued:
    while True:
        made = prepared_statements.run(INSERT_JOB, {**values, "channel": wakeup.channel(), "point_s": POINT_S})
        if made:
            return Enqueued(Job.of_json(made[0][0]), created=True)
        for job in Job.objects.raw(ACTIVE_JOB, values):
            return Enqueued(job, created=False)
        # The conflicting job ended between the two statements: insert again.


def _execute(sql: str, values: dict[str, Any]) -> tuple[Any, ...] | None:
    return next(iter(prepared_statements.run(sql, values)), None)


def _refuse_bad_priority(priority: Any) -> None:
    if isinstance(priority, bool) or not isinstance(priority, int):
        raise InvalidRequestError("priority must be a whole number.", {"priority": "not a whole number"})
    if not LOWEST_PRIORITY <= priority <= HIGHEST_PRIORITY:
        between = f"must be from {LOWEST_PRIORITY} to {HIGHEST_PRIORITY}"
        raise InvalidRequestError(f"priority {between}.", {"priority": between})
