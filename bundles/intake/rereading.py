"""Reads a delivered file once more for its preview: with columns that were chosen, or with a password."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from django.db import transaction

from bundles.errors import InvalidBundleRequestError
from bundles.intake import mappings, read_job, services, store
from bundles.models import Intake
from foundation.principal import Principal
from jobs.queue.job_result import Enqueued


def request(
    principal: Principal,
    intake_id: UUID | str,
    *,
    mapping: Mapping[str, str] | None = None,
    password: str = "",
) -> Enqueued:
    """Queue another reading of a delivered file; the preview of the newest reading counts.

    Args:
        principal: needs `bundles.create_bundle`.
        intake_id: the delivered file.
        mapping: see `services.request_bundle`.
        password: of an encrypted archive; kept beside the file until the job ends, and nowhere else.

    Raises:
        AccessDeniedError: the principal may not bundle.
        IntakeNotFoundError: there is no such file here.
        InvalidBundleRequestError: an argument is invalid.
    """
    principal.require(services.PERMISSION)
    intake = services.find(principal, intake_id)
    errors = {"mapping": wrong} if (wrong := mappings.fault(mapping or {})) else {}
    if len(password) > services.PASSWORD_CHARACTERS:
        errors["password"] = f"at most {services.PASSWORD_CHARACTERS} characters"
    if errors:
        raise InvalidBundleRequestError("The request has invalid parameters.", errors)
    with transaction.atomic():
        Intake.objects.select_for_update().get(intake_id=intake.intake_id)  # the sweep then leaves the password alone
        enqueued = read_job.request(principal, intake, mapping=mapping)
        Intake.objects.filter(intake_id=intake.intake_id).update(preview_job_id=enqueued.job.job_id)
        if password:
            store.keep_password(intake.intake_id, password)
    return enqueued
