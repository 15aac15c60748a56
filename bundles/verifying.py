"""The job that verifies a bundle of ours: the whole file, by the trusted keys, against what was registered.

The verdict is the job's result, whatever it is: a job that proved a bundle wrong has done its work.
"""

from __future__ import annotations

from typing import Any

from django.db.models.functions import Now

from bundles import held_copies, keys, storage
from bundles.building import job_error
from bundles.format.errors import STEPS, CannotCheckError
from bundles.format.ranges import range_lane
from bundles.format.report import check_bundle
from bundles.models import Bundle, Verification
from custody import chain
from jobs.context import JobContext
from jobs.errors import PermanentError
from jobs.outcome import Finished

JOB_TYPE = "bundle_verify"
PHASES = ("verifying",)


def verify(ctx: JobContext) -> Finished:
    """Run one attempt of a `bundle_verify` job.

    Raises:
        PermanentError: nothing could be decided, such as when no key is readable.
    """
    bundle = Bundle.objects.filter(bundle_id=ctx.payload["bundle_id"]).first()
    if bundle is None:
        raise PermanentError("bundle_not_found", "The bundle is no longer registered.")
    ctx.progress("verifying", 0, bundle.total_bytes)
    path = storage.output_dir() / bundle.name
    lost = not path.exists()
    ranges = ""
    if lost:
        report = _lost_report(bundle)
    else:
        try:
            with range_lane(bundle.size) as lane:
                report = check_bundle(
                    path,
                    keys.trusted(),
                    progress=lambda done, total: ctx.progress("verifying", done, total),
                    on_raw=lane.update,
                ).as_dict()
                ranges = lane.hexdigest()
        except CannotCheckError as error:
            raise job_error(error) from error
    if report["verified"] and report["sha256"] != bundle.sha256:
        report["verified"] = False
        report["error"] = {
            "code": "bundle_replaced",
            "detail": "The file is a sound bundle, but not the one that was registered: its SHA-256 is another.",
        }

    def register() -> None:
        ok = bool(report["verified"])
        verification = Verification.objects.create(
            bundle=bundle, at=Now(), ok=ok, report=report, job_id=ctx.job_id, requested_by=ctx.principal.name
        )
        verification.refresh_from_db()
        Bundle.objects.filter(bundle_id=bundle.bundle_id).update(
            verified_at=verification.at, verified_ok=ok, state=Bundle.State.LOST if lost else Bundle.State.READY
        )
        if ok:
            held_copies.keep(bundle, ranges)
        chain.record(
            ctx.principal,
            "bundle.verified" if ok else "bundle.verify_failed",
            "bundle",
            str(bundle.bundle_id),
            incident_id=bundle.incident_id,
            digest=report["sha256"] or "",
            outcome="ok" if ok else str(report["error"]["code"]),
            details={"job_id": str(ctx.job_id), "registered_sha256": bundle.sha256},
        )

    return Finished({"bundle_id": str(bundle.bundle_id), "report": report}, register=register)


def _lost_report(bundle: Bundle) -> dict[str, Any]:
    """The report for a file that is not there: nothing was checked, so nothing is claimed."""
    return {
        "verified": False,
        "bundle": bundle.name,
        **dict.fromkeys(
            ("sha256", "size", "incident_id", "created_at", "key_id", "signer", "complete", "missing", "files", "bytes")
        ),
        "content_digest": None,
        "manifest_hash": None,
        "checks": [{"name": name, "ok": None} for name in STEPS],
        "error": {"code": "bundle_lost", "detail": "The bundle's file is not where it belongs."},
        "seconds": 0.0,
    }
