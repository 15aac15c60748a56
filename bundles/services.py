"""The operations on bundles for the API and the console. Each checks the permission, acts, and records custody."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Q

from bundles.errors import (
    BundleNotFoundError,
    BundleUnavailableError,
    IncidentIdInvalidError,
    InvalidBundleRequestError,
)
from bundles.format.model import paths
from bundles.format.model.canonical import canonical_json
from bundles.format.model.limits import DEFAULT_CHUNK_MIB, MAX_CHUNK_MIB
from bundles.handlers import verify_request
from bundles.handlers.create import JOB_TYPE as CREATE
from bundles.intake import services as intake_services
from bundles.intake import source as intake_source
from bundles.models import Bundle, Manifest, Verification
from bundles.sources import checking, configured
from bundles.sources.checking import Checked
from bundles.sources.configured import ProfileUnknownError
from bundles.storage import bundle_files
from custody import chain
from foundation import keyset
from foundation.instant import rfc3339
from foundation.keyset import Page
from foundation.principal import Principal
from jobs.models import Job
from jobs.queue import queue
from jobs.queue.job_result import Enqueued

SOURCES = ("live", "restored")
IMPORTED = intake_source.NAME
COMPRESSIONS = ("zstd", "gzip")
LARGEST_LATELY = """
SELECT COALESCE(max(size), 0) FROM (
    SELECT size FROM orchestrator_bundles WHERE incident_id = %(incident_id)s ORDER BY created_at DESC LIMIT 3) made"""
LIST_ORDER = ("-created_at", "-bundle_id")
# What the list of bundles can be filtered by.
VERDICTS = {
    "verified": Q(verified_ok=True, complete=True, state="ready"),
    "unverified": Q(verified_ok=None, state="ready"),
    "failed": Q(verified_ok=False) | Q(state="lost"),
    "partial": Q(complete=False),
    "unread": Q(counts__isnull=True, state="ready"),
}
VERDICT_WORDS = (
    ("", "Any"),
    ("verified", "Verified"),
    ("unverified", "Not yet verified"),
    ("failed", "Not verified, or file lost"),
    ("partial", "Partial"),
    ("unread", "Records not searchable yet"),
)


def request_bundle(
    principal: Principal,
    *,
    incident_id: str,
    priority: int = 100,
    chunk_size_mb: int = DEFAULT_CHUNK_MIB,
    allow_partial: bool = False,
    source: str = "live",
    compression: str = "zstd",
    profile: str = "",
    refs: Mapping[str, str] | None = None,
    idempotency_key: str = "",
    request_body: dict[str, Any] | None = None,
) -> Enqueued:
    """Queue the bundling of one incident.

    Args:
        principal: needs `bundles.create_bundle`.
        incident_id: the incident.
        priority: higher goes first, -1000 to 1000.
        chunk_size_mb: files larger than this many MiB get chunk digests, 1 to `MAX_CHUNK_MIB`.
        allow_partial: list missing evidence in the signed manifest instead of failing.
        source: `live`, or `restored` for evidence restored here.
        compression: `zstd` or `gzip`.
        profile: from which systems live evidence is read; the default profile if empty.
        refs: system of the profile → the incident's id there, where it differs from `incident_id`.
        idempotency_key: repeating the same request with the same key returns the same job.
        request_body: the request that the key identifies; the arguments by default.

    Returns:
        The job, and whether it is new; an equal job that is still active is returned instead of a new one.

    Raises:
        AccessDeniedError: the principal may not bundle.
        IncidentIdInvalidError: it is not an incident id.
        InvalidBundleRequestError: another argument is invalid.
    """
    principal.require("bundles.create_bundle")
    if not paths.valid_incident_id(incident_id):
        raise IncidentIdInvalidError(paths.INCIDENT_ID_RULE)
    errors = {}
    if not 1 <= chunk_size_mb <= MAX_CHUNK_MIB:
        errors["chunk_size_mb"] = f"from 1 to {MAX_CHUNK_MIB}"
    if source not in SOURCES:
        errors["source"] = "one of " + ", ".join(SOURCES)
    if compression not in COMPRESSIONS:
        errors["compression"] = "one of " + ", ".join(COMPRESSIONS)
    asked: dict[str, Any] = {}
    if source == "live":
        asked, faults = _asked(profile, incident_id, refs or {})
        errors |= faults
    elif profile or refs:
        errors["profile" if profile else "refs"] = "for live evidence only"
    if errors:
        raise InvalidBundleRequestError("The request has invalid parameters.", errors)
    payload = {
        "incident_id": incident_id,
        "chunk_size_mb": chunk_size_mb,
        "allow_partial": allow_partial,
        "source": source,
        "compression": compression,
        **asked,
    }
    with transaction.atomic():
        enqueued = queue.enqueue(
            CREATE,
            payload,
            principal=principal,
            operation="bundle.create",
            incident_id=incident_id,
            priority=priority,
            idempotency_key=idempotency_key,
            request_body=request_body if request_body is not None else {**payload, "priority": priority},
            active_key=f"{CREATE} {canonical_json(payload).decode()}",
            needs_bytes=_expected_size(incident_id),
        )
        if enqueued.created:
            chain.record(
                principal,
                "bundle.create",
                "job",
                str(enqueued.job.job_id),
                incident_id=incident_id,
                outcome="requested",
                details=payload,
            )
    return enqueued


def check_sources(
    principal: Principal, *, incident_id: str, profile: str = "", refs: Mapping[str, str] | None = None
) -> Checked:
    """Ask every system of a profile what it has of an incident, without fetching it; takes up to `checking.WAITS_S`.

    Args:
        principal: needs `bundles.create_bundle`.
        incident_id: the incident.
        profile: the source profile; the default one if empty.
        refs: system → the incident's id there, where it differs.

    Raises:
        AccessDeniedError: the principal may not bundle.
        IncidentIdInvalidError: it is not an incident id.
        InvalidBundleRequestError: there is no such profile or system, or an id is none.
    """
    principal.require("bundles.create_bundle")
    if not paths.valid_incident_id(incident_id):
        raise IncidentIdInvalidError(paths.INCIDENT_ID_RULE)
    asked, errors = _asked(profile, incident_id, refs or {})
    if errors:
        raise InvalidBundleRequestError("The request has invalid parameters.", errors)
    return checking.check(configured.current().get(asked["profile"]), incident_id, asked["refs"])


def _asked(profile: str, incident_id: str, refs: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """The profile and the ids of a request for a payload, and what is wrong with them by field.

    Ids that are the incident's own are dropped, so that equal requests are recognized.
    """
    try:
        chosen = configured.current().get(profile)
    except ProfileUnknownError as error:
        return {}, {"profile": str(error).rstrip(".")}
    kept = {name: ref for name, ref in refs.items() if ref != incident_id}
    return {"profile": chosen.name, "refs": kept}, configured.refs_faults(chosen, refs)


def _expected_size(incident_id: str) -> int:
    """Expected bytes of the incident's next bundle: a tenth more than the largest of its last three.

    1 for an incident without bundles: any free space beyond the reserve is enough.
    """
    with connection.cursor() as cursor:
        cursor.execute(LARGEST_LATELY, {"incident_id": incident_id})
        ((largest,),) = cursor.fetchall()
    return int(largest) * 11 // 10 or 1


def request_verification(principal: Principal, bundle_id: UUID | str, *, idempotency_key: str = "") -> Enqueued:
    """Queue the verification of one bundle.

    Args:
        principal: needs `bundles.verify_bundle`.
        bundle_id: the bundle.
        idempotency_key: repeating the same request with the same key returns the same job.

    Raises:
        AccessDeniedError: the principal may not verify.
        BundleNotFoundError: there is no such bundle.
    """
    principal.require("bundles.verify_bundle")
    bundle = _find(bundle_id)
    with transaction.atomic():
        enqueued = verify_request.enqueue(principal, bundle, idempotency_key=idempotency_key)
        verify_request.record(principal, bundle, enqueued)
    return enqueued


def resubmit_bundle(principal: Principal, job: Job) -> Enqueued:
    """Queue a bundle with the parameters of an earlier job; see `request_bundle`.

    Raises:
        IntakeNotFoundError: it was an import, and the delivered file is no longer here.
    """
    payload = job.payload
    if payload.get("source") == IMPORTED:
        return intake_services.resubmit(principal, job)
    return request_bundle(
        principal,
        incident_id=payload["incident_id"],
        priority=job.priority,
        chunk_size_mb=payload.get("chunk_size_mb", DEFAULT_CHUNK_MIB),
        allow_partial=payload.get("allow_partial", False),
        source=payload.get("source", "live"),
        compression=payload.get("compression", "zstd"),
        profile=payload.get("profile", ""),
        refs=payload.get("refs"),
    )


def resubmit_verification(principal: Principal, job: Job) -> Enqueued:
    """Queue the verification that an earlier job asked for; see `request_verification`."""
    return request_verification(principal, job.payload["bundle_id"])


def get(principal: Principal, bundle_id: UUID | str) -> Bundle:
    """One bundle.

    Raises:
        AccessDeniedError: the principal may not see bundles.
        BundleNotFoundError: there is no such bundle.
    """
    principal.require("bundles.view_bundle")
    return _find(bundle_id)


def page(
    principal: Principal,
    *,
    incident_id: str = "",
    verdict: str = "",
    cursor: str = "",
    limit: int = keyset.DEFAULT_LIMIT,
) -> Page[Bundle]:
    """One page of bundles, newest first; `verdict` is empty or one of `VERDICTS`.

    Raises:
        AccessDeniedError: the principal may not see bundles.
        CursorInvalidError: the cursor does not belong to this list.
    """
    principal.require("bundles.view_bundle")
    rows = Bundle.objects.filter(VERDICTS[verdict]) if verdict in VERDICTS else Bundle.objects.all()
    if incident_id:
        rows = rows.filter(incident_id=incident_id) if paths.valid_incident_id(incident_id) else rows.none()
    return keyset.page(rows, order=LIST_ORDER, cursor=cursor, limit=limit)


def manifest_of(principal: Principal, bundle_id: UUID | str) -> bytes:
    """The signed bytes of a bundle's manifest.

    Raises:
        AccessDeniedError: the principal may not see bundles.
        BundleNotFoundError: there is no such bundle.
    """
    return bytes(Manifest.objects.get(bundle=get(principal, bundle_id)).raw)


def unread(principal: Principal, *, most: int) -> int:
    """How many bundles have records that were not read for the search, counted up to `most`; verifying one reads them.

    A principal that may not see bundles gets 0.
    """
    if not principal.may("bundles.view_bundle"):
        return 0
    return Bundle.objects.filter(VERDICTS["unread"])[:most].count()


def verifications(bundle: Bundle, limit: int = 20) -> list[Verification]:
    """The verifications of a bundle, newest first."""
    return list(bundle.verifications.all()[:limit])


@dataclass(frozen=True)
class Download:
    """A bundle's file, open for reading: its size in bytes, SHA-256 (hex), name, and strong entity tag."""

    file: BinaryIO
    size: int
    sha256: str
    name: str
    etag: str


