"""Indexes the artifacts of each bundle in a table, so that a search need not open a manifest.

The rows are derived from the signed manifest, written in the transaction that registers the bundle, and never changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from uuid import UUID

from django.db import connection

from bundles.format.model import paths
from bundles.format.model.manifest import FileEntry

BATCH = 2000
Row = tuple[int, str, str, int, str]

_ARTIFACTS = """
INSERT INTO orchestrator_bundle_artifacts (bundle_id, place, artifact_id, name, size, sha256)
SELECT %s, * FROM unnest(%s::integer[], %s::text[], %s::text[], %s::bigint[], %s::text[])"""


def add(bundle_id: UUID, files: Iterable[FileEntry]) -> None:
    """Write the rows of a new bundle, in the caller's transaction.

    Args:
        bundle_id: the bundle.
        files: all files of its manifest, in order.
    """
    rows = _rows(files)
    with connection.cursor() as cursor:
        while batch := list(islice(rows, BATCH)):
            cursor.execute(_ARTIFACTS, [bundle_id, *(list(column) for column in zip(*batch, strict=True))])


def _rows(files: Iterable[FileEntry]) -> Iterator[Row]:
    for place, entry in enumerate(files):
        artifact_id = paths.artifact_id_of(entry.path)
        if artifact_id is not None:
            yield place, artifact_id, entry.path.rsplit("/", 1)[-1], entry.size, entry.sha256
