"""What the API and the console ask of incidents: which are known, and what is known of one."""

from __future__ import annotations

from bundles import services as bundle_services
from bundles.models import IndexedRecord
from bundles.timelines.reading import ALERT, ARTIFACT, EVENT
from foundation.keyset import DEFAULT_LIMIT, Page
from foundation.principal import Principal
from incidents import known, summary
from incidents.errors import IncidentNotFoundError, RecordNotFoundError
from incidents.known import IncidentSummary
from incidents.summary import IncidentView
from incidents.timeline import record_query
from incidents.timeline.filters import Filter

BUNDLES_SHOWN = 10
MOST_POSITION = 2**63 - 1


def incidents(
    principal: Principal, *, search: str = "", cursor: str = "", limit: int = DEFAULT_LIMIT
) -> Page[IncidentSummary]:
    """The incidents that jobs, bundles or restores name, by id.

    Args:
        principal: needs `bundles.view_bundle`.
        search: only ids that contain this, whatever its case.
        cursor: where the page before ended.
        limit: incidents a page, 1 to 500.

    Raises:
        CursorInvalidError: the cursor is not one of this list.
    """
    principal.require("bundles.view_bundle")
    return known.page(search=search, cursor=cursor, limit=limit)


def incident(principal: Principal, incident_id: str) -> IncidentSummary:
    """What is known of one incident.

    Raises:
        IncidentNotFoundError: no job, bundle or restore names it.
    """
    principal.require("bundles.view_bundle")
    found = known.summary(incident_id)
    if found is None:
        raise IncidentNotFoundError("No job, bundle or restore names this incident.")
    return found


def view(principal: Principal, incident_id: str, origin: str = "") -> IncidentView:
    """One incident with its newest bundles and its indexed records.

    Args:
        principal: needs `bundles.view_bundle`.
        incident_id: which.
        origin: `bundle` or `restored`, where both exist; empty for the better one.

    Raises:
        IncidentNotFoundError: no job, bundle or restore names it.
    """
    bundles = bundle_services.page(principal, incident_id=incident_id, limit=BUNDLES_SHOWN)
    return summary.incident_view(principal, incident_id, bundles=bundles, asked=origin)


def records(
    principal: Principal,
    incident_id: str,
    wanted: Filter,
    *,
    kind: str,
    origin: str = "",
    cursor: str = "",
    limit: int = DEFAULT_LIMIT,
) -> Page[IndexedRecord]:
    """One page of an incident's records, oldest first; those without a time come last.

    Raises:
        IncidentNotFoundError: no job, bundle or restore names it.
        CursorInvalidError: the cursor is not one of this list.
    """
    kept = view(principal, incident_id, origin).kept
    if kept is None:
        return Page(items=[], next="")
    return record_query.records_page(kept, wanted, kind, cursor, limit)


def record(
    principal: Principal, incident_id: str, kind: str, position: int, origin: str = ""
) -> tuple[IncidentView, IndexedRecord]:
    """One record of an incident.

    Args:
        principal: needs `bundles.view_bundle`.
        incident_id: which incident.
        kind: event, alert or artifact.
        position: its place among its kind, from 0.
        origin: as in `view`.

    Raises:
        IncidentNotFoundError: no job, bundle or restore names the incident.
        RecordNotFoundError: it has no such record, or its records are not indexed.
    """
    found = view(principal, incident_id, origin)
    if found.kept is not None and kind in (EVENT, ALERT, ARTIFACT) and position <= MOST_POSITION:
        row = IndexedRecord.objects.filter(timeline_id=found.kept.pk, kind=kind, position=position).first()
        if row is not None:
            return found, row
    raise RecordNotFoundError("The records shown for this incident have no such record.")
