"""Writing and checking the chain.

`record` appends one event inside the caller's transaction, so that an action and its event commit together or not
at all. `verify` and `verify_exported` recompute every hash; the second needs no database.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

from custody.models import Event
from foundation.instant import rfc3339
from foundation.principal import Principal

GENESIS = "0" * 64
HASHED_FIELDS = (
    "sequence", "at", "actor", "authenticated_by", "address", "action", "object_type", "object_id",
    "incident_id", "digest", "outcome", "details", "previous_hash",
)  # fmt: skip
# Values from the caller, in the order of the SQL function of migration 0002, which adds the others.
BROUGHT = (
    "actor", "authenticated_by", "address", "action", "object_type", "object_id", "incident_id", "digest", "outcome",
    "details",
)  # fmt: skip
APPEND = f"""
SELECT sequence, at, previous_hash, hash FROM orchestrator_custody_append(
    %(before_at)s, %(before_previous_hash)s, %(before_sequence)s, {", ".join(f"%({name})s" for name in BROUGHT)})"""  # noqa: S608 # made of the names above alone


@dataclass(frozen=True, kw_only=True)
class ChainReport:
    """What a check of the chain found.

    Attributes:
        intact: every event's hash is right and names the one before, with no gap.
        events: how many events were checked.
        last_sequence: the last event that checked out; 0 when there is none.
        last_hash: its hash.
        last_at: its time, RFC 3339; empty when there is none.
        fault: what is wrong with the first bad event, empty when intact.
    """

    intact: bool
    events: int
    last_sequence: int
    last_hash: str
    last_at: str
    fault: str = ""


def event_hash(fields: Mapping[str, Any]) -> str:
    """SHA-256 (hex) over the canonical JSON of an event's `HASHED_FIELDS`."""
    body = {name: fields[name] for name in HASHED_FIELDS}
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode("ascii")).hexdigest()


def record(
    principal: Principal,
    action: str,
    object_type: str,
    object_id: str,
    *,
    incident_id: str = "",
    digest: str = "",
    outcome: str = "ok",
    details: Mapping[str, Any] | None = None,
) -> Event:
    """Append one event in the current transaction.

    Args:
        principal: who did it.
        action: a verb phrase such as `bundle.create`, `bundle.verify`, `job.cancel`.
        object_type: `bundle`, `job`, `incident`, `list`, `upload`, `key`, `token`, `user` or `worker`.
        object_id: which one.
        incident_id: the incident the object belongs to, when it belongs to one.
        digest: SHA-256 (hex) of the evidence at that time, if any.
        outcome: `ok`, `requested`, or a stable error code.
        details: JSON values worth keeping; never a secret.

    Returns:
        The event as stored.
    """
    fields: dict[str, Any] = {
        "actor": _storable(principal.name),
        "authenticated_by": principal.authenticated_by,
        "address": _storable(principal.address),
        "action": action,
        "object_type": object_type,
        "object_id": _storable(object_id),
        "incident_id": _storable(incident_id),
        "digest": digest,
        "outcome": outcome,
        "details": json.dumps(dict(details or {}), sort_keys=True, separators=(",", ":")),
    }
    # Other appends wait from here to COMMIT, so this is one statement.
    with transaction.atomic(savepoint=False), connection.cursor() as cursor:
        cursor.execute(APPEND, {**fields, **_around(fields)})
        sequence, at, previous_hash, own_hash = cursor.fetchone()
    return Event(**fields, sequence=sequence, at=at, previous_hash=previous_hash, hash=own_hash)


def _around(fields: Mapping[str, Any]) -> dict[str, str]:
    """The canonical JSON of an event around the three values that it does not have yet.

    Canonical JSON is in the order of the names, so placeholders mark where the values belong.
    """
    marks = ("\x00at", "\x00previous", "\x00sequence")  # U+0000 is in no text that can be stored
    body = {**fields, "at": marks[0], "previous_hash": marks[1], "sequence": marks[2]}
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    before_at, rest = text.split(json.dumps(marks[0]))
    before_previous_hash, rest = rest.split(json.dumps(marks[1]))
    before_sequence, _ = rest.split(json.dumps(marks[2]))
    return {
        "before_at": f'{before_at}"',
        "before_previous_hash": f'"{before_previous_hash}"',
        "before_sequence": f'"{before_sequence}',
    }


def export(events: Iterable[Event]) -> Iterator[dict[str, Any]]:
    """Each event as plain JSON values, in the form that `verify_exported` checks."""
    for event in events:
        yield {**exported_fields(event), "hash": event.hash}


def exported_fields(event: Event) -> dict[str, Any]:
    """The hashed fields of a stored event."""
    return {**{name: getattr(event, name) for name in HASHED_FIELDS}, "at": rfc3339(event.at)}


def verify() -> ChainReport:
    """Check the whole stored chain from its first event, in one pass and bounded memory."""
    return verify_exported(export(Event.objects.order_by("sequence").iterator(chunk_size=2000)))


def verify_exported(events: Iterable[Mapping[str, Any]]) -> ChainReport:
    """Check a chain given as exported events, first to last.

    Args:
        events: mappings with `HASHED_FIELDS` and `hash`; the first must be event 1.

    Returns:
        The report; a broken chain is reported, not raised, since what is sound before the break still counts.
    """
    sequence, previous, at, count = 0, GENESIS, "", 0
    for event in events:
        fault = ""
        if event.get("sequence") != sequence + 1:
            fault = f"event {sequence + 1} is missing: event {event.get('sequence')} follows {sequence}"
        elif event.get("previous_hash") != previous:
            fault = f"event {sequence + 1} does not follow from event {sequence}"
        elif any(name not in event for name in HASHED_FIELDS):
            fault = f"event {sequence + 1} lacks a field"
        elif event_hash(event) != event.get("hash"):
            fault = f"event {sequence + 1} was changed after it was written"
        if fault:
            return ChainReport(
                intact=False, events=count, last_sequence=sequence, last_hash=previous, last_at=at, fault=fault
            )
        sequence, previous, at, count = sequence + 1, str(event["hash"]), str(event["at"]), count + 1
    return ChainReport(intact=True, events=count, last_sequence=sequence, last_hash=previous, last_at=at)


def _storable(text: str) -> str:
    """`text` without what PostgreSQL cannot store (NUL, lone surrogates), which no honest name holds."""
    return text.replace("\x00", "%00").encode("utf-8", "backslashreplace").decode("utf-8")
