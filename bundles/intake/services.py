"""The operations on delivered files. Each checks the permission, acts, and records custody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from django.db import transaction

from bundles.errors import IncidentIdInvalidError, InvalidBundleRequestError
from bundles.format.model import paths
from bundles.format.model.canonical import canonical_json
from bundles.format.model.limits import DEFAULT_CHUNK_MIB
from bundles.handlers.create import JOB_TYPE as CREATE
from bundles.intake import mappings, read_job, source, store
from bundles.intake.delivered import DELIVERED, TAR
from bundles.intake.errors import IntakeInUseError, IntakeNotFoundError
from bundles.intake.formats import kinds
from bundles.models import Intake
from custody import chain
from foundation import keyset
from foundation.keyset import Page
from foundation.principal import Principal
from foundation.storable_text import shortened
from jobs.models import ACTIVE, Job
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


def receive(principal: Principal, arrived: Arrived, *, intake_id: UUID | None = None) -> Intake:
    """Take a delivered file in and have it read.

    Args:
        principal: needs `bundles.create_bundle`.
        arrived: the file; it is moved.
        intake_id: of a file that must be taken in once, whatever happens; a new one by default.

    Raises:
        AccessDeniedError: the principal may not bundle.
        StoreMismatchError: this host's OUTPUT_DIR is not the store that the database knows.
        OSError: it cannot be stored; nothing is kept.
    """
    principal.require(PERMISSION)
    intake = Intake(
        intake_id=intake_id or uuid4(),
        name=shown_name(arrived.name),
        size=arrived.size,
        sha256=arrived.sha256,
        received_at=datetime.now(UTC),
        received_by=principal.name,
    )
    store.take(intake.intake_id, arrived.file)
    try:
        with transaction.atomic():
            intake.preview_job_id = read_job.request(principal, intake).job.job_id
            intake.save(force_insert=True)
            details = {"name": intake.name, "size": intake.size}
            chain.record(
                principal, "intake.received", "intake", str(intake.intake_id), digest=intake.sha256, details=details
            )
            transaction.on_commit(partial(arrived.file.unlink, missing_ok=True))
    except BaseException:
        store.remove(intake.intake_id)
        raise
    return intake


def shown_name(name: str) -> str:
    """A delivered file's name as it is kept: text that the database can store, of bounded length.

    Args:
        name: as it was delivered; bytes that are no UTF-8 are surrogates, as Python reads them from a file system.
    """
    return shortened(name.encode("utf-8", "backslashreplace").decode("utf-8"), NAME_CHARACTERS)


def request_bundle(
    principal: Principal,
    intake_id: UUID | str,
    *,
    incident_id: str,
    kind: str = "",
    mapping: Mapping[str, str] | None = None,
    mapping_name: str = "",
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
        mapping_name: a saved mapping, in the place of `mapping`; later changes of it do not change this job.
        password: of an encrypted archive; kept beside the file until the job ends, and nowhere else.
        priority: higher goes first, -1000 to 1000.
        idempotency_key: repeating the same request with the same key returns the same job.

    Raises:
        AccessDeniedError: the principal may not bundle.
        IntakeNotFoundError: there is no such file here, or it was removed.
        IncidentIdInvalidError: it is not an incident id.
        InvalidBundleRequestError: another argument is invalid.
    """
    principal.require(PERMISSION)
    intake = find(principal, intake_id)
    if not (store.folder_of(intake.intake_id) / DELIVERED).is_file():
        raise IntakeNotFoundError("The delivered file is no longer here. Import it again.")
    if not paths.valid_incident_id(incident_id):
        raise IncidentIdInvalidError(paths.INCIDENT_ID_RULE)
    errors = {}
    if kind and kinds.by_name(kind) is None:
        errors["kind"] = "one of " + ", ".join(one.name for one in kinds.KINDS)
    if mapping and mapping_name:
        errors["mapping_name"] = "without mapping only"
    elif mapping_name:
        saved = mappings.find(mapping_name)
        errors |= {} if saved else {"mapping_name": "no mapping is saved under this name"}
        mapping = saved.mapping if saved else {}
    elif mapping and (fault := mappings.fault(mapping)):
        errors["mapping"] = fault
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
            "mapping_name": mapping_name,
        },
    }
    return _enqueue(principal, intake, payload, priority=priority, idempotency_key=idempotency_key, password=password)


def resubmit(principal: Principal, job: Job) -> Enqueued:
    """Queue the import that an earlier job ran, of the same delivered file; a password has to be given anew.

    Raises:
        AccessDeniedError: the principal may not bundle.
        IntakeNotFoundError: the file is no longer here.
    """
    asked = job.payload["intake"]
    principal.require(PERMISSION)
    intake = find(principal, asked["id"])
    if not (store.folder_of(intake.intake_id) / DELIVERED).is_file():
        raise IntakeNotFoundError("The delivered file is no longer here. Import it again.")
    return _enqueue(principal, intake, dict(job.payload), priority=job.priority)


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
        IntakeInUseError: an active job reads it.
    """
    principal.require(PERMISSION)
    intake = find(principal, intake_id)
    if intake.job_id and Job.objects.filter(job_id=intake.job_id, status__in=ACTIVE).exists():
        raise IntakeInUseError("A job is making a bundle of this file. Cancel the job first, or wait for its end.")
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


def in_list(intake: Intake) -> dict[str, Any]:
    """A delivered file in a list of the API: without its preview, which `listed` does not read."""
    return _shared(intake)


def as_json(intake: Intake) -> dict[str, Any]:
    """A delivered file for the API."""
    return {**_shared(intake), "preview": intake.preview}


def _shared(intake: Intake) -> dict[str, Any]:
    return {
        "intake_id": str(intake.intake_id),
        "name": intake.name,
        "size": intake.size,
        "sha256": intake.sha256,
        "received_at": intake.received_at,
        "received_by": intake.received_by,
        "state": intake.state,
        "preview_job_id": intake.preview_job_id,
        "job_id": intake.job_id,
        "bundle_id": intake.bundle_id,
    }


def _enqueue(
    principal: Principal,
    intake: Intake,
    payload: dict[str, Any],
    *,
    priority: int,
    idempotency_key: str = "",
    password: str = "",
) -> Enqueued:
    with transaction.atomic():
        Intake.objects.select_for_update().get(intake_id=intake.intake_id)  # the sweep then leaves the password alone
        enqueued = queue.enqueue(
            CREATE,
            payload,
            principal=principal,
            operation="bundle.create",
            incident_id=payload["incident_id"],
            priority=priority,
            idempotency_key=idempotency_key,
            request_body={**payload, "priority": priority},
            active_key=f"{CREATE} {canonical_json(payload).decode()}",
            needs_bytes=needed_bytes(intake.size, intake.preview),
        )
        Intake.objects.filter(intake_id=intake.intake_id).update(job_id=enqueued.job.job_id)
        if password:  # before the job can be seen
            store.keep_password(intake.intake_id, password)
        if enqueued.created:
            chain.record(
                principal,
                "intake.bundle",
                "intake",
                str(intake.intake_id),
                incident_id=payload["incident_id"],
                digest=intake.sha256,
                outcome="requested",
                details={"job_id": str(enqueued.job.job_id), "kind": payload["intake"]["kind"]},
            )
    return enqueued
