"""The contents of one bundle as its page and the API list them: artifacts by name, filtered by kind, host and text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Count, Q, QuerySet, Subquery, TextField, Value
from django.db.models.functions import Collate, Concat, Left, Lower

from bundles import manifest_files
from bundles.artifacts import single_files
from bundles.format.model import paths
from bundles.models import Bundle, BundledArtifact
from bundles.timelines.severities import SEVERITIES
from foundation import keyset
from foundation.keyset import Page

FILTERS = ("kind", "host")
OFFERED = 50  # values of a filter
SORTED_BY = 40  # characters of a name
NAMED = 5  # missing sources
LONGEST_SOURCE = 60  # characters
HOLDS = dict(zip(paths.DATA_MEMBERS, ("events", "alerts", "artifacts"), strict=True))

_VALUES = """
SELECT CASE WHEN grouping(kind) = 0 THEN 'kind' ELSE 'host' END AS field, coalesce(kind, host), count(*)
FROM orchestrator_bundle_artifacts WHERE bundle_id = %s GROUP BY GROUPING SETS ((kind), (host))
ORDER BY field, count(*) DESC, 2"""


@dataclass(frozen=True)
class Offer:
    """The values that a filter can have in one bundle.

    Attributes:
        values: (value, number of artifacts), those with the most artifacts first; without the empty one, and without
            those that contain control characters.
        more: how many values other than the empty one are left out.
    """

    values: list[tuple[str, int]]
    more: int

    @property
    def total(self) -> int:
        """How many different values there are."""
        return len(self.values) + self.more


@dataclass(frozen=True)
class Found:
    """Part of a bundle's artifacts, and how many match in all."""

    artifacts: list[BundledArtifact]
    total: int


@dataclass(frozen=True)
class Record:
    """A data member of a bundle, such as `timeline.json`, with its entry in the manifest.

    Attributes:
        place: index in the manifest's files, from 0.
        holds: `events`, `alerts` or `artifacts`.
        number: of its records; None while they have not been counted.
    """

    place: int
    entry: dict[str, Any]
    holds: str
    number: int | None


def offers(bundle: Bundle) -> dict[str, Offer]:
    """The values that the artifacts of a bundle have: `kind` and `host` → those values."""
    with connection.cursor() as cursor:
        cursor.execute(_VALUES, [bundle.bundle_id])
        rows = cursor.fetchall()
    found = {}
    for field in FILTERS:
        stated = [(value, number) for name, value, number in rows if name == field and value]
        # A form does not return control characters as they are.
        values = [(value, number) for value, number in stated if value.isprintable()][:OFFERED]
        found[field] = Offer(values, len(stated) - len(values))
    return found


def artifacts_of(bundle: Bundle, *, text: str = "", kind: str = "", host: str = "") -> QuerySet[BundledArtifact]:
    """The artifacts of a bundle, not ordered.

    Args:
        bundle: which bundle.
        text: only those with this in their path, original name, kind or host, ignoring case.
        kind: only those of exactly this kind.
        host: only those from exactly this host.
    """
    rows = BundledArtifact.objects.filter(bundle=bundle)
    if kind:
        rows = rows.filter(kind=kind)
    if host:
        rows = rows.filter(host=host)
    text = text.replace("\x00", "")
    if text:
        path = Concat(Value(f"{paths.ARTIFACT_FOLDER}/"), "artifact_id", Value("/"), "name", output_field=TextField())
        named = Q(member__icontains=text) | Q(original_name__icontains=text)
        rows = rows.annotate(member=path).filter(named | Q(kind__icontains=text) | Q(host__icontains=text))
    return rows


def page_of(bundle: Bundle, *, offset: int, limit: int, **wanted: str) -> Found:
    """Part of a bundle's artifacts by name; `wanted` is as in `artifacts_of`."""
    rows = artifacts_of(bundle, **wanted)
    # Only the beginnings of names are sorted, by code point: anything more takes several times as long.
    order = (Collate(Lower(Left("name", SORTED_BY)), "C"), "place")
    places = rows.order_by(*order).values("place")[offset : offset + limit]
    number = rows.values("bundle").annotate(number=Count("*")).values("number")
    whole = BundledArtifact.objects.filter(bundle=bundle, place__in=places).annotate(found=Subquery(number))
    listed = list(whole.order_by(*order))
    if not listed:
        return Found([], rows.count() if offset else 0)
    return Found([*listed], listed[0].found)


