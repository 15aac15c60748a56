"""Timelines of any size and any content, kept as a bundle's job keeps them, without making the bundle."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from django.db import transaction

from bundles.format import paths
from bundles.format.records import canonical_record, write_timeline
from bundles.models import Bundle, KeptTimeline, Manifest
from bundles.timelines import keeping
from tests import console_rows as rows

BEGAN = datetime(2026, 1, 12, 8, 0, tzinfo=UTC)
TACTICS = ("initial-access", "execution", "credential-access", "lateral-movement", "exfiltration", "impact")
SEVERITIES = ("low", "medium", "medium", "high", "critical")
KINDS = ("logon_failure", "process_creation", "share_object_access")


def event(number: int = 0, **fields: Any) -> dict[str, Any]:
    """One event, ten seconds after the one before; metadata's own fields are given as `metadata`."""
    made: dict[str, Any] = {
        "timestamp": (BEGAN + timedelta(seconds=10 * number)).isoformat().replace("+00:00", "Z"),
        "source": f"host-{number % 7}",
        "target": f"host-{number % 5}",
        "alert_type": KINDS[number % len(KINDS)],
        "severity": SEVERITIES[number % len(SEVERITIES)],
        "matches": [],
        "metadata": {"tactic": TACTICS[number % len(TACTICS)], "technique_name": "Valid Accounts"},
        "mitre_technique": "T1078",
    }
    return {**made, **fields}


def events(count: int) -> Iterator[dict[str, Any]]:
    """Events that fill every phase and severity above."""
    return (event(number) for number in range(count))


def kept(
    folder: Path,
    given: Iterable[dict[str, Any]] | None,
    *,
    alerts: Iterable[dict[str, Any]] = (),
    artifacts: Iterable[str] = (),
    incident_id: str = rows.INCIDENT,
    **fields: Any,
) -> Bundle:
    """A registered bundle whose timeline holds `given` (None: it carries no timeline), read as its job would."""
    folder.mkdir(exist_ok=True)
    members: dict[str, Path] = {}
    if given is not None:
        members[paths.TIMELINE] = folder / paths.TIMELINE
        lines = (canonical_record(one) for one in given)
        members[paths.TIMELINE].unlink(missing_ok=True)
        write_timeline(members[paths.TIMELINE], {"incident_id": incident_id}, lines)
    for name, records in (
        (paths.ALERTS, list(alerts)),
        (paths.ARTIFACTS, [{"artifact_id": f"a-{at}", "name": name} for at, name in enumerate(artifacts)]),
    ):
        members[name] = folder / name
        members[name].write_text(json.dumps(records))
    scratch = folder / "points"
    scratch.unlink(missing_ok=True)
    content = members[paths.TIMELINE].read_bytes() if given is not None else b""
    prepared = keeping.prepare(members, {paths.TIMELINE: rows.sha(content.hex())}, scratch)
    bundle = rows.bundle(incident_id, counts=prepared.counts, **fields)
    listed = [
        {"artifact_id": f"a-{at}", "path": f"artifacts/a-{at}/{name}", "size": 10 + at, "sha256": rows.sha(name)}
        for at, name in enumerate(artifacts)
    ]
    Manifest.objects.create(bundle=bundle, raw=json.dumps({"files": listed}).encode())
    with transaction.atomic():
        keeping.keep_bundled(incident_id, bundle.bundle_id, prepared)
    return bundle


def timeline(incident_id: str = rows.INCIDENT, origin: str = "bundle") -> KeptTimeline:
    return KeptTimeline.objects.get(incident_id=incident_id, origin=origin)
