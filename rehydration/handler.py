"""The job that restores a bundle: verify, plan, restore, reconcile.

Nothing of a bundle is used before all of it is verified. Files are put in place first, rows only in the transaction
that completes the job: whatever an interrupted attempt leaves, the next one finds equal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from bundles.errors import StoreMismatchError
from bundles.format.model.errors import BundleRejectedError, CannotCheckError, RecordError
from bundles.format.model.manifest import Manifest
from bundles.format.reading.extract import ExtractedBundle, extract_bundle
from bundles.keys import trusted_keys
from bundles.storage import store_identity
from custody import chain
from foundation.disk import is_disk_full
from jobs.errors import PermanentError, RetryableError
from jobs.models import Job
from jobs.queue import registry
from jobs.queue.context import JobContext
from jobs.queue.job_result import JobResult
from rehydration import bundle_paths, incident_lock, plan, reconcile, restore, restore_requests, staging
from rehydration.errors import BundlePathInvalidError
from rehydration.matching import EQUAL, NEW
from rehydration.plan import Plan
from rehydration.records import Contents

JOB_TYPE = "rehydrate"
PHASES = ("verifying", "planning", "restoring", "reconciling")


def rehydrate(ctx: JobContext) -> JobResult:
    """Run one attempt of a `rehydrate` job."""
    with ExitStack() as stack, _as_job_errors():
        attempt = _Attempt(ctx)
        try:
            attempt.verify(stack)
            attempt.lock(stack)
            attempt.make_plan()
            if not attempt.dry_run:
                attempt.restore_files()
                attempt.reconcile()
        except (BundleRejectedError, BundlePathInvalidError, PermanentError, RecordError) as error:
            attempt.record_failure(error.code)
            raise
        cleanup = stack.pop_all().close
    return JobResult(result=attempt.result(), register=lambda: attempt.register(cleanup), discard=cleanup)


class _Attempt:
    """One attempt, step by step; each step needs the one before."""

    def __init__(self, ctx: JobContext) -> None:
        self.ctx = ctx
        self.store = Path(settings.FORENSIC_STORAGE_PATH)
        self.path: str = ctx.payload["bundle_path"]
        self.bundle_name: str = ctx.payload["bundle_id"] or self.path
        self.verify_signature: bool = ctx.payload["verify_signature"]
        self.dry_run: bool = ctx.payload["dry_run"]
        self.confirmed_digest: str = ctx.payload["plan_digest"]
        self.incident_id = ctx.incident_id
        self._extracted: ExtractedBundle | None = None
        self._contents: Contents | None = None
        self._plan: Plan | None = None

    @property
    def contents(self) -> Contents:
        """What the verified bundle holds."""
        if self._contents is None:
            raise AssertionError("verify comes first")
        return self._contents

    @property
    def manifest(self) -> Manifest:
        """The verified manifest."""
        return self.contents.manifest

    @property
    def plan(self) -> Plan:
        """The plan."""
        if self._plan is None:
            raise AssertionError("make_plan comes first")
        return self._plan

    @property
    def bundle_sha256(self) -> str:
        """The bundle file's digest, of the bytes that were verified."""
        return (self._extracted.report.sha256 if self._extracted else None) or ""

    def verify(self, stack: ExitStack) -> None:
        """Verify the bundle and unpack it into staging."""
        ctx = self.ctx
        ctx.progress("verifying")
        if not self.verify_signature and not settings.ORCH_ALLOW_UNSIGNED_RESTORE:
            raise PermanentError("signature_required", "This deployment no longer restores without a signature.")
        folder = staging.make(ctx.job_id, ctx.lease_token)
        stack.callback(staging.remove, folder)
        ring = trusted_keys.trusted() if self.verify_signature else None
        with bundle_paths.pinned(self.path) as path:
            self._extracted = extract_bundle(
                path, ring, folder / "bundle", progress=lambda done, total: ctx.progress("verifying", done, total)
            )
        self._contents = Contents(self._extracted.directory, self._extracted.manifest.manifest, folder)
        self.incident_id = self.manifest.incident_id
        # If the request named a file, the incident id is known only now.
        Job.objects.filter(job_id=ctx.job_id, lease_token=ctx.lease_token).update(incident_id=self.incident_id)
        ctx.log("info", "the bundle is verified", sha256=self.bundle_sha256, signature_checked=self.verify_signature)

    def lock(self, stack: ExitStack) -> None:
        """Wait until no other restore of this incident is running."""
        note = "waiting for another restore of this incident"
        incident_lock.acquire(self.incident_id, lambda: self.ctx.progress("planning", unit="records", note=note))
        stack.callback(incident_lock.release, self.incident_id)

    def make_plan(self) -> None:
        """Compute the plan; stop if it differs from the confirmed one."""
        count = _Counter(lambda done: self.ctx.progress("planning", done, unit="records"))
        made = plan.compute(self.contents, self.bundle_sha256, self.store, count, lambda _: self.ctx.check())
        self._plan = made
        if self.confirmed_digest and self.confirmed_digest != made.digest:
            message = "The target has changed since this plan was made. Make a new preview and confirm it."
            raise PermanentError("plan_changed", message)
        if not self.dry_run:
            self._refuse(list(made.problems))

    def restore_files(self) -> None:
        """Put the new files in place."""
        total = sum(file.entry.size for file in self.plan.files.values() if file.verdict == NEW)
        self.ctx.progress("restoring", 0, total)
        count = _Counter(lambda done: self.ctx.progress("restoring", done, total))
        restore.place_files(self.plan, self.contents, self.store, count)

    def reconcile(self) -> None:
        """Read every file again; fail if one is missing or different."""
        total = sum(file.entry.size for file in self.plan.files.values())
        self.ctx.progress("reconciling", 0, total)
        count = _Counter(lambda done: self.ctx.progress("reconciling", done, total))
        self._refuse(reconcile.file_problems(self.plan, self.store, count))

    def register(self, cleanup: Callable[[], None]) -> None:
        """Add the rows and record custody events, in the transaction that completes the job."""
        store_identity.hold(store_identity.BUNDLES, store_identity.ARTIFACTS)
        if not self.dry_run:
            origin = restore.Origin(
                bundle_sha256=self.bundle_sha256,
                restored_by=self.ctx.principal.name,
                signature_checked=self.verify_signature,
            )
            restore.add_rows(self.plan, self.contents, origin)
        checked = "bundle.verified" if self.verify_signature else "signature.skipped"
        self._record(checked, "bundle", self.bundle_name, digest=self.bundle_sha256)
        if not self.dry_run:
            self._record("incident.restored", "incident", self.incident_id, digest=self.manifest.content_digest)
            restore_requests.close_restored(self.ctx.principal, str(self.ctx.payload.get("bundle_id") or ""))
        transaction.on_commit(cleanup, robust=True)

    def record_failure(self, code: str) -> None:
        """Record a refused restore in custody."""
        if self._contents is None:
            self._record("bundle.verify_failed", "bundle", self.bundle_name, outcome=code)
        if not self.dry_run:
            object_id = self.incident_id or str(self.ctx.job_id)
            digest = self.manifest.content_digest if self._contents else ""
            kind = "incident" if self.incident_id else "job"
            self._record("incident.restore_failed", kind, object_id, digest=digest, outcome=code)

    def result(self) -> dict[str, Any]:
        """The job's result."""
        counts, files = self.plan.counts, self.plan.counts["files"]
        rows = sum(counts[table][NEW] + counts[table][EQUAL] for table in plan.TABLES if table != "files")
        return {
            "incident_id": self.incident_id,
            "bundle_path": self.path,
            "bundle_sha256": self.bundle_sha256,
            "content_digest": self.manifest.content_digest,
            "complete": self.manifest.complete,
            "missing": [dict(gap) for gap in self.manifest.missing],
            "dry_run": self.dry_run,
            "plan_digest": self.plan.digest,
            "signature_checked": self.verify_signature,
            "changed": self.plan.changes and not self.dry_run,
            "plan": counts,
            "conflicts": self.plan.conflicts,
            "conflict_total": self.plan.conflict_total,
            "reconciled": None if self.dry_run else {
                "records": rows, "files": files[NEW] + files[EQUAL], "ok": True, "problems": [],
            },
            "problems": list(self.plan.problems[: reconcile.MAX_PROBLEMS_REPORTED]),
        }  # fmt: skip

    def _refuse(self, problems: list[str]) -> None:
        if problems:  # missing files may mean that the disk is not mounted, which is a different error
            store_identity.require(store_identity.ARTIFACTS)
        for problem in problems[: reconcile.MAX_PROBLEMS_REPORTED]:
            self.ctx.log("error", problem)
        if problems:
            more = f" ({len(problems)} problems in total; see the log)" if len(problems) > 1 else ""
            message = f"Records and files do not match: {problems[0]}{more}."
            raise PermanentError("reconcile_failed", message)

    def _record(self, action: str, kind: str, object_id: str, *, digest: str = "", outcome: str = "ok") -> None:
        details: dict[str, Any] = {"job_id": str(self.ctx.job_id), "dry_run": self.dry_run}
        if self.bundle_sha256:
            details["bundle_sha256"] = self.bundle_sha256
        if self._plan is not None:
            details |= {"plan_digest": self._plan.digest, "plan": self._plan.counts}
        chain.record(
            self.ctx.principal, action, kind, object_id,
            incident_id=self.incident_id, digest=digest, outcome=outcome, details=details,
        )  # fmt: skip


