"""The job that makes a bundle: fetch, pack, sign, publish.

The file gets its name only when it is whole and on disk, its row only in the transaction that completes the job. An
attempt that dies anywhere leaves at most a staging folder and a file that the sweep can tell from all others.
"""

from __future__ import annotations

import errno
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from django.db import transaction

from bundles import file_matching, measures
from bundles.artifacts import index
from bundles.errors import BundleError
from bundles.format.cli.cli import bundle_name
from bundles.format.model.errors import CannotCheckError, FormatError, PayloadError
from bundles.format.model.fields import moment_of
from bundles.format.writing.packing import write_error
from bundles.format.writing.writer import WrittenBundle
from bundles.handlers.pack import pack
from bundles.keys import trusted_keys
from bundles.models import Bundle, Manifest
from bundles.sources import collect
from bundles.storage import bundle_files, store_identity
from bundles.timelines import timeline_store
from custody import chain
from jobs.errors import PermanentError, RetryableError
from jobs.queue.context import JobContext
from jobs.queue.job_result import JobResult

GAPS_TOLD = 20
JOB_TYPE = "bundle_create"
PHASES = ("fetching", "packing", "signing", "publishing")
RETRYABLE = frozenset(
    {"storage_full", "write_failed", "payload_truncated", "payload_longer", "payload_unreadable", "store_mismatch"}
)


def create(ctx: JobContext) -> JobResult:
    """Run one attempt of a `bundle_create` job.

    Raises:
        RetryableError: another attempt can help.
        PermanentError: none can.
    """
    started = time.monotonic()
    try:
        key, signer = trusted_keys.signing()
        store_identity.require(store_identity.ARTIFACTS)
        staging = bundle_files.make_staging(ctx.job_id, ctx.lease_token)
    except (FormatError, BundleError) as error:
        raise job_error(error) from error
    try:
        ctx.progress("fetching")
        evidence = collect.get(ctx.payload["source"]).collect(
            ctx.incident_id,
            staging,
            allow_partial=ctx.payload["allow_partial"],
            on_progress=lambda note, done, total: ctx.progress("fetching", done, total, unit="records", note=note),
            check=ctx.check,
        )
        _tell_evidence(ctx, evidence)
        written = pack(
            evidence,
            staging / "bundle",
            incident_id=ctx.incident_id,
            key=key,
            chunk_size_mb=ctx.payload["chunk_size_mb"],
            compression=ctx.payload["compression"],
            progress=lambda done, total: ctx.progress("packing" if done < total else "signing", done, total),
            ranges=True,
        )
        ctx.log("info", "packed and signed", files=len(written.manifest.files), size=written.size, key_id=key.key_id)
        hashes = {entry.path: entry.sha256 for entry in written.manifest.files}
        prepared = timeline_store.prepare(evidence.members, hashes, staging / "timeline.points", ctx.check)
        ctx.progress("publishing", written.size, written.size)
        name = _name(ctx, written)
        bundle_files.publish(written.path, name)
        ctx.log("info", "the file has its name", name=name, sha256=written.sha256)
    except BaseException as error:
        taken = bundle_files.taken(staging)
        bundle_files.withdraw(staging)
        cause = error if isinstance(error, OSError) else error.__cause__
        if isinstance(error, OSError):  # of the staging folder: sources turn their own into job errors
            error = write_error(error)
        if isinstance(error, FormatError | BundleError):
            raise _with_room(job_error(error), cause, taken) from error
        raise
    made = _Made(ctx, written, uuid4(), name, signer, staging, started, prepared)
    return JobResult(made.result(), register=made.register, discard=lambda: bundle_files.withdraw(staging))


def _tell_evidence(ctx: JobContext, evidence: collect.Evidence) -> None:
    gaps = len(evidence.missing)
    ctx.log("info", "the evidence was read", source=ctx.payload["source"], **evidence.counts, missing=gaps)
    for gap in evidence.missing[:GAPS_TOLD]:  # all of them are in the manifest
        ctx.log("warning", "left out of a partial bundle", **gap)