def open_download(principal: Principal, bundle_id: UUID | str, *, first_byte: bool = True) -> Download:
    """Open a bundle for download.

    Args:
        principal: needs `bundles.download_bundle`.
        bundle_id: the bundle.
        first_byte: whether to record the download in custody.

    Raises:
        AccessDeniedError: the principal may not download.
        BundleNotFoundError: there is no such bundle.
        BundleUnavailableError: its file is missing or has another size.
    """
    principal.require("bundles.download_bundle")
    bundle = _find(bundle_id)
    file = bundle_files.open_bundle(bundle.name)
    try:
        if os.fstat(file.fileno()).st_size != bundle.size:
            raise BundleUnavailableError("The bundle's file does not have its registered size. Verify the bundle.")
        if first_byte:
            chain.record(
                principal,
                "bundle.download",
                "bundle",
                str(bundle.bundle_id),
                incident_id=bundle.incident_id,
                digest=bundle.sha256,
                details={"name": bundle.name},
            )
    except BaseException:
        file.close()
        raise
    return Download(file, bundle.size, bundle.sha256, bundle.name, f'"{bundle.sha256}"')


def as_dict(bundle: Bundle) -> dict[str, Any]:
    """A bundle in the API's form."""
    return {
        "bundle_id": str(bundle.bundle_id),
        "path": str(bundle_files.output_dir() / bundle.name),
        "incident_id": bundle.incident_id,
        "size": bundle.size,
        "created_at": rfc3339(bundle.created_at),
        "name": bundle.name,
        "sha256": bundle.sha256,
        "content_digest": bundle.content_digest,
        "manifest_hash": bundle.manifest_hash,
        "key_id": bundle.key_id,
        "signer": bundle.signer,
        "complete": bundle.complete,
        "missing": bundle.missing,
        "files": bundle.files,
        "bytes": bundle.total_bytes,
        "compression": bundle.compression,
        "source": bundle.source,
        "state": bundle.state,
        "created_by": bundle.created_by,
        "job_id": str(bundle.job_id) if bundle.job_id else None,
        "verified_at": rfc3339(bundle.verified_at) if bundle.verified_at else None,
        "verified_ok": bundle.verified_ok,
        "counts": bundle.counts,
        "sources": bundle.sources,
    }


def _find(bundle_id: UUID | str) -> Bundle:
    try:
        wanted = bundle_id if isinstance(bundle_id, UUID) else UUID(bundle_id)
    except ValueError:
        raise BundleNotFoundError("There is no such bundle.") from None
    bundle = Bundle.objects.filter(bundle_id=wanted).first()
    if bundle is None:
        raise BundleNotFoundError("There is no such bundle.")
    return bundle
