"""A resumable upload that is complete becomes a delivered file; see `bundles.uploads.resumable`."""

from __future__ import annotations

import hashlib
from uuid import UUID

from django.db import connection, transaction

from bundles.intake import services, store
from bundles.intake.services import Arrived
from bundles.models import Intake
from bundles.uploads import resumable
from foundation.principal import Principal


def finish(principal: Principal, ticket: str) -> Intake:
    """Take a complete upload in; repeated calls return the same delivered file.

    The whole file is hashed here.

    Raises:
        AccessDeniedError: the principal may not bundle.
        UploadNotFoundError: see `resumable.identity`.
        UploadOffsetError: bytes are still missing.
        StoreMismatchError: this host's OUTPUT_DIR is not the store that the database knows.
    """
    intake_id = UUID(resumable.identity(principal, ticket, resumable.IMPORT))
    known = Intake.objects.filter(intake_id=intake_id).first()
    if known is not None:
        return known
    received = resumable.complete(principal, ticket, resumable.IMPORT)
    with received.path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    arrived = Arrived(file=received.path, name=received.name, size=received.size, sha256=digest)
    return once(principal, arrived, intake_id)


def once(principal: Principal, arrived: Arrived, intake_id: UUID) -> Intake:
    """Take a file in under an id of its own, once: whoever comes second gets what the first one made."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [intake_id.int & 0x7FFFFFFFFFFFFFFF])
        known = Intake.objects.filter(intake_id=intake_id).first()
        if known is not None:
            arrived.file.unlink(missing_ok=True)
            return known
        store.remove(intake_id)  # what an attempt left that was killed before its commit
        return services.receive(principal, arrived, intake_id=intake_id)