def job_error(error: FormatError | BundleError) -> RetryableError | PermanentError:
    """What an error of the format or of the bundles app means for the job."""
    retryable = error.code in RETRYABLE and not isinstance(error, CannotCheckError)
    # A payload is what the source's record promised: whoever reads the message must know whom to ask.
    message = f"Forensic artifacts: {error}" if isinstance(error, PayloadError) else str(error)
    return (RetryableError if retryable else PermanentError)(error.code, message)


def _with_room(
    error: RetryableError | PermanentError, cause: BaseException | None, taken_bytes: int
) -> RetryableError | PermanentError:
    """An attempt that found the disk full needs more room than it had taken: the next waits until there is.

    What is free afterwards would say nothing: others may have made room in the meantime, or have taken it. A quota, or
    a limit on the size of files, is no full disk: how much room it leaves cannot be asked.
    """
    full = isinstance(cause, OSError) and cause.errno == errno.ENOSPC
    if isinstance(error, RetryableError) and full:
        error.needs_bytes = taken_bytes + 1
    return error


def _name(ctx: JobContext, written: WrittenBundle) -> str:
    """A file name that no other attempt can have: incident, time, lease token."""
    stem, suffix = bundle_name(ctx.incident_id, str(written.manifest.metadata["compression"])).split(".tar", 1)
    return f"{stem}-{ctx.lease_token.hex}.tar{suffix}"


@dataclass(frozen=True)
class _Made:
    """A published bundle that waits for its row."""

    ctx: JobContext
    written: WrittenBundle
    bundle_id: UUID
    name: str
    signer: str
    staging: Path
    started: float
    prepared: timeline_store.Prepared

    def result(self) -> dict[str, Any]:
        """What the job answers with."""
        manifest = self.written.manifest
        return {
            "bundle_id": str(self.bundle_id),
            "name": self.name,
            "path": str(bundle_files.output_dir() / self.name),
            "size": self.written.size,
            "sha256": self.written.sha256,
            "content_digest": manifest.content_digest,
            "complete": manifest.complete,
            "missing": [dict(gap) for gap in manifest.missing],
            "files": len(manifest.files),
        }

    def register(self) -> None:
        """Write all rows of the bundle, its timeline, measures and custody line, in the completing transaction."""
        store_identity.hold(store_identity.BUNDLES)
        manifest = self.written.manifest
        bundle = Bundle.objects.create(
            bundle_id=self.bundle_id,
            incident_id=self.ctx.incident_id,
            name=self.name,
            size=self.written.size,
            sha256=self.written.sha256,
            created_at=moment_of(manifest.created_at),
            created_by=self.ctx.principal.name,
            job_id=self.ctx.job_id,
            source=self.ctx.payload["source"],
            compression=manifest.metadata["compression"],
            key_id=self.written.key_id,
            signer=self.signer,
            content_digest=manifest.content_digest,
            manifest_hash=manifest.manifest_hash,
            complete=manifest.complete,
            missing=[dict(gap) for gap in manifest.missing],
            files=len(manifest.files),
            total_bytes=manifest.total_size,
            counts=self.prepared.counts,
        )
        Manifest.objects.create(bundle=bundle, raw=self.written.manifest_bytes)
        index.keep(bundle.bundle_id, manifest.files)
        timeline_store.keep_bundled(bundle.incident_id, bundle.bundle_id, self.prepared)
        file_matching.keep(bundle, self.written.ranges)
        measures.bundle_made(size_bytes=bundle.size, duration_s=time.monotonic() - self.started)
        chain.record(
            self.ctx.principal,
            "bundle.published",
            "bundle",
            str(bundle.bundle_id),
            incident_id=bundle.incident_id,
            digest=bundle.sha256,
            outcome="ok" if bundle.complete else "partial",
            details={"content_digest": bundle.content_digest, "job_id": str(self.ctx.job_id), "name": bundle.name},
        )
        transaction.on_commit(lambda: bundle_files.remove_staging(self.staging))
