"""The incidents that the sources list, each with the bundles that were made of it here."""

from __future__ import annotations

import json
from dataclasses import dataclass

from django.db import connection

from bundles.sources import listing
from bundles.sources.adapters.protocol import Listed
from bundles.sources.listing import SystemListing
from bundles.sources.profiles import PARTS
from foundation.principal import Principal

# A bundle's entry of any part may name the system and the incident's id there; each containment is one look-up in the
# index of `sources`.
_BUNDLED = """
SELECT wanted.place, made.incident_id
FROM unnest(%(places)s::int[], %(entries)s::jsonb[]) AS wanted (place, entry)
JOIN LATERAL (
    SELECT incident_id FROM orchestrator_bundles WHERE sources @> wanted.entry ORDER BY created_at DESC LIMIT 1
) AS made ON true
"""


@dataclass(frozen=True, kw_only=True)
class ListedIncident:
    """An incident that a system lists.

    Attributes:
        listed: as the system has it; untrusted.
        incident_id: its id here, if a bundle was made of it; empty otherwise.
    """

    listed: Listed
    incident_id: str


@dataclass(frozen=True, kw_only=True)
class FromSystem:
    """What one system lists, newest first, and which of it is bundled here."""

    listing: SystemListing
    incidents: tuple[ListedIncident, ...]


def can_list() -> bool:
    """Whether any configured system can list its incidents."""
    return bool(listing.able())


def found(principal: Principal, *, wait_s: float = listing.WAITS_S) -> list[FromSystem]:
    """The incidents of every system that can list them.

    Args:
        principal: needs `bundles.create_bundle`, as the titles of incidents that were never bundled are in it.
        wait_s: longest wait for the systems together, in seconds.

    Raises:
        AccessDeniedError: the principal may not bundle.
    """
    principal.require("bundles.create_bundle")
    listings = listing.listed(wait_s)
    asked = [(one.system, listed.ref) for one in listings for listed in one.incidents]
    known = _bundled(asked)
    return [
        FromSystem(
            listing=one,
            incidents=tuple(
                ListedIncident(listed=listed, incident_id=known.get((one.system, listed.ref), ""))
                for listed in one.incidents
            ),
        )
        for one in listings
    ]


def _bundled(asked: list[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """System and id there → the id here of its newest bundle, for those that have one."""
    if not asked:
        return {}
    places, entries = [], []
    for place, (system, ref) in enumerate(asked):
        for part in PARTS:
            places.append(place)
            entries.append(json.dumps({part.key: {"system": system, "ref": ref}}))
    with connection.cursor() as cursor:
        cursor.execute(_BUNDLED, {"places": places, "entries": entries})
        return {asked[place]: incident_id for place, incident_id in cursor.fetchall()}
