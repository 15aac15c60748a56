"""The operations on delivered files. Each checks the permission, acts, and records custody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from django.db import transaction

from bundles.errors import IncidentIdInvalidError, InvalidBundleRequestError
from bundles.format.model import paths
from bundles.format.model.canonical import canonical_json
from bundles.format.model.limits import DEFAULT_CHUNK_MIB
from bundles.handlers.create import JOB_TYPE as CREATE
from bundles.intake import read_job, source, store
from bundles.intake.delivered import DELIVERED, TAR
from bundles.intake.errors import IntakeNotFoundError
from bundles.intake.formats import kinds
from bundles.models import Intake
from custody import chain
from foundation import keyset
from foundation.keyset import Page
from foundation.principal import Principal
from foundation.storable_text import shortened
from jobs.queue import queue
from jobs.queue.job_result import Enqueued

PERMISSION = "bundles.create_bundle"
NAME_CHARACTERS = 255
PASSWORD_CHARACTERS = 1024
LIST_ORDER = ("-received_at", "-intake_id")


@dataclass(frozen=True, kw_only=True)
class Arrived:
    """A complete file that is to be imported.

    Attributes:
        file: in the file system of OUTPUT_DIR; moved from there.
        name: as it was delivered.
        size: bytes.
        sha256: hex.
    """

    file: Path
    name: str
    size: int
    sha256: str


def receive(principal: Principal, arrived: Arrived) -> Intake:
    """Take a delivered file in and have it read.

    Raises:
        AccessDeniedError: the principal may not bundle.
        StoreMismatchError: this host's OUTPUT_DIR is not the store that the database knows.
        OSError: it cannot be moved; nothing is kept.
    """
    principal.require(PERMISSION)
    intake = Intake(
        intake_id=uuid4(),
        name=shortened(arrived.name, NAME_CHARACTERS),
        size=arrived.size,
        sha256=arrived.sha256,
        received_at=datetime.now(UTC),
        received_by=principal.name,
    )
    folder = store.take(intake.intake_id, arrived.file)
    try:
        with transaction.atomic():
            intake.preview_job_id = read_job.request(principal, intake).job.job_id
            intake.save(force_insert=True)
            details = {"name": intake.name, "size": intake.size}
            chain.record(
                principal, "intake.received", "intake", str(intake.intake_id), digest=intake.sha256, details=details
            )
    except BaseException:
        (folder / DELIVERED).replace(arrived.file)
        store.remove(intake.intake_id)
        raise
    return intake


def request_bundle(
    principal: Principal,
    intake_id: UUID | str,
    *,
    incident_id: str,
    kind: str = "",
    mapping: Mapping[str, str] | None = None,
    password: str = "",
    priority: int = 100,
    idempotency_key: str = "",
) -> Enqueued:
    """Queue the bundle of a delivered file.

    Args:
        principal: needs `bundles.create_bundle`.
        intake_id: the delivered file.
        incident_id: of the bundle.
        kind: as which its records are read; recognised if empty.
        mapping: one of `kinds.MAPPED_TO` → the column or field that holds it, for a file that is not understood.
        password: of an encrypted archive; kept beside the file until the job ends, and nowhere else.
        priority: higher goes first, -1000 to 1000.
        idempotency_key: repeating the same request with the same key returns the same job.

    Raises:
        AccessDeniedError: the principal may not bundle.
        IntakeNotFoundError: there is no such file here.
        IncidentIdInvalidError: it is not an incident id.
        InvalidBundleRequestError: another argument is invalid.
    """
    principal.require(PERMISSION)
    intake = find(principal, intake_id)
    if not paths.valid_incident_id(incident_id):
        raise IncidentIdInvalidError(paths.INCIDENT_ID_RULE)
    errors = {}
    if kind and kinds.by_name(kind) is None:
        errors["kind"] = "one of " + ", ".join(one.name for one in kinds.KINDS)
    wrong = sorted(set(mapping or {}) - set(kinds.MAPPED_TO))
    if wrong:
        errors["mapping"] = f"{', '.join(wrong)[:200]}: one of " + ", ".join(kinds.MAPPED_TO)
    if len(password) > PASSWORD_CHARACTERS:
        errors["password"] = f"at most {PASSWORD_CHARACTERS} characters"
    if errors:
        raise InvalidBundleRequestError("The request has invalid parameters.", errors)
    payload: dict[str, Any] = {
        "incident_id": incident_id,
        "chunk_size_mb": DEFAULT_CHUNK_MIB,
        "allow_partial": True,
        "source": source.NAME,
        "compression": "zstd",
        "intake": {
            "id": str(intake.intake_id),
            "name": intake.name,
            "sha256": intake.sha256,
            "kind": kind,
            "mapping": dict(mapping or {}),
        },
    }
    if password:
        store.keep_password(intake.intake_id, password)
    with transaction.atomic():
        enqueued = queue.enqueue(
            CREATE,
            payload,
            principal=principal,
            operation="bundle.create",
            incident_id=incident_id,
            priority=priority,
            idempotency_key=idempotency_key,
            request_body={**payload, "priority": priority},
            active_key=f"{CREATE} {canonical_json(payload).decode()}",
            needs_bytes=needed_bytes(intake.size, intake.preview),
        )
        Intake.objects.filter(intake_id=intake.intake_id).update(job_id=enqueued.job.job_id)
        if enqueued.created:
            chain.record(
                principal,
                "intake.bundle",
                "intake",
                str(intake.intake_id),
                incident_id=incident_id,
                digest=intake.sha256,
                outcome="requested",
                details={"job_id": str(enqueued.job.job_id), "kind": kind},
            )
    return enqueued


def needed_bytes(size: int, preview: Mapping[str, Any] | None) -> int:
    """The disk space that the bundle of a delivered file is expected to need.

    Staged members, and the unpacked tar that they are read from, have the size that the preview counted. The bundle
    holds the delivered file, and the members packed again, or the records; each is taken to be as large as that file.

    Args:
        size: of the delivered file in bytes.
        preview: see `preview.of`; None if it was not read yet.
    """
    found = preview or {}
    members = int(found.get("bytes") or 0)
    scratch = members if found.get("container") == TAR else 0
    return 3 * size + members + scratch + 1


def discard(principal: Principal, intake_id: UUID | str) -> Intake:
    """Remove a delivered file; its row and custody stay.

    Raises:
        AccessDeniedError: the principal may not bundle.
        IntakeNotFoundError: there is no such file here.
    """
    principal.require(PERMISSION)
    intake = find(principal, intake_id)
    with transaction.atomic():
        Intake.objects.filter(intake_id=intake.intake_id).update(state=Intake.State.DISCARDED)
        chain.record(principal, "intake.discard", "intake", str(intake.intake_id), digest=intake.sha256)
    store.remove(intake.intake_id)
    return intake


def find(principal: Principal, intake_id: UUID | str) -> Intake:
    """A delivered file that was not discarded.

    Raises:
        AccessDeniedError: the principal may not bundle.
        IntakeNotFoundError: there is none.
    """
    principal.require(PERMISSION)
    try:
        found = Intake.objects.filter(intake_id=UUID(str(intake_id))).first()
    except ValueError:
        found = None
    if found is None or found.state == Intake.State.DISCARDED:
        raise IntakeNotFoundError("There is no such delivered file here.")
    return found


def listed(principal: Principal, *, cursor: str = "", limit: int = 50) -> Page[Intake]:
    """The delivered files, newest first.

    Raises:
        AccessDeniedError: the principal may not bundle.
    """
    principal.require(PERMISSION)
    found = Intake.objects.exclude(state=Intake.State.DISCARDED).defer("preview")
    return keyset.page(found, order=LIST_ORDER, cursor=cursor, limit=limit)


def as_json(intake: Intake) -> dict[str, Any]:
    """A delivered file for the API."""
    return {
        "intake_id": str(intake.intake_id),
        "name": intake.name,
        "size": intake.size,
        "sha256": intake.sha256,
        "received_at": intake.received_at,
        "received_by": intake.received_by,
        "state": intake.state,
        "preview": intake.preview,
        "preview_job_id": intake.preview_job_id,
        "job_id": intake.job_id,
        "bundle_id": intake.bundle_id,
    }
