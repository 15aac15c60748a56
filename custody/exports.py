"""CSV export of lists, recorded in custody before the first byte is sent.

Lists of jobs, bundles, incidents and custody name incidents and people, so each export is
recorded with user, time and filter. Lists without evidence (workers) are not recorded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from django.http import StreamingHttpResponse

from custody import chain
from foundation import csv_export
from foundation.principal import Principal

ACTION = "list.export"


def as_csv(
    principal: Principal,
    name: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    filters: Mapping[str, object],
) -> StreamingHttpResponse:
    """Record the export of a list and answer it as CSV.

    Args:
        principal: who exports; the caller has checked the right to the list.
        name: the list: `jobs`, `bundles`, `incidents` or `custody`.
        columns: the first row.
        rows: the others; their first page has been read, so that a refusal came before this call.
        filters: what narrowed the list; empty ones are left out.
    """
    narrowed = {key: str(value) for key, value in filters.items() if value}
    details = {"filters": narrowed, "most_rows": csv_export.MOST_ROWS}
    incident_id = narrowed.get("incident_id", "")
    chain.record(principal, ACTION, "list", name, incident_id=incident_id, details=details)
    return csv_export.download(name, columns, rows)
