"""Requests of those who may not restore to those who may: ask, list, decline, and done once the bundle is restored.

Each call checks the principal's right, and each change is in custody in the same transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from bundles import services as bundle_services
from bundles.models import Bundle
from custody import chain
from foundation import keyset
from foundation.errors import AccessDeniedError
from foundation.keyset import Page
from foundation.principal import Principal
from foundation.storable_text import refuse_unstorable
from rehydration.errors import (
    RestoreRequestDecidedError,
    RestoreRequestError,
    RestoreRequestNotFoundError,
)
from rehydration.models import RestoreRequest

ASK, RESTORE = "rehydration.ask_for_restore", "rehydration.restore_bundle"
MAX_TEXT_CHARS = 500
ORDER = ("-asked_at", "-request_id")
OPEN, DONE, DECLINED = RestoreRequest.State.OPEN, RestoreRequest.State.DONE, RestoreRequest.State.DECLINED


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request, and whether this call made it."""

    request: RestoreRequest
    created: bool


def ask(principal: Principal, *, bundle_id: UUID | str, note: str = "") -> Asked:
    """Ask an operator to restore one bundle; an open request of the same principal for it is returned instead.

    Args:
        principal: needs `rehydration.ask_for_restore`.
        bundle_id: a registered bundle.
        note: why, for the operator; at most `MAX_TEXT_CHARS` characters.

    Raises:
        AccessDeniedError: the principal may not ask.
        BundleNotFoundError: there is no such bundle.
        RestoreRequestError: the note is too long, or the bundle's file is lost.
        InvalidRequestError: the note cannot be stored.
    """
    principal.require(ASK)
    note = _checked("note", note)
    bundle = bundle_services.get(principal, bundle_id)
    if bundle.state == Bundle.State.LOST:
        raise RestoreRequestError("The file of this bundle is lost, so it cannot be restored.")
    with transaction.atomic():
        made, created = RestoreRequest.objects.get_or_create(
            bundle_id=bundle.bundle_id,
            asked_by=principal.name,
            state=OPEN,
            defaults={"incident_id": bundle.incident_id, "asked_at": Now(), "note": note},
        )
        made.refresh_from_db()
        if created:
            _record(principal, "restore_request.ask", made, note)
    return Asked(request=made, created=created)


def decline(principal: Principal, request_id: UUID | str, *, reason: str) -> RestoreRequest:
    """Decline an open request.

    Args:
        principal: needs `rehydration.restore_bundle`.
        request_id: the request.
        reason: for whoever asked; 1 to `MAX_TEXT_CHARS` characters.

    Raises:
        AccessDeniedError: the principal may not restore.
        RestoreRequestNotFoundError: there is no such request.
        RestoreRequestDecidedError: it is done or declined already.
        RestoreRequestError: there is no reason, or it is too long.
        InvalidRequestError: the reason cannot be stored.
    """
    principal.require(RESTORE)
    reason = _checked("reason", reason)
    if not reason:
        raise RestoreRequestError("Say why, for the person who asked.", {"reason": "is required"})
    with transaction.atomic():
        found = get(principal, request_id)
        changed = RestoreRequest.objects.filter(request_id=found.request_id, state=OPEN).update(
            state=DECLINED, decided_at=Now(), decided_by=principal.name, reason=reason
        )
        if not changed:
            raise RestoreRequestDecidedError(f"This request is {found.get_state_display().lower()} already.")
        _record(principal, "restore_request.decline", found, reason)
    found.refresh_from_db()
    return found


def close_restored(principal: Principal, bundle_id: str) -> int:
    """Mark the open requests for a bundle as done; called in the transaction that completes its restore.

    Returns:
        How many there were.
    """
    if not bundle_id:
        return 0
    waiting = list(RestoreRequest.objects.select_for_update().filter(bundle_id=bundle_id, state=OPEN))
    for one in waiting:
        RestoreRequest.objects.filter(pk=one.pk).update(state=DONE, decided_at=Now(), decided_by=principal.name)
        _record(principal, "restore_request.done", one, "")
    return len(waiting)


def page(
    principal: Principal, *, state: str = "", bundle_id: str = "", cursor: str = "", limit: int = 50
) -> Page[RestoreRequest]:
    """One page of requests, newest first: all for those who may restore, else the principal's own.

    Raises:
        AccessDeniedError: the principal may neither ask nor restore.
        CursorInvalidError: the cursor is not one of this list.
    """
    rows = _visible(principal)
    if state:
        rows = rows.filter(state=state)
    if bundle_id:
        rows = rows.filter(bundle_id=bundle_id)
    return keyset.page(rows, order=ORDER, cursor=cursor, limit=limit)


def get(principal: Principal, request_id: UUID | str) -> RestoreRequest:
    """One request.

    Raises:
        AccessDeniedError: the principal may neither ask nor restore.
        RestoreRequestNotFoundError: there is none of that id that the principal may see.
    """
    rows = _visible(principal)
    try:
        wanted = request_id if isinstance(request_id, UUID) else UUID(request_id)
    except ValueError as error:
        raise RestoreRequestNotFoundError from error
    found = rows.filter(request_id=wanted).first()
    if found is None:
        raise RestoreRequestNotFoundError
    return found


def _visible(principal: Principal) -> QuerySet[RestoreRequest]:
    if principal.may(RESTORE):
        return RestoreRequest.objects.all()
    if not principal.may(ASK):
        raise AccessDeniedError("Your role does not allow this.", ASK)
    return RestoreRequest.objects.filter(asked_by=principal.name)


def _checked(name: str, text: str) -> str:
    text = text.strip()
    refuse_unstorable(name, text)
    if len(text) > MAX_TEXT_CHARS:
        raise RestoreRequestError(f"The {name} has more than {MAX_TEXT_CHARS} characters.", {name: "is too long"})
    return text


def _record(principal: Principal, action: str, request: RestoreRequest, text: str) -> None:
    details = {"request_id": str(request.request_id), "asked_by": request.asked_by, **({"text": text} if text else {})}
    chain.record(principal, action, "bundle", str(request.bundle_id), incident_id=request.incident_id, details=details)
