"""Indexes the artifacts of each bundle in a table, so that a list or a search need not open a bundle.

The rows are derived from the signed manifest and `artifacts.json`, and written in the transaction that registers the
bundle. Verifying a bundle whose records were not read yet adds what the records say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from django.db import connection

from bundles.format.model import paths
from bundles.format.model.canonical import canonical_json
from bundles.format.model.manifest import FileEntry
from foundation.storable_text import shortened

T = TypeVar("T")

BATCH = 2000
LONGEST_FIELD = 200  # characters of a kind, host or time
LONGEST_NAME = 1000  # characters of an original name
LONGEST_FAULT = 500  # characters
MOST_FAULTS = 10  # of an artifact
# The fields of a record, in order of preference: the first that is not empty counts.
KIND_FIELDS = ("artifact_type", "type", "kind")
HOST_FIELDS = ("source_host", "host", "hostname")
COLLECTED_FIELDS = ("collected_at", "acquired_at")

_ARTIFACTS = """
INSERT INTO orchestrator_bundle_artifacts
    (bundle_id, place, artifact_id, name, size, sha256, original_name, kind, host, collected_at, faults)
SELECT %s, * FROM unnest(%s::integer[], %s::text[], %s::text[], %s::bigint[], %s::text[], %s::text[], %s::text[],
    %s::text[], %s::text[], %s::text[])"""
_DESCRIBED = """
UPDATE orchestrator_bundle_artifacts AS artifact
SET original_name = CASE WHEN said.name = artifact.name THEN '' ELSE said.name END, kind = said.kind,
    host = said.host, collected_at = said.collected_at, faults = said.faults
FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[])
    AS said (artifact_id, name, kind, host, collected_at, faults)
WHERE artifact.bundle_id = %s AND artifact.artifact_id = said.artifact_id"""


class Description(NamedTuple):
    """What the record of an artifact says about it, cut to a bounded length; empty where it says nothing."""

    name: str
    kind: str
    host: str
    collected_at: str
    faults: str = ""


NOTHING_SAID = Description("", "", "", "")


def collect(said: dict[str, Description], record: dict[str, Any]) -> None:
    """Add what the record of an artifact says to `said`, by the artifact id in the path of its file."""
    artifact_id, description = record.get("artifact_id"), description_of(record)
    if isinstance(artifact_id, str) or (isinstance(artifact_id, int) and not isinstance(artifact_id, bool)):
        said[paths.path_id(artifact_id)] = description
    said.setdefault(str(artifact_id), description)  # bundles of other writers may have a number as it is


def description_of(record: dict[str, Any]) -> Description:
    """What one record says."""
    return Description(
        _text(record.get("name"), LONGEST_NAME),
        _first(record, KIND_FIELDS),
        _first(record, HOST_FIELDS),
        _first(record, COLLECTED_FIELDS),
        _faults(record.get("faults")),
    )


def add(bundle_id: UUID, files: Iterable[FileEntry], said: Mapping[str, Description] | None = None) -> None:
    """Write the rows of a new bundle, in the caller's transaction.

    Args:
        bundle_id: the bundle.
        files: all files of its manifest, in order.
        said: what the records say, by the artifact id in a path.
    """
    with connection.cursor() as cursor:
        for batch in _batches(_rows(files, said or {})):
            cursor.execute(_ARTIFACTS, [bundle_id, *(list(column) for column in zip(*batch, strict=True))])


def describe(bundle_id: UUID, said: Mapping[str, Description]) -> None:
    """Add what the records say to the rows of a registered bundle, in the caller's transaction."""
    with connection.cursor() as cursor:
        for batch in _batches((artifact_id, *about) for artifact_id, about in said.items()):
            cursor.execute(_DESCRIBED, [*(list(column) for column in zip(*batch, strict=True)), bundle_id])


def _rows(files: Iterable[FileEntry], said: Mapping[str, Description]) -> Iterator[tuple[int | str, ...]]:
    for place, entry in enumerate(files):
        artifact_id = paths.artifact_id_of(entry.path)
        if artifact_id is not None:
            name = entry.path.rsplit("/", 1)[-1]
            about = said.get(artifact_id, NOTHING_SAID)
            original = "" if about.name == name else about.name
            yield place, artifact_id, name, entry.size, entry.sha256, original, *about[1:]


def _first(record: dict[str, Any], names: Iterable[str]) -> str:
    return next((text for name in names if (text := _text(record.get(name), LONGEST_FIELD))), "")


def _faults(value: Any) -> str:
    """The faults that the record of an imported file states, one a line."""
    if not isinstance(value, list):
        return ""
    said = (" ".join(_text(one, LONGEST_FAULT).split()) for one in value[:MOST_FAULTS])
    return "\n".join(one for one in said if one)


def _text(value: Any, most: int) -> str:
    """A field as text that a database column can store."""
    if value is None or isinstance(value, bool):
        return ""
    text = value if isinstance(value, str) else canonical_json(value).decode("ascii")
    return shortened(text, most)


def _batches(rows: Iterable[T]) -> Iterator[list[T]]:
    left = iter(rows)
    while batch := list(islice(left, BATCH)):
        yield batch
