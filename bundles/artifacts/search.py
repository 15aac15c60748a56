"""Searches the artifacts in the bundles of this server, restored or not."""

from __future__ import annotations

from dataclasses import dataclass, fields

from django.db import connection

from bundles.artifacts import search_sql, single_files
from bundles.format.model import paths
from bundles.models import Bundle
from foundation.principal import Principal

_TABLE, _KEY = "orchestrator_bundle_artifacts", "bundle_id, place"
# Must be exactly the expressions and the condition of migration 0002.
_BY_NAME = (
    "lower(regexp_replace(name, '^.*%%5C', '')) LIKE lower(%(start)s)",
    "strpos(name, '%%5C') > 0 AND lower(name) LIKE lower(%(start)s)",
)


@dataclass(frozen=True, kw_only=True)
class BundledFile:
    """An artifact in a bundle, its place in the file list, and what matched: `name`, `digest` or `id`."""

    bundle: Bundle
    place: int
    artifact_id: str
    name: str
    size: int
    sha256: str
    matched: str

    @property
    def path(self) -> str:
        """Its path in the bundle."""
        return f"{paths.ARTIFACT_FOLDER}/{self.artifact_id}/{self.name}"

    @property
    def can_be_opened(self) -> bool:
        """Whether it can be downloaded on its own, according to the database."""
        return self.bundle.state == Bundle.State.READY and self.size <= single_files.LARGEST_BYTES


def artifacts_in_bundles(principal: Principal, text: str, *, hex_digits: str, limit: int) -> list[BundledFile]:
    """Artifacts in bundles whose id is `text`, or whose SHA-256 or name begins with it.

    Args:
        principal: without `bundles.view_bundle` nothing is found.
        text: the search text.
        hex_digits: the search text as lower-case hex digits; empty if it is not hex.
        limit: the largest number of results.

    Returns:
        The artifacts found, those of the newest bundle first. At the limit, newer ones may have been left out.
    """
    if not principal.may("bundles.view_bundle"):
        return []
    hits, values = search_sql.hits(
        _TABLE, _KEY, _BY_NAME, text=text, name=paths.escaped(text), hex_digits=hex_digits, limit=limit
    )
    query = (
        "SELECT bundle_id, place, artifact_id, artifact.name, artifact.size, artifact.sha256, matched"  # noqa: S608 # of our own parts alone
        f" FROM ({hits}) AS found JOIN {_TABLE} AS artifact USING (bundle_id, place)"
        " JOIN orchestrator_bundles AS bundle USING (bundle_id)"
        " ORDER BY bundle.created_at DESC, bundle_id DESC, place LIMIT %(limit)s"
    )
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        rows = cursor.fetchall()
    bundles = Bundle.objects.in_bulk([row[0] for row in rows])
    names = [field.name for field in fields(BundledFile)]
    return [
        BundledFile(**dict(zip(names, (bundles[bundle_id], *rest), strict=True)))
        for bundle_id, *rest in rows
        if bundle_id in bundles  # may have been deleted since
    ]
