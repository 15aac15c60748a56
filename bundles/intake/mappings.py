"""Mappings of columns, saved under a name: which column of a file holds the time, the title, and so on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.db import transaction

from bundles.errors import InvalidBundleRequestError
from bundles.intake.errors import MappingNotFoundError
from bundles.intake.formats import kinds
from bundles.models import IntakeMapping
from custody import chain
from foundation.principal import Principal

PERMISSION = "bundles.create_bundle"
NAME_PATTERN = "[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
COLUMN_CHARACTERS = 200
MOST_SAVED = 500
_NAME = re.compile(NAME_PATTERN)


def fault(mapping: Mapping[str, Any]) -> str:
    """What is wrong with a mapping of `kinds.MAPPED_TO` → column; empty if nothing is."""
    wrong = sorted(set(mapping) - set(kinds.MAPPED_TO))
    if wrong:
        return f"{', '.join(wrong)[:200]}: one of " + ", ".join(kinds.MAPPED_TO)
    for ours, theirs in mapping.items():
        if not isinstance(theirs, str) or not 0 < len(theirs) <= COLUMN_CHARACTERS or "\0" in theirs:
            return f"{ours}: the name of a column, 1 to {COLUMN_CHARACTERS} characters"
    return ""


def saved(principal: Principal) -> list[IntakeMapping]:
    """The saved mappings, by name.

    Raises:
        AccessDeniedError: the principal may not bundle.
    """
    principal.require(PERMISSION)
    return list(IntakeMapping.objects.all()[:MOST_SAVED])


def find(name: str) -> IntakeMapping | None:
    """The mapping of this name; None if there is none."""
    return IntakeMapping.objects.filter(name=name).first() if _NAME.fullmatch(name) else None


def get(principal: Principal, name: str) -> IntakeMapping:
    """A saved mapping.

    Raises:
        AccessDeniedError: the principal may not bundle.
        MappingNotFoundError: there is none of this name.
    """
    principal.require(PERMISSION)
    found = find(name)
    if found is None:
        raise MappingNotFoundError("No mapping is saved under this name.")
    return found


def save(principal: Principal, name: str, mapping: Mapping[str, str]) -> IntakeMapping:
    """Save a mapping under a name; one of the same name is replaced, which changes no job that was queued before.

    Raises:
        AccessDeniedError: the principal may not bundle.
        InvalidBundleRequestError: the name or the mapping is invalid, or there are too many mappings.
    """
    principal.require(PERMISSION)
    errors = {} if _NAME.fullmatch(name) else {"name": f"must match {NAME_PATTERN}"}
    if wrong := fault(mapping) or ("" if mapping else "names no column"):
        errors["mapping"] = wrong
    elif not find(name) and IntakeMapping.objects.count() >= MOST_SAVED:
        errors["name"] = f"{MOST_SAVED} mappings are saved; delete one first"
    if errors:
        raise InvalidBundleRequestError("The request has invalid parameters.", errors)
    values = {"mapping": dict(mapping), "saved_at": datetime.now(UTC), "saved_by": principal.name}
    with transaction.atomic():
        made, _ = IntakeMapping.objects.update_or_create(name=name, defaults=values)
        chain.record(principal, "intake.save_mapping", "intake_mapping", name, details={"mapping": dict(mapping)})
    return made


def delete(principal: Principal, name: str) -> None:
    """Delete a saved mapping.

    Raises:
        AccessDeniedError, MappingNotFoundError: see `get`.
    """
    made = get(principal, name)
    with transaction.atomic():
        made.delete()
        chain.record(principal, "intake.delete_mapping", "intake_mapping", name)


def as_json(made: IntakeMapping) -> dict[str, Any]:
    """A saved mapping for the API."""
    return {"name": made.name, "mapping": made.mapping, "saved_at": made.saved_at, "saved_by": made.saved_by}