def summary(job: Job) -> registry.Summary:
    """What a completed job did, or found that it would do."""
    result = job.result or {}
    if result.get("dry_run"):
        return registry.Summary(kind="ok", words="Preview ready")
    return registry.Summary(kind="ok", words="Restored" if result.get("changed") else "Nothing new to restore")


@dataclass
class _Counter:
    """Adds up numbers and reports the sum."""

    report: Callable[[int], None]
    done: int = 0

    def __call__(self, more: int) -> None:
        """Add `more`."""
        self.done += more
        self.report(self.done)


@contextmanager
def _as_job_errors() -> Iterator[None]:
    """Convert errors to job errors that say whether a retry can help."""
    try:
        yield
    except (BundleRejectedError, RecordError) as error:
        raise PermanentError(error.code, error.detail) from error
    except StoreMismatchError as error:
        raise RetryableError(error.code, str(error)) from error
    except BundlePathInvalidError as error:
        raise PermanentError(error.code, "The bundle file is no longer there.") from error
    except CannotCheckError as error:
        if isinstance(error.__cause__, OSError) and is_disk_full(error.__cause__):
            raise RetryableError("storage_full", "There is not enough space to unpack the bundle.") from error
        raise RetryableError(error.code, error.detail) from error
    except OSError as error:
        if is_disk_full(error):
            raise RetryableError("storage_full", "There is not enough space for the incident's files.") from error
        raise RetryableError("storage_error", f"The artifact store cannot be used: {error.strerror}.") from error
