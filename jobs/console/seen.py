"""Finds out by one query whether a live part would look the same as the one that its page has.

The tag of a part is signed for its reader's session, so only who was shown that part knows it. The answer says nothing
but "unchanged", and that for `LASTS_S` at most: session and permission are checked whenever a part is made.
"""

from __future__ import annotations

import time
import zlib
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare, salted_hmac

from jobs.models import Job

# Times such as "2 min ago", and why a job waits, follow from more than its row: a part is as old as this at most.
LASTS_S = 90
VERSION_CHARS = 8
FIELDS = tuple(field.attname for field in Job._meta.concrete_fields)  # noqa: SLF001 # Django's documented API


def tag_of(request: HttpRequest, job: Job) -> str:
    """A text that changes with the job's row, and once in `LASTS_S` in any case, not for all jobs at once.

    Its first `VERSION_CHARS` change with the row only.
    """
    return _tag(request, job.job_id, tuple(getattr(job, name) for name in FIELDS))


def is_unchanged(request: HttpRequest, job_id: UUID) -> bool:
    """Whether the page has the part with the job's present tag, which it names as `seen`."""
    given = request.GET.get("seen", "")
    row = Job.objects.filter(job_id=job_id).values_list(*FIELDS).first() if given else None
    return row is not None and constant_time_compare(given, _tag(request, job_id, row))


def _tag(request: HttpRequest, job_id: UUID, row: tuple[Any, ...]) -> str:
    period = int(time.time() + zlib.crc32(job_id.bytes) % LASTS_S) // LASTS_S
    session = request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")
    return f"{_sign(session, row)[:VERSION_CHARS]}{_sign(session, row, period)[:32]}"


def _sign(*parts: object) -> str:
    return salted_hmac("jobs.console.seen", repr(parts), algorithm="sha256").hexdigest()
