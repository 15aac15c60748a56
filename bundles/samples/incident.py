"""Writes the synthetic incident, always with the same bytes, and never over other files."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from bundles.errors import SampleInTheWayError
from bundles.samples import records
from bundles.samples.collected import COLLECTED
from bundles.samples.scenario import INCIDENT_ID


def make(folder: Path) -> bool:
    """Write `folder`/incident-123, which appears in one step when it is complete.

    Args:
        folder: the parent folder; created if missing.

    Returns:
        Whether it was written; False if exactly the same incident is there already.

    Raises:
        SampleInTheWayError: something else is there; it is not changed.
        OSError: it cannot be written.
    """
    target = folder / INCIDENT_ID
    if target.is_symlink() or target.exists():
        if not _is_there(target):
            raise SampleInTheWayError(f"{target} holds something else; it was left as it is.")
        return False
    folder.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{INCIDENT_ID}-", dir=folder))
    try:
        for path, content in files():
            file = staging / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        staging.chmod(0o755)
        staging.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return True


def files() -> Iterator[tuple[str, bytes]]:
    """Every file of the incident: its path within the incident's folder, and its bytes."""
    artifacts = []
    for number, collected in enumerate(COLLECTED):
        content = collected.make(_random(f"artifact/{number}"))
        record = records.artifact(
            collected.name,
            collected.kind,
            collected.host,
            collected.original_path,
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
        )
        artifacts.append(record)
        yield record["filepath"], content
    found = records.sightings(_random("sightings"))
    random = _random("alerts")
    yield "artifacts.json", _json(artifacts)
    yield "alerts.json", _json([records.alert(sighting, random) for sighting in found])
    yield "timeline.json", _json(records.timeline(found))


def _is_there(target: Path) -> bool:
    """Whether `target` holds exactly the incident's files."""
    if target.is_symlink() or not target.is_dir():
        return False
    expected = set()
    for path, content in files():
        file = target / path
        if file.is_symlink() or not file.is_file() or file.read_bytes() != content:
            return False
        expected.add(file)
    return expected == {file for file in target.rglob("*") if file.is_symlink() or not file.is_dir()}


def _random(name: str) -> Random:
    return Random(f"{INCIDENT_ID}/{name}")  # noqa: S311 -- must be reproducible; protects nothing


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=1).encode()
