"""The job that verifies a stored bundle: the whole file, with the trusted keys, against its registered SHA-256.

The verdict is the job's result. A job that finds a bundle not verified is completed, not failed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from bundles import file_matching
from bundles.artifacts import index
from bundles.errors import BundleError
from bundles.format.model import paths
from bundles.format.model.errors import STEPS, CannotCheckError, FormatError
from bundles.format.reading.ranges import range_lane
from bundles.format.reading.report import check_bundle
from bundles.format.reading.single import extract_file
from bundles.handlers.errors import job_error
from bundles.keys import trusted_keys
from bundles.models import Bundle, KeptTimeline, Verification
from bundles.storage import bundle_files, store_identity
from bundles.timelines import record_index
from custody import chain
from jobs.errors import PermanentError
from jobs.models import Job
from jobs.queue import registry
from jobs.queue.context import JobContext
from jobs.queue.job_result import JobResult

JOB_TYPE = "bundle_verify"
PHASES = ("verifying",)


def verify(ctx: JobContext) -> JobResult:
    """Run one attempt of a `bundle_verify` job.

    Raises:
        PermanentError: the bundle could not be checked, for example because no key is readable.
        RetryableError: `store_mismatch`: this host does not have the store, so the file's absence means nothing.
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
            "detail": "The file is a verified bundle, but not the registered one: it has another SHA-256.",
        }

    if report["verified"]:
        ctx.log("info", "Every check passed.", sha256=report["sha256"], key_id=report["key_id"])
    else:
        ctx.log("error", "The bundle is not verified.", code=report["error"]["code"], detail=report["error"]["detail"])
    uncounted = bundle.counts is None and report["verified"]
    read = _read_records(ctx, bundle, path) if uncounted else None

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
        if read is not None:
            _save_records(bundle, read)
            transaction.on_commit(lambda: _clean_up(ctx))
        if ok:
            file_matching.store_digests(bundle, ranges)
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


@dataclass(frozen=True)
class _Records:
    """What the records of a bundle say: its timeline and counts, and each artifact."""

    prepared: record_index.Prepared
    artifacts: dict[str, index.Description]


def summary(job: Job) -> registry.Summary:
    """The verdict of a completed verification, of a bundle or of an uploaded file."""
    report = (job.result or {}).get("report") or {}
    if not report.get("verified"):
        return registry.Summary(kind="unsafe", words="Not verified")
    if not report.get("complete", True):
        return registry.Summary(kind="partial", words="Verified, but partial")
    return registry.Summary(kind="verified", words="Verified")


def _read_records(ctx: JobContext, bundle: Bundle, path: Path) -> _Records | None:
    """Read the records of a verified bundle whose records were not counted yet; errors do not affect the verdict."""
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
        said: dict[str, index.Description] = {}
        prepared = record_index.prepare(
            members,
            hashes,
            staging / "records.rows",
            ctx.check,
            on_artifact=partial(index.collect, said),
            rules=record_index.rules_of({"sources": bundle.sources}),
        )
        if not _is_indexed(bundle.incident_id):
            prepared = record_index.write_hidden(bundle.incident_id, prepared, ctx.lease_token, ctx.check)
        return _Records(prepared, said)
    except (FormatError, BundleError, OSError) as error:
        ctx.log("warning", "The records could not be read for the page of the incident.", error=str(error))
        _clean_up(ctx)
        return None


def _save_records(bundle: Bundle, read: _Records) -> None:
    Bundle.objects.filter(bundle_id=bundle.bundle_id).update(counts=read.prepared.counts)
    index.describe(bundle.bundle_id, read.artifacts)
    if not _is_indexed(bundle.incident_id):
        record_index.keep_bundled(bundle.incident_id, bundle.bundle_id, read.prepared)


def _is_indexed(incident_id: str) -> bool:
    return KeptTimeline.objects.filter(incident_id=incident_id, origin=KeptTimeline.Origin.BUNDLE).exists()


def _clean_up(ctx: JobContext) -> None:
    bundle_files.remove_staging(bundle_files.staging_of(ctx.job_id, ctx.lease_token))


def _lost_report(bundle: Bundle) -> dict[str, Any]:
    """The report for a missing file: no step was checked."""
    return {
        "verified": False,
        "bundle": bundle.name,
        **dict.fromkeys(
            ("sha256", "size", "incident_id", "created_at", "key_id", "signer", "complete", "missing", "files", "bytes")
        ),
        "content_digest": None,
        "manifest_hash": None,
        "checks": [{"name": name, "ok": None} for name in STEPS],
        "error": {"code": "bundle_lost", "detail": "The bundle's file is missing."},
        "seconds": 0.0,
    }
