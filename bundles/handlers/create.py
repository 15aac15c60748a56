"""The job that makes a bundle: fetch, pack, sign, publish.

The file gets its name once it is complete and synced, its row in the transaction that completes the job. An attempt
that dies leaves at most a staging folder and a file that the sweep recognizes, and what it fetched, with which the next
attempt goes on. What was fetched is dropped when the job ends, when the disk is full, and when it cannot be packed.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.db import transaction

from bundles import file_matching, measures
from bundles.artifacts import index
from bundles.errors import BundleError
from bundles.format.cli.cli import bundle_name
from bundles.format.model.errors import FormatError
from bundles.format.model.fields import moment_of
from bundles.format.model.limits import MIB
from bundles.format.writing.packing import write_error
from bundles.format.writing.writer import WrittenBundle
from bundles.handlers import verify_request
from bundles.handlers.errors import job_error
from bundles.handlers.pack import pack
from bundles.keys import trusted_keys
from bundles.models import Bundle, Intake, Manifest
from bundles.sources import collect
from bundles.storage import bundle_files, store_identity
from bundles.timelines import record_index
from custody import chain
from jobs.errors import CancelledError, PermanentError, RetryableError
from jobs.queue.context import JobContext
from jobs.queue.job_result import JobResult

GAPS_LOGGED = 20
KEEPING = frozenset({"live", "intake"})  # sources whose attempts go on where the last one ended
JOB_TYPE = "bundle_create"
IDENTITY = ("adapter", "adapter_version", "profile", "system", "ref", "severities", "times", "as_of", "notes")
PHASES = ("fetching", "packing", "signing", "publishing")


def create(ctx: JobContext) -> JobResult:
    """Run one attempt of a `bundle_create` job.

    Raises:
        RetryableError: another attempt can help.
        PermanentError: no other attempt can help.
    """
    started = time.monotonic()
    try:
        key, signer = trusted_keys.signing()
        store_identity.require(store_identity.ARTIFACTS)
        staging = bundle_files.make_staging(ctx.job_id, ctx.lease_token)
        fetched = staging
        if ctx.payload["source"] in KEEPING:
            fetched = bundle_files.make_fetched(ctx.job_id, ctx.lease_token)
    except (FormatError, BundleError) as error:
        raise job_error(error) from error
    evidence: collect.Evidence | None = None
    try:
        ctx.progress("fetching")
        evidence = collect.source_of(ctx.payload).collect(
            ctx.incident_id,
            fetched,
            allow_partial=ctx.payload["allow_partial"],
            on_progress=lambda fetched: _report(ctx, fetched),
            check=ctx.check,
        )
        _log_evidence(ctx, evidence)
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
        ctx.log(
            "info", "Packed and signed the bundle.", files=len(written.manifest.files), size=written.size,
            key_id=key.key_id,
        )  # fmt: skip
        hashes = {entry.path: entry.sha256 for entry in written.manifest.files}
        said: dict[str, index.Description] = {}
        prepared = record_index.prepare(
            evidence.members,
            hashes,
            staging / "records.rows",
            ctx.check,
            on_artifact=partial(index.collect, said),
            rules=record_index.rules_of(written.manifest.metadata),
        )
        ctx.progress("publishing", written.size, written.size)
        prepared = record_index.write_hidden(ctx.incident_id, prepared, ctx.lease_token, ctx.check)
        name = _name(ctx, written)
        bundle_files.publish(written.path, name)
        ctx.log("info", "Published the file in the bundle store.", name=name, sha256=written.sha256)
    except BaseException as error:
        used_bytes = bundle_files.disk_usage(staging)
        if fetched != staging:
            used_bytes += bundle_files.disk_usage(fetched)
        if evidence is None:  # scratch files have no names, and packing takes room beside what was fetched
            used_bytes *= 2
        bundle_files.withdraw(staging)
        cause = error if isinstance(error, OSError) else error.__cause__
        if isinstance(error, OSError):  # from the staging folder; sources raise job errors
            error = write_error(error)
        if _is_useless(ctx, error):
            bundle_files.drop_fetched(ctx.job_id, ctx.lease_token)
        if isinstance(error, FormatError | BundleError):
            raise _with_needed_bytes(job_error(error), cause, used_bytes) from error
        raise
    made = _PublishedBundle(ctx, written, uuid4(), name, signer, staging, started, prepared, said)
    return JobResult(made.result(), register=made.register, discard=lambda: bundle_files.withdraw(staging))


def _is_useless(ctx: JobContext, error: BaseException) -> bool:
    """Whether what was fetched serves no other attempt after this error, or stands in its way."""
    if isinstance(error, RetryableError) and ctx.last_try:
        return True
    return isinstance(error, PermanentError | CancelledError | FormatError | BundleError)


def _report(ctx: JobContext, fetched: collect.Fetched) -> None:
    """Report collecting in bytes, with records and the stated length as a note; restored evidence only in records."""
    note = f"{fetched.what}: {fetched.records:,} records in all"
    if fetched.answer_total_bytes is not None:
        note = f"{note}; {fetched.answer_bytes / MIB:.1f} of {fetched.answer_total_bytes / MIB:.1f} MiB of its answer"
    if fetched.received_bytes:
        ctx.progress("fetching", fetched.received_bytes, note=note)
    else:
        ctx.progress("fetching", fetched.records, unit="records", note=note)


def _log_evidence(ctx: JobContext, evidence: collect.Evidence) -> None:
    gaps = len(evidence.missing)
    read = ", ".join(f"{number:,} {name}" for name, number in evidence.counts.items())
    lacks = f"{gaps:,} parts are missing" if gaps else "nothing is missing"
    ctx.log(
        "info", f"Read {read or 'no records'}; {lacks}.", source=ctx.payload["source"], **evidence.counts, missing=gaps
    )
    for gap in evidence.missing[:GAPS_LOGGED]:  # the manifest lists all
        ctx.log("warning", "Left out of the partial bundle: a part of the evidence.", **gap)


def _with_needed_bytes(
    error: RetryableError | PermanentError, cause: BaseException | None, used_bytes: int
) -> RetryableError | PermanentError:
    """If the disk was full, make the next attempt wait until there is more free space than this one used.

    The free space at this moment would be no measure, since other processes use and free space. ENOSPC only: the space
    left by a quota or a limit on file size cannot be queried.
    """
    full = isinstance(cause, OSError) and cause.errno == errno.ENOSPC
    if isinstance(error, RetryableError) and full:
        error.needs_bytes = used_bytes + 1
    return error


def _identities(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """By which adapter, as what, and as of when each part was read; nothing for evidence that was restored."""
    found = {
        part: {name: entry[name] for name in IDENTITY if name in entry} for part, entry in metadata["sources"].items()
    }
    return {part: entry for part, entry in found.items() if entry}


def _name(ctx: JobContext, written: WrittenBundle) -> str:
    """A file name that no other attempt has: incident, time, lease token."""
    stem, suffix = bundle_name(ctx.incident_id, str(written.manifest.metadata["compression"])).split(".tar", 1)
    return f"{stem}-{ctx.lease_token.hex}.tar{suffix}"


@dataclass(frozen=True)
class _PublishedBundle:
    """A published bundle that is not registered yet."""

    ctx: JobContext
    written: WrittenBundle
    bundle_id: UUID
    name: str
    signer: str
    staging: Path
    started: float
    prepared: record_index.Prepared
    said: dict[str, index.Description]

    def result(self) -> dict[str, Any]:
        """The job's result."""
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
        """In the completing transaction: write the bundle's rows and custody, and queue its verification."""
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
            sources=_identities(manifest.metadata),
        )
        Manifest.objects.create(bundle=bundle, raw=self.written.manifest_bytes)
        index.add(bundle.bundle_id, manifest.files, self.said)
        record_index.keep_bundled(bundle.incident_id, bundle.bundle_id, self.prepared)
        file_matching.store_digests(bundle, self.written.ranges)
        measures.bundle_made(size_bytes=bundle.size, duration_s=time.monotonic() - self.started)
        who = self.ctx.principal
        verification = verify_request.enqueue(who, bundle) if settings.ORCH_VERIFY_AFTER_CREATE else None
        chain.record(
            who,
            "bundle.published",
            "bundle",
            str(bundle.bundle_id),
            incident_id=bundle.incident_id,
            digest=bundle.sha256,
            outcome="ok" if bundle.complete else "partial",
            details={"content_digest": bundle.content_digest, "job_id": str(self.ctx.job_id), "name": bundle.name},
        )
        if intake := self.ctx.payload.get("intake"):
            Intake.objects.filter(intake_id=intake["id"]).update(state=Intake.State.BUNDLED, bundle_id=bundle.bundle_id)
        if verification is not None:
            verify_request.record(who, bundle, verification, after_job_id=str(self.ctx.job_id))
        transaction.on_commit(self._clear)

    def _clear(self) -> None:
        bundle_files.drop_fetched(self.ctx.job_id, self.ctx.lease_token)
        bundle_files.remove_staging(self.staging)
