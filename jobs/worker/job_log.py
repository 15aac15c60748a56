"""The log of each job: kept in the database, bounded, and written to the worker's own log as it happens.

Bounded in lines, in the length of a message and in the size of its fields; credentials are cut out of all of it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from foundation.redaction import redact_text, redact_value
from foundation.storable_text import storable_json, storable_text
from jobs.models import Job

KEPT_LINES = 500
MOST_MESSAGE_CHARS = 2000
MOST_FIELDS_CHARS = 8000
LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}

# Only the lease's owner writes. A line's age is measured by the worker, its time by the database, whose clock counts.
APPEND = """
INSERT INTO orchestrator_job_log (job_id, at, level, message, fields)
SELECT job.job_id, clock_timestamp() - make_interval(secs => (line->>'age_s')::float8),
    line->>'level', line->>'message', line->'fields'
FROM orchestrator_jobs job, jsonb_array_elements(%(lines)s::jsonb) WITH ORDINALITY AS given(line, place)
WHERE job.job_id = %(job_id)s AND job.lease_token = %(token)s AND job.lease_expires_at > clock_timestamp()
ORDER BY place"""

TRIM = """
DELETE FROM orchestrator_job_log WHERE job_id = %(job_id)s AND id <= (
    SELECT id FROM orchestrator_job_log WHERE job_id = %(job_id)s ORDER BY id DESC OFFSET %(kept)s LIMIT 1)"""


@dataclass(frozen=True)
class Line:
    """One line, waiting to be stored."""

    level: str
    message: str
    fields: dict[str, Any]
    said_at: float = field(default_factory=time.monotonic)


def line_of(level: str, message: str, fields: dict[str, Any]) -> Line:
    """A line that may be stored: without credentials, of bounded size, of what PostgreSQL can hold.

    Fields that are too large give way to the beginning of their text.
    """
    kept = storable_json(redact_value(fields))
    text = json.dumps(kept)
    if len(text) > MOST_FIELDS_CHARS:
        kept = {"cut": storable_text(text, limit=MOST_FIELDS_CHARS // 2)}
    known = level if level in LEVELS else "info"
    return Line(known, storable_text(redact_text(message), limit=MOST_MESSAGE_CHARS), kept)


def append(job: Job, lines: Sequence[Line]) -> None:
    """Store `lines` at the end of the claimed job's log and drop what is more than the last 500.

    A worker whose lease is over stores nothing, silently: the log then belongs to another attempt.
    """
    now = time.monotonic()
    plain = [
        {
            "age_s": now - line.said_at,
            "level": line.level,
            "message": line.message,
            "fields": line.fields,
        }
        for line in lines
    ]
    with connection.cursor() as cursor:
        cursor.execute(APPEND, {"lines": json.dumps(plain), "job_id": job.job_id, "token": job.lease_token})
        cursor.execute(TRIM, {"job_id": job.job_id, "kept": KEPT_LINES})
