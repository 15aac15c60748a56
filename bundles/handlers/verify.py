"""The job that verifies a bundle of ours: the whole file, by the trusted keys, against what was registered.

The verdict is the job's result, whatever it is: a job that proved a bundle wrong has done its work.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from bundles import file_matching
from bundles.errors import BundleError
from bundles.format.model import paths
from bundles.format.model.errors import STEPS, CannotCheckError, FormatError
from bundles.format.reading.ranges import range_lane
from bundles.format.reading.report import check_bundle
from bundles.format.reading.single import extract_file
from bundles.handlers.create import job_error
from bundles.keys import trusted_keys
from bundles.models import Bundle, KeptTimeline, Verification
from bundles.storage import bundle_files, store_identity
from bundles.timelines import timeline_store
from custody import chain
from jobs.errors import PermanentError
from jobs.queue.context import JobContext
from jobs.queue.job_result import JobResult

JOB_TYPE = "bundle_verify"
PHASES = ("verifying",)


def verify(ctx: JobContext) -> JobResult:
    """Run one attempt of a `bundle_verify` job.

    Raises:
        PermanentError: nothing could be decided, such as when no key is readable.
        RetryableError: `store_mismatch`: this host cannot say whether the file is there.
    """
    bundle = Bundle.objects.filter(bundle_id=ctx.payload["bundle_id"]).first()
    if bundle is None:
        raise PermanentError("bundle_not_found", "The bundle is no longer registered.")
    ctx.progress("verifying", 0, bundle.total_bytes)
    path = bundle_files.output_dir() / bundle.name
    try:
        lost = bundle_files.is_lost(bundle.name)
    except BundleError as error:
        raise job_error(error) from error
    ranges = ""
    if lost:
        report = _lost_report(bundle)
    else:
        try:
            with range_lane(bundle.size) as lane:
                report = check_bundle(
                    path,
                    trusted_keys.trusted(),
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

    if report["verified"]:
        ctx.log("info", "every check passed", sha256=report["sha256"], key_id=report["key_id"])
    else:
        ctx.log("error", "not verified", code=report["error"]["code"], detail=report["error"]["detail"])
    uncounted = bundle.counts is None and report["verified"]
    prepared = _read_records(ctx, path) if uncounted else None

    def register() -> None:
        store_identity.hold(store_identity.BUNDLES)
        ok = bool(report["verified"])
        verification = Verification.objects.create(
            bundle=bundle, at=Now(), ok=ok, report=report, job_id=ctx.job_id, requested_by=ctx.principal.name
        )
        verification.refresh_from_db()
        Bundle.objects.filter(bundle_id=bundle.bundle_id).update(
            verified_at=verification.at, verified_ok=ok, state=Bundle.State.LOST if lost else Bundle.State.READY
        )
        if prepared is not None:
            _keep(bundle, prepared)
            transaction.on_commit(lambda: _clean_up(ctx))
        if ok:
            file_matching.keep(bundle, ranges)
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

    return JobResult(
        {"bundle_id": str(bundle.bundle_id), "report": report}, register=register, discard=lambda: _clean_up(ctx)
    )


def _read_records(ctx: JobContext, path: Path) -> timeline_store.Prepared | None:
    """Read the records of a verified bundle that was made before records were counted; the verdict needs none of it."""
    try:
        staging = bundle_files.make_staging(ctx.job_id, ctx.lease_token)
        members, hashes = {}, {}
        for member in paths.DATA_MEMBERS:
            into = staging / member.removesuffix(".json")
            try:
                matched = extract_file(path, trusted_keys.trusted(), member, into)
            except CannotCheckError as error:
                if error.code != "not_listed":
                    raise
                continue
            members[member], hashes[member] = into / member, matched.entry.sha256
        return timeline_store.prepare(members, hashes, staging / "timeline.points", ctx.check)
    except (FormatError, BundleError, OSError) as error:
        ctx.log("warning", "the records could not be read for the incident's page", error=str(error))
        _clean_up(ctx)
        return None


def _keep(bundle: Bundle, prepared: timeline_store.Prepared) -> None:
    Bundle.objects.filter(bundle_id=bundle.bundle_id).update(counts=prepared.counts)
    known = KeptTimeline.objects.filter(incident_id=bundle.incident_id, origin=KeptTimeline.Origin.BUNDLE)
    if not known.exists():
        timeline_store.keep_bundled(bundle.incident_id, bundle.bundle_id, prepared)


def _clean_up(ctx: JobContext) -> None:
    bundle_files.remove_staging(bundle_files.staging_of(ctx.job_id, ctx.lease_token))


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
