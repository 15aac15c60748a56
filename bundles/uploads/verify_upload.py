"""The job that verifies a file somebody uploaded: whole, by the trusted keys, where it lies in quarantine.

The file is judged and nothing else: it becomes no bundle of ours. The verdict names the SHA-256 of the bytes it speaks
of, also where they were refused, and tells whether we hold the same file.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from bundles.errors import BundleError
from bundles.format.model.errors import CannotCheckError
from bundles.format.model.limits import MIB
from bundles.format.reading.report import check_bundle
from bundles.handlers.create import job_error
from bundles.keys import trusted_keys
from bundles.models import Bundle
from bundles.storage import bundle_files
from bundles.uploads.quarantine import Upload
from custody import chain
from foundation.principal import Principal
from jobs.errors import PermanentError
from jobs.queue import queue
from jobs.queue.context import JobContext
from jobs.queue.job_result import Enqueued, JobResult

JOB_TYPE = "upload_verify"
PHASES = ("verifying", "hashing")


def request(principal: Principal, upload: Upload, name: str) -> Enqueued:
    """Queue the verification of an upload; once for each.

    Args:
        principal: who asks; needs `bundles.verify_bundle`.
        upload: in quarantine, where the sweep leaves it alone as long as the job is active.
        name: what the sender calls it.

    Raises:
        AccessDeniedError: the principal may not verify.
    """
    principal.require("bundles.verify_bundle")
    relative = f"{bundle_files.QUARANTINE}/{Path(upload.path).name}"
    shown = name[:255].replace("\x00", "%00").encode("utf-8", "backslashreplace").decode("utf-8")
    payload = {"bundle_path": relative, "upload_id": upload.upload_id, "name": shown, "size": upload.size}
    return queue.enqueue(
        JOB_TYPE, payload, principal=principal, operation="upload.verify", idempotency_key=upload.upload_id
    )


def verify(ctx: JobContext) -> JobResult:
    """Run one attempt of an `upload_verify` job.

    Raises:
        PermanentError: `upload_gone`, or nothing could be decided, such as when no key is readable.
        RetryableError: `store_mismatch`: this host has not the quarantine that the file is in.
    """
    try:
        path = bundle_files.quarantine() / Path(ctx.payload["bundle_path"]).name
    except BundleError as error:
        raise job_error(error) from error
    if not path.is_file():
        raise PermanentError("upload_gone", "The uploaded file is no longer in quarantine. Upload it again.")
    ctx.progress("verifying", 0, None)
    try:
        report = check_bundle(
            path, trusted_keys.trusted(), progress=lambda done, total: ctx.progress("verifying", done, total)
        ).as_dict()
    except CannotCheckError as error:
        raise job_error(error) from error
    report["bundle"] = ctx.payload["name"]
    report["sha256"] = report["sha256"] or _sha256(ctx, path)
    held = Bundle.objects.filter(sha256=report["sha256"]).order_by("created_at").first()
    result: dict[str, Any] = {"report": report, "held": str(held.bundle_id) if held else ""}

    def register() -> None:
        ok = bool(report["verified"])
        chain.record(
            ctx.principal,
            "upload.verified" if ok else "upload.verify_failed",
            "upload",
            ctx.payload["upload_id"],
            incident_id=report["incident_id"] or "",
            digest=report["sha256"],
            outcome="ok" if ok else str(report["error"]["code"]),
            details={"job_id": str(ctx.job_id), "held": result["held"]},
        )

    return JobResult(result, register=register)


def _sha256(ctx: JobContext, path: Path) -> str:
    """Of the whole file: a refused one was not read to its end."""
    size, done, digest = path.stat().st_size, 0, hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(4 * MIB):
            digest.update(block)
            done += len(block)
            ctx.progress("hashing", done, size)
    return digest.hexdigest()
