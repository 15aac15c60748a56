"""Searches incidents and restored artifacts by id, name, or the beginning of a digest.

Each way to find an artifact has an index (migration 0002); see `bundles.artifacts.search_sql`.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connection

from bundles.artifacts import search_sql
from foundation.principal import Principal
from incidents import known

_TABLE = "orchestrator_artifact_records"
# The expressions are those of migration 0002, letter for letter.
_BY_NAME = (
    "lower(left(name, 200)) LIKE lower(%(start)s)",
    r"lower(left(regexp_replace(name, '^.*[/\\]', ''), 200)) LIKE lower(%(start)s)",
)


@dataclass(frozen=True, kw_only=True)
class FoundArtifact:
    """An artifact that was restored here, and what of it matched: `name`, `digest` or `id`."""

    incident_id: str
    artifact_id: str
    name: str
    size: int
    sha256: str
    matched: str


def incidents_by_id(principal: Principal, text: str, *, limit: int) -> list[str]:
    """The ids of known incidents that contain `text`, whatever its case; the one that is `text` comes first."""
    if not principal.may("bundles.view_bundle"):
        return []
    found = known.ids(search=text, limit=limit)
    if text not in found and known.is_known(text):
        found = [text, *found[: limit - 1]]
    return sorted(found, key=lambda one: one != text)


def artifacts_by(principal: Principal, text: str, *, hex_digits: str, limit: int) -> list[FoundArtifact]:
    """Restored artifacts that `text` may mean: their id, the beginning of their name, path or SHA-256.

    Args:
        principal: without `rehydration.view_restoredincident` nothing is found.
        text: what was typed.
        hex_digits: the same as lower-case hex digits alone; empty if it is not hex.
        limit: how many at most.
    """
    if not principal.may("rehydration.view_restoredincident"):
        return []
    hits, values = search_sql.hits(_TABLE, "id", _BY_NAME, text=text, name=text, hex_digits=hex_digits, limit=limit)
    # Which rows, first, with each way bounded; only then what they hold.
    query = (
        f"SELECT incident_id, artifact_id, name, size, sha256, matched FROM ({hits}) AS found"  # noqa: S608 # of our own parts alone
        f" JOIN {_TABLE} USING (id) ORDER BY incident_id, name, artifact_id LIMIT %(limit)s"
    )
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        rows = cursor.fetchall()
    return [
        FoundArtifact(incident_id=row[0], artifact_id=row[1], name=row[2], size=row[3], sha256=row[4], matched=row[5])
        for row in rows
    ]
