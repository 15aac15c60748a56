"""Completes the records of artifacts with what is known once their contents were received."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bundles.format.model.records import ARTIFACT_ORDER, RecordSpool, canonical_record, iter_array, sort_key
from bundles.sources.collect import Artifact

FROM_CONTENT = "received content"


def write(member: Path, received: Mapping[str, Artifact], folder: Path) -> Path:
    """Write `artifacts.json` anew, with size and SHA-256 in the records that lack them.

    Args:
        member: as the adapter wrote it; it stays as it is.
        received: artifact id → the artifact whose content was received.
        folder: for the new file and scratch files.

    Returns:
        The new file.
    """
    spool = RecordSpool(folder)
    for record, line in iter_array(member):
        artifact = received.get(str(record.get("artifact_id")))
        kept = line
        if artifact is not None:
            said = {"size": artifact.size, "sha256": artifact.sha256, "sha256_from": FROM_CONTENT}
            # What a record says was compared with the content; it keeps its own words.
            lacking = {key: value for key, value in said.items() if record.get(key) is None}
            kept = canonical_record({**record, **lacking})
        spool.add(sort_key(record, ARTIFACT_ORDER), kept)
    made = folder / member.name
    spool.write_array(made)
    return made
