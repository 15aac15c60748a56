"""The job that reads a delivered file for its preview; nothing of the evidence is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from bundles.errors import BundleError
from bundles.handlers.errors import job_error
from bundles.intake import preview, store
from bundles.intake.delivered import Delivered
from bundles.models import Intake
from foundation.principal import Principal
from jobs.errors import PermanentError
from jobs.queue import queue
from jobs.queue.context import JobContext
from jobs.queue.job_result import Enqueued, JobResult

JOB_TYPE = "intake_read"
PHASES = ("reading",)


def request(
    principal: Principal, intake: Intake, *, kind: str = "", mapping: Mapping[str, str] | None = None
) -> Enqueued:
    """Queue the reading of a delivered file; each call reads it once more.

    Args:
        principal: who asks.
        intake: the file.
        kind: as which its records are read; recognised if empty.
        mapping: see `services.request_bundle`.
    """
    about = {"intake_id": str(intake.intake_id), "name": intake.name, "size": intake.size}
    file = {"id": str(intake.intake_id), "name": intake.name, "sha256": intake.sha256}  # as in a job that bundles
    return queue.enqueue(
        JOB_TYPE,
        {**about, "intake": file, "kind": kind, "mapping": dict(mapping or {})},
        principal=principal,
        operation="intake.read",
    )


def read(ctx: JobContext) -> JobResult:
    """Run one attempt of an `intake_read` job.

    Raises:
        PermanentError: `intake_gone`.
        RetryableError: `store_mismatch`: this host does not have the store with the file.
    """
    intake_id = UUID(ctx.payload["intake_id"])
    try:
        folder = store.folder_of(intake_id)
    except BundleError as error:
        raise job_error(error) from error
    asked: dict[str, Any] = {"kind": ctx.payload["kind"], "mapping": ctx.payload["mapping"]}
    delivered = Delivered(folder, ctx.payload["name"], check=ctx.check, **asked)
    if not delivered.path.is_file():
        raise PermanentError("intake_gone", "The delivered file is no longer here. Import it again.")
    ctx.progress("reading", 0, None, unit="records")
    found = preview.of(delivered, lambda records: ctx.progress("reading", records, None, unit="records"))
    found["asked"] = asked
    counts = {
        "events": sum(one["events"] for one in found["records"]),
        "alerts": sum(one["alerts"] for one in found["records"]),
        "files": found["files"],
    }

    def register() -> None:
        # Only the newest reading counts, whichever ends last.
        Intake.objects.filter(intake_id=intake_id, preview_job_id=ctx.job_id).update(preview=found)

    return JobResult({"intake_id": str(intake_id), **counts}, register=register)
