"""The custody events of a job: what was asked for, and what came of it."""

from __future__ import annotations

from django.db.models import Q

from custody.models import Event
from jobs.models import Job

SHOWN = 20


def events_of(job: Job) -> list[Event]:
    """The newest events of the job itself, and those of its bundle, upload or incident that name the job."""
    named = {**job.payload, **(job.result or {})}
    concerned = {
        "bundle": named.get("bundle_id"), "upload": named.get("upload_id"), "incident": job.incident_id,
    }  # fmt: skip
    wanted = Q(object_type="job", object_id=str(job.job_id))
    for object_type, object_id in concerned.items():
        if object_id:
            wanted |= Q(object_type=object_type, object_id=str(object_id), details__contains=str(job.job_id))
    return list(Event.objects.filter(wanted)[:SHOWN])
