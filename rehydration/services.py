"""What the API and the console ask of rehydration: a restore.

A call names its principal first, refuses what that principal may not do, and leaves its line in custody in the same
transaction. Nothing is restored here: a request becomes a job.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import transaction

from bundles import services as bundle_services
from bundles.models import Bundle
from custody import chain
from foundation.principal import Principal
from jobs.models import Job
from jobs.queue import queue
from jobs.queue.job_result import Enqueued
from rehydration import bundle_paths
from rehydration.errors import RestoreRequestError, SignatureRequiredError

DEFAULT_PRIORITY = 100


@dataclass(frozen=True)
class RestoreRequested:
    """An accepted restore.

    Attributes:
        job: the job that does it.
        created: whether this request made the job; false when an equal one was there already.
        bundle_path: the bundle's path, relative to OUTPUT_DIR.
    """

    job: Job
    created: bool
    bundle_path: str


def request_restore(
    principal: Principal,
    *,
    bundle_path: str = "",
    bundle_id: str = "",
    verify_signature: bool = True,
    dry_run: bool = False,
    plan_digest: str = "",
    priority: int = DEFAULT_PRIORITY,
    idempotency_key: str = "",
    request_body: dict[str, Any] | None = None,
) -> RestoreRequested:
    """Queue the restore of one bundle, or with `dry_run` the plan for it.

    Args:
        principal: who asks; needs `rehydration.restore_bundle`.
        bundle_path: the bundle's path, absolute or relative to OUTPUT_DIR; this or `bundle_id`.
        bundle_id: a registered bundle's id; this or `bundle_path`.
        verify_signature: false only where the settings and the principal's rights allow it; hashes count even then.
        dry_run: verify and plan, and write nothing.
        plan_digest: the plan that was confirmed; the job fails with `plan_changed` when it is another by then.
        priority: as for every job.
        idempotency_key: repeats of the same request with the same key give the same job.
        request_body: what the key stands for; by default the arguments.

    Raises:
        AccessDeniedError: the principal may not restore.
        RestoreRequestError: both or neither of path and id, or a plan digest that is none.
        BundlePathInvalidError: the path leads to no bundle file below OUTPUT_DIR.
        SignatureRequiredError: the signature may not be skipped.
    """
    principal.require("rehydration.restore_bundle")
    if not verify_signature and not (
        settings.ORCH_ALLOW_UNSIGNED_RESTORE and principal.may("rehydration.skip_signature")
    ):
        raise SignatureRequiredError("A bundle is restored only when its signature has been verified.")
    if plan_digest and not re.fullmatch(r"[0-9a-f]{64}", plan_digest):
        raise RestoreRequestError("plan_digest must be 64 hexadecimal digits, as a dry run gave it.")
    relative, bundle = _bundle(principal, bundle_path, bundle_id)
    payload: dict[str, Any] = {
        "bundle_path": relative,
        "bundle_id": str(bundle.bundle_id) if bundle else "",
        "verify_signature": verify_signature,
        "dry_run": dry_run,
        "plan_digest": plan_digest,
    }
    with transaction.atomic():
        enqueued = queue.enqueue(
            "rehydrate",
            payload,
            principal=principal,
            operation="rehydrate.start",
            incident_id=bundle.incident_id if bundle else "",
            priority=priority,
            idempotency_key=idempotency_key,
            request_body=request_body if request_body is not None else {**payload, "priority": priority},
            active_key=_active_key(payload),
            exclusive_key=f"rehydrate {bundle.incident_id}" if bundle and not dry_run else None,
        )
        if enqueued.created:
            _record_request(principal, enqueued.job, payload)
    # A job that was there already may stand for a request that named the bundle otherwise.
    path = enqueued.job.payload["bundle_path"]
    return RestoreRequested(job=enqueued.job, created=enqueued.created, bundle_path=path)


def resubmit(principal: Principal, job: Job) -> Enqueued:
    """Preview the bundle of an earlier preview or restore once more: a person confirms each restore."""
    requested = request_restore(
        principal,
        bundle_path=job.payload["bundle_path"],
        verify_signature=job.payload.get("verify_signature", True),
        dry_run=True,
        priority=job.priority,
    )
    return Enqueued(requested.job, requested.created)


def _bundle(principal: Principal, bundle_path: str, bundle_id: str) -> tuple[str, Bundle | None]:
    """The bundle's path relative to OUTPUT_DIR, and its row when it is a registered one."""
    if bool(bundle_path) == bool(bundle_id):
        raise RestoreRequestError("Give either bundle_path or bundle_id.")
    bundle = bundle_services.get(principal, bundle_id) if bundle_id else None
    relative = bundle_paths.resolve(bundle.path if bundle else bundle_path)
    if bundle is None:
        bundle = Bundle.objects.filter(name=relative).first()
    return relative, bundle


def _active_key(payload: dict[str, Any]) -> str:
    """Equal for restores that would do the same: while one is queued or running, another adds nothing."""
    text = "\n".join(f"{name}={payload[name]!r}" for name in sorted(payload))
    return "rehydrate:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _record_request(principal: Principal, job: Job, payload: dict[str, Any]) -> None:
    details = {**payload, "job_id": str(job.job_id)}
    about: dict[str, Any] = {"incident_id": job.incident_id, "outcome": "requested", "details": details}
    chain.record(principal, "incident.restore", "job", str(job.job_id), **about)
    if not payload["verify_signature"]:
        chain.record(principal, "signature.skipped", "job", str(job.job_id), **about)
