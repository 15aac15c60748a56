"""What the API and the console ask of incidents: which are known, and what is known of one."""

from __future__ import annotations

from foundation.keyset import DEFAULT_LIMIT, Page
from foundation.principal import Principal
from incidents import known
from incidents.errors import IncidentNotFoundError
from incidents.known import IncidentSummary


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
