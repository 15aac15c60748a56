"""Which hashes and addresses of an incident other incidents have too.

The values are read from the records when these are indexed (`bundles.timelines.observables`), so this is one join over
a table of values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import connection

from bundles.timelines.observables import is_hash
from foundation.principal import Principal
from incidents import services
from incidents.search.records import origins_for
from incidents.search.scope import visible

MOST_VALUES = 20
MOST_INCIDENTS = 5  # named for each value

_SHARED = """
SELECT mine.value, array_agg(DISTINCT kept.incident_id ORDER BY kept.incident_id) AS others
FROM (
    SELECT DISTINCT value FROM orchestrator_observables AS observable
    JOIN orchestrator_timelines AS own ON own.id = observable.timeline_id
    WHERE own.incident_id = %(incident)s AND own.origin = ANY(%(origins)s)
) AS mine
JOIN orchestrator_observables AS other USING (value)
JOIN orchestrator_timelines AS kept ON kept.id = other.timeline_id
WHERE kept.incident_id <> %(incident)s AND kept.origin = ANY(%(origins)s)
GROUP BY mine.value ORDER BY count(DISTINCT kept.incident_id) DESC, mine.value LIMIT %(most)s
"""


@dataclass(frozen=True, kw_only=True)
class SeenElsewhere:
    """A value that other incidents have too.

    Attributes:
        value: a hash in lower case, or an address.
        kind: `hash` or `address`.
        incidents: how many other incidents have it.
        first: the ids of the first of them.
    """

    value: str
    kind: str
    incidents: int
    first: tuple[str, ...]

    @property
    def left_out(self) -> int:
        """How many other incidents are not among `first`."""
        return self.incidents - len(self.first)


def seen_elsewhere(principal: Principal, incident_id: str) -> list[SeenElsewhere]:
    """The values of an incident that most other incidents have, at most `MOST_VALUES`.

    Args:
        principal: needs `bundles.view_bundle`; what was restored counts with `rehydration.view_restoredincident` only.
        incident_id: the incident.

    Raises:
        AccessDeniedError: the principal may not see bundles.
        IncidentNotFoundError: no job, bundle or restore names the incident.
    """
    services.incident(principal, incident_id)
    values: dict[str, Any] = {"incident": incident_id, "origins": origins_for(principal), "most": MOST_VALUES}
    with connection.cursor() as cursor:
        cursor.execute(_SHARED, values)
        rows = cursor.fetchall()
    seen = visible(principal, {other for _, others in rows for other in others})
    found = []
    for value, others in rows:
        named = [other for other in others if other in seen]
        if named:
            kind, first = "hash" if is_hash(value) else "address", tuple(named[:MOST_INCIDENTS])
            found.append(SeenElsewhere(value=value, kind=kind, incidents=len(named), first=first))
    return sorted(found, key=lambda one: -one.incidents)
