"""Finds artifacts, in bundles and restored, in one query, and puts those of one incident together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db import connection

from bundles.artifacts import search_sql, single_files
from bundles.format.model import paths
from bundles.models import Bundle
from foundation.db_session import ANY_PLAN
from foundation.principal import Principal
from incidents.search.question import Question

MOST_READ = 1_000  # in bundles, and as many restored ones

# Which rows, first, with each condition bounded; then what they hold.
_IN_BUNDLES = """
(SELECT bundle.incident_id, artifact_id, artifact.name, artifact.size, artifact.sha256, matched, bundle_id, place
FROM ({hits}) AS found JOIN orchestrator_bundle_artifacts AS artifact USING (bundle_id, place)
JOIN orchestrator_bundles AS bundle USING (bundle_id)
ORDER BY bundle.created_at DESC, bundle_id DESC, place LIMIT %(limit)s)"""
_RESTORED = """
(SELECT incident_id, artifact_id, name, size, sha256, matched, NULL::uuid, NULL::integer
FROM ({hits}) AS found JOIN orchestrator_artifact_records USING (id)
ORDER BY incident_id, name, artifact_id LIMIT %(limit)s)"""

_Row = tuple[str, str, str, int, str, str, Any, int | None]


@dataclass(frozen=True, kw_only=True)
class BundledFile:
    """The place of an artifact in a bundle's file list, and its path in the bundle."""

    bundle: Bundle
    place: int
    path: str
    size: int

    @property
    def can_be_opened(self) -> bool:
        """Whether it can be downloaded on its own, according to the database."""
        return self.bundle.state == Bundle.State.READY and self.size <= single_files.LARGEST_BYTES


@dataclass(frozen=True, kw_only=True)
class FoundArtifact:
    """An artifact of an incident, and what of it matched: `name`, `digest` or `id`.

    Attributes:
        name: as in the bundle, where some characters are escaped, or else as restored.
        size: bytes.
        sha256: hex; empty for a restored record without a file.
        bundled: its place in the newest bundle that it can be downloaded from, or else in the newest; None if no bundle
            has it.
        is_restored: whether it was restored here.
    """

    incident_id: str
    artifact_id: str
    name: str
    size: int
    sha256: str
    matched: str
    bundled: BundledFile | None
    is_restored: bool


@dataclass(frozen=True, kw_only=True)
class FoundArtifacts:
    """The artifacts found, by incident.

    Attributes:
        of: incident id → its artifacts, each once.
        is_cut: whether more may match than were read.
    """

    of: dict[str, list[FoundArtifact]]
    is_cut: bool


def artifacts(principal: Principal, question: Question) -> FoundArtifacts:
    """The artifacts whose id is the text, whose SHA-256 begins with it, or whose name or path contains it.

    Args:
        principal: artifacts in bundles need `bundles.view_bundle`, restored ones `rehydration.view_restoredincident`.
        question: the search text.
    """
    rows = _read(principal, question) if question.text else []
    restored = {_key(row) for row in rows if row[6] is None}
    bundles = Bundle.objects.in_bulk({row[6] for row in rows if row[6] is not None})
    files = [(row, _bundled(row, bundles)) for row in rows if row[6] is None or row[6] in bundles]
    found: dict[tuple[str, str, str], FoundArtifact] = {}
    for row, bundled in sorted(files, key=lambda file: _rank(file[1])):  # otherwise the newest bundle stays first
        incident_id, artifact_id, name, size, sha256, matched, *_ = row
        found.setdefault(
            _key(row),
            FoundArtifact(
                incident_id=incident_id, artifact_id=artifact_id, name=name, size=size, sha256=sha256, matched=matched,
                bundled=bundled, is_restored=_key(row) in restored,
            ),
        )  # fmt: skip
    return FoundArtifacts(of=_by_incident(found.values()), is_cut=_is_cut(rows))


def _read(principal: Principal, question: Question) -> list[_Row]:
    """The matching rows of both tables, those in bundles first and of these the newest."""
    text, digits = question.text, question.hex_digits
    parts: list[str] = []
    values: dict[str, Any] = {}
    if principal.may("bundles.view_bundle"):
        hits, given = search_sql.hits(
            "orchestrator_bundle_artifacts", "bundle_id, place", text=text, hex_digits=digits, limit=MOST_READ,
            needle="escaped",
        )  # fmt: skip
        parts.append(_IN_BUNDLES.format(hits=hits))
        values |= given
    if principal.may("rehydration.view_restoredincident"):
        hits, given = search_sql.hits(
            "orchestrator_artifact_records", "id", text=text, hex_digits=digits, limit=MOST_READ, needle="text"
        )
        parts.append(_RESTORED.format(hits=hits))
        values |= given
    if not parts:
        return []
    with connection.cursor() as cursor:
        cursor.execute(ANY_PLAN + " UNION ALL ".join(parts), values | {"escaped": paths.escaped(text)})
        return list(cursor.fetchall())


def _key(row: _Row) -> tuple[str, str, str]:
    """What makes two rows the same artifact: incident, id and content."""
    incident_id, artifact_id, _, _, sha256, *_ = row
    return incident_id, artifact_id, sha256


def _rank(bundled: BundledFile | None) -> int:
    return 2 if bundled is None else 0 if bundled.can_be_opened else 1


def _bundled(row: _Row, bundles: dict[Any, Bundle]) -> BundledFile | None:
    _, artifact_id, name, size, _, _, bundle_id, place = row
    if bundle_id is None or place is None:
        return None
    path = f"{paths.ARTIFACT_FOLDER}/{artifact_id}/{name}"
    return BundledFile(bundle=bundles[bundle_id], place=place, path=path, size=size)


def _by_incident(found: Iterable[FoundArtifact]) -> dict[str, list[FoundArtifact]]:
    of: dict[str, list[FoundArtifact]] = {}
    for one in found:
        of.setdefault(one.incident_id, []).append(one)
    return of


def _is_cut(rows: list[_Row]) -> bool:
    in_bundles = sum(row[6] is not None for row in rows)
    return MOST_READ in (in_bundles, len(rows) - in_bundles)
