"""Incidents and restored artifacts by what people know of them: an id, a name, the beginning of a digest.

Each way to find an artifact has an index (migration 0201), so that one among millions costs as much as one among ten.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connection

from bundles.finding import digest_range
from custody.principal import Principal
from rehydration import known_incidents

NAME_FROM = 3  # characters
NAME_SHOWN_TO_THE_INDEX = 200  # the expressions below are those of migration 0201, letter for letter

_BY_DIGEST = "SELECT id, 'digest' FROM orchestrator_artifact_records WHERE sha256 BETWEEN %(low)s AND %(high)s"
_BY_ID = "SELECT id, 'id' FROM orchestrator_artifact_records WHERE artifact_id = %(text)s"
_BY_START = "SELECT id, 'name' FROM orchestrator_artifact_records WHERE lower(left(name, 200)) LIKE lower(%(start)s)"
_BY_LAST_PART = r"""SELECT id, 'name' FROM orchestrator_artifact_records
    WHERE lower(left(regexp_replace(name, '^.*[/\\]', ''), 200)) LIKE lower(%(start)s)"""


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
    found = known_incidents.ids(search=text, limit=limit)
    if text not in found and known_incidents.is_known(text):
        found = [text, *found[: limit - 1]]
    return sorted(found, key=lambda one: one != text)


def artifacts_by(principal: Principal, text: str, *, hex_digits: str, limit: int) -> list[FoundArtifact]:
    """Restored artifacts that `text` may mean: their id, the beginning of their name, path or SHA-256.

    Args:
        principal: without `rehydration.view_restoredincident` nothing is found.
        text: what was typed.
        hex_digits: the same as lower-case hex digits alone; empty when it is no such thing.
        limit: how many at most.
    """
    if not principal.may("rehydration.view_restoredincident"):
        return []
    ways = [_BY_ID]
    values: dict[str, str | int] = {"text": text, "limit": limit}
    bounds = digest_range(hex_digits)
    if bounds:
        ways.append(_BY_DIGEST)
        values |= {"low": bounds[0], "high": bounds[1]}
    if len(text) >= NAME_FROM:
        ways += [_BY_START, _BY_LAST_PART]
        values["start"] = _escaped(text[:NAME_SHOWN_TO_THE_INDEX]) + "%"
    united = " UNION ALL ".join(f"({way} LIMIT %(limit)s)" for way in ways)
    # Which rows, first, with each way bounded; only then what they hold.
    query = (
        "SELECT incident_id, artifact_id, name, size, sha256, matched FROM"  # noqa: S608 # of our own parts alone
        f" (SELECT id, min(matched) AS matched FROM ({united}) AS hit (id, matched) GROUP BY id) AS found"
        " JOIN orchestrator_artifact_records USING (id) ORDER BY incident_id, name, artifact_id LIMIT %(limit)s"
    )
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        rows = cursor.fetchall()
    return [
        FoundArtifact(incident_id=row[0], artifact_id=row[1], name=row[2], size=row[3], sha256=row[4], matched=row[5])
        for row in rows
    ]


def _escaped(text: str) -> str:
    """`text` for LIKE, where nothing of it is a wildcard."""
    return text.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