def name_of(bundle_id: UUID, place: int) -> str:
    """The name of the artifact at a place of the manifest, as its record states it; empty if there is none."""
    artifact = BundledArtifact.objects.filter(bundle_id=bundle_id, place=place).first()
    return (artifact.original_name or artifact.name) if artifact else ""


def walk_page(bundle: Bundle, *, cursor: str, limit: int, **wanted: str) -> Page[BundledArtifact]:
    """One page of a bundle's artifacts in the order of the manifest; `wanted` is as in `artifacts_of`.

    Raises:
        CursorInvalidError: the cursor does not belong to this list.
    """
    return keyset.page(artifacts_of(bundle, **wanted), order=("place",), cursor=cursor, limit=limit)


def as_dict(artifact: BundledArtifact) -> dict[str, Any]:
    """An artifact in the API's form."""
    return {
        "place": artifact.place,
        "path": artifact.path,
        "artifact_id": artifact.artifact_id,
        "name": artifact.original_name or artifact.name,
        "kind": artifact.kind,
        "host": artifact.host,
        "collected_at": artifact.collected_at,
        "faults": artifact.faults.splitlines(),
        "size": artifact.size,
        "sha256": artifact.sha256,
    }


def records_of(bundle: Bundle, text: str = "") -> list[Record]:
    """The data members of a bundle with `text` in their path, in the order timeline, alerts, artifacts."""
    counted = counts_of(bundle)
    found = {
        entry["path"]: Record(place, entry, HOLDS[entry["path"]], counted.get(HOLDS[entry["path"]]))
        for place, entry in enumerate(manifest_files.files_of(bundle.bundle_id))
        if entry["path"] in HOLDS and text.casefold() in entry["path"]
    }
    return [found[member] for member in paths.DATA_MEMBERS if member in found]


def counts_of(bundle: Bundle) -> dict[str, int]:
    """How many `events`, `alerts` and `artifacts` a bundle has; without those that it lacks or that are not counted."""
    counted = dict(bundle.counts or {})
    if counted.get("alerts") is not None:
        counted["alerts"] = sum(counted["alerts"].values())
    return {name: int(counted[name]) for name in HOLDS.values() if counted.get(name) is not None}


def severities_of(bundle: Bundle) -> list[tuple[str, int]]:
    """How many alerts a bundle has of each severity, the worst first."""
    counted = (bundle.counts or {}).get("alerts") or {}
    return [(severity, counted[severity]) for severity in reversed(SEVERITIES) if counted.get(severity)]


def inside(bundle: Bundle, hosts: int) -> str:
    """What is in a bundle, in words: `1,208 events, 1,336 alerts, 55 artifacts from 6 hosts`.

    Args:
        bundle: one whose records have not been counted is described by its number of files.
        hosts: from how many hosts its artifacts were collected, as their records say; 0 if they do not say.
    """
    counted = counts_of(bundle)
    if not counted:
        return _number(bundle.files, "file")
    parts = [_number(number, name.removesuffix("s")) for name, number in counted.items()]
    return ", ".join(parts) + (f" from {_number(hosts, 'host')}" if hosts and counted.get("artifacts") else "")


def missing_words(missing: Sequence[Mapping[str, str]]) -> str:
    """What a manifest lists as missing, in words: `alerts, 3 files`; empty if that is nothing."""
    sources = sorted({gap["source"][:LONGEST_SOURCE] for gap in missing if gap.get("source")})
    files = sum(1 for gap in missing if not gap.get("source"))
    others = len(sources) - NAMED
    parts = [
        *sources[:NAMED],
        *([_number(others, "other source")] if others > 0 else []),
        *([_number(files, "file")] if files else []),
    ]
    return ", ".join(parts)


def can_be_opened(bundle: Bundle, size: int) -> bool:
    """Whether a file of this size in bytes can be opened on its own, as far as the database knows."""
    return bundle.state == Bundle.State.READY and size <= single_files.LARGEST_BYTES


def _number(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"
