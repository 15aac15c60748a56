"""Accepting a request for work, once: equal requests that race or repeat get one job.

Two unique indexes decide, not a look before the write: one on (principal, operation, idempotency key), one on the
`active_key` of jobs that are queued or processing. Whoever loses on either waits for the winner and takes its job.
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
# A point of priority is worth so many seconds of age: a job overtakes those that are at most so much older, so that a
# flood of urgent jobs makes the others wait, but not for ever. 100 points are an hour.
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

# The row comes as one JSON text, and the workers' notice goes out with it (`wakeup.announce` in words of its own): a
# request has one statement here.
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
    """Accept a request for work. The caller has checked the principal's right to it.

    Args:
        job_type: a registered type.
        payload: what its handler needs, a JSON object.
        principal: who asks; keys are theirs alone.
        operation: what they called, such as `bundle.create`; keys of different operations do not meet.
        incident_id: the incident it concerns, when one.
        priority: -1000 to 1000; higher is claimed first, unless the other is older by 36 seconds for each point.
        idempotency_key: the caller's name for this request; the same key with an equal request gets the same job.
        request_body: what makes requests equal; `payload` when omitted.
        active_key: at most one queued or processing job has it; a request that meets one gets that job.
        exclusive_key: of queued jobs that have it, one is claimed at a time.
        needs_bytes: room on the worker's disk that it is expected to need; not claimed where there is less.
        run_after: not to be claimed before; now when omitted.

    Raises:
        InvalidRequestError: something cannot be stored, or the priority is out of range.
        IdempotencyKeyReusedError: the key was used for a request that differs.
    """
    registry.get(job_type)
    _refuse_odd_priority(priority)
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
        return _insert(values)  # one statement is a transaction
    with transaction.atomic(savepoint=False):
        known = _known_key(values)
        if known is None:
            enqueued = _insert(values)
            if not enqueued.created:
                _execute(POINT_KEY_AT, {**values, "job_id": enqueued.job.job_id})
            return enqueued
    request_hash, job = known
    if request_hash != values["request_hash"]:  # nothing was written; an error within would end a caller's transaction
        raise IdempotencyKeyReusedError(
            "This idempotency key was used before for another request; use a new key for a new request."
        )
    return Enqueued(Job.of_json(job), created=False)


def _known_key(values: dict[str, Any]) -> tuple[str, str] | None:
    """What this key stands for (request hash, job as JSON), or None once the key is ours.

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
        # The one that was in the way ended between the two statements: the way is free now.


def _execute(sql: str, values: dict[str, Any]) -> tuple[Any, ...] | None:
    return next(iter(prepared_statements.run(sql, values)), None)


def _refuse_odd_priority(priority: Any) -> None:
    if isinstance(priority, bool) or not isinstance(priority, int):
        raise InvalidRequestError("priority must be a whole number.", {"priority": "not a whole number"})
    if not LOWEST_PRIORITY <= priority <= HIGHEST_PRIORITY:
        between = f"must be from {LOWEST_PRIORITY} to {HIGHEST_PRIORITY}"
        raise InvalidRequestError(f"priority {between}.", {"priority": between})
