"""Timelines of any size and content, stored as a bundle's job stores them, without making the bundle."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from django.db import transaction

from bundles.format.model import paths
from bundles.format.model.records import canonical_record, write_timeline
from bundles.models import Bundle, KeptTimeline, Manifest
from bundles.timelines import record_index
from tests.support import console_rows as rows

BEGAN = datetime(2026, 1, 12, 8, 0, tzinfo=UTC)
TACTICS = ("initial-access", "execution", "credential-access", "lateral-movement", "exfiltration", "impact")
SEVERITIES = ("low", "medium", "medium", "high", "critical")
NONE = "undated"
REPORTED_TIMES: list[tuple[Any, str]] = [
    ("2018-03-24T14:37:19.037299-0600", "2018-03-24T20:37:19.037299"),
    ("1711120412345", "2024-03-22T15:13:32.345"),
    ("1702023123456", "2023-12-08T08:12:03.456"),
    ("1543921747", "2018-12-04T11:09:07"),
    (1543921747, "2018-12-04T11:09:07"),
    (1543921747123, "2018-12-04T11:09:07.123"),
    (1543921747123456, "2018-12-04T11:09:07.123456"),
    (1543921747123456789, "2018-12-04T11:09:07.123456"),
    (132537600000000000, "2020-12-30T00:00:00"),
    ("2012-03-14 04:17:38.276340+00:00", "2012-03-14T04:17:38.276340"),
    ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00"),
    ("2021-01-01T24:00:00Z", "2021-01-02T00:00:00"),
    ("2021-03-28T02:30:00+02:00", "2021-03-28T00:30:00"),
    ("2021-01-01 10:00:00.1234567Z", "2021-01-01T10:00:00.123456"),
    ("Sat, 30 Jan 2021 10:00:00 GMT", NONE),
    ("Jan 30, 2021 @ 10:00:00.000", NONE),
    ("2021-01-30T10:00:00", "2021-01-30T10:00:00"),
    ("20210130T100000Z", "2021-01-30T10:00:00"),
    (1543921747.5, "2018-12-04T11:09:07.5"),
    (None, NONE),
    ("", NONE),
    (True, NONE),
    ("2021/01/30 10:00:00", "2021-01-30T10:00:00"),
    ("2021-01-30 10:00:00 UTC", "2021-01-30T10:00:00"),
    ("1/30/2021 10:00:00 AM", NONE),
    ("1611120412345", "2021-01-20T05:26:52.345"),
    ("161112041234", NONE),
    ("16111204", NONE),
]
FAR_TIMES = ("1601-01-01T00:00:00Z", 0, "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z")
KINDS = ("logon_failure", "process_creation", "share_object_access")


def event(number: int = 0, **fields: Any) -> dict[str, Any]:
    """One event, ten seconds after the previous number's; `fields` replace its fields, `metadata` as a whole."""
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


def far_apart() -> list[dict[str, Any]]:
    """50 events of one minute, a second apart, and four at 1601, 0, 0001 and 9999."""
    near = [event(n, timestamp=(BEGAN + timedelta(seconds=n)).isoformat(), metadata={}) for n in range(50)]
    return [*near, *(event(n, timestamp=at, metadata={}) for n, at in enumerate(FAR_TIMES))]


def events(count: int) -> Iterator[dict[str, Any]]:
    """Events that cover every phase and severity above."""
    return (event(number) for number in range(count))


def prepared(
    folder: Path,
    given: Iterable[dict[str, Any]] | None,
    *,
    alerts: Iterable[dict[str, Any]] = (),
    artifacts: Iterable[str] = (),
    incident_id: str = rows.INCIDENT,
) -> record_index.Prepared:
    """The records of a bundle whose timeline holds `given` (None: no timeline), as its job reads them."""
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
    hashes = {name: rows.sha(path.read_bytes().hex()) for name, path in members.items()}
    return record_index.prepare(members, hashes, scratch)


def kept(
    folder: Path,
    given: Iterable[dict[str, Any]] | None,
    *,
    alerts: Iterable[dict[str, Any]] = (),
    artifacts: Iterable[str] = (),
    incident_id: str = rows.INCIDENT,
    **fields: Any,
) -> Bundle:
    """A registered bundle with these records, indexed as its job indexes them."""
    artifacts = list(artifacts)
    read = prepared(folder, given, alerts=alerts, artifacts=artifacts, incident_id=incident_id)
    read = record_index.write_hidden(incident_id, read, uuid4())
    bundle = rows.bundle(incident_id, counts=read.counts, **fields)
    listed = [
        {"artifact_id": f"a-{at}", "path": f"artifacts/a-{at}/{name}", "size": 10 + at, "sha256": rows.sha(name)}
        for at, name in enumerate(artifacts)
    ]
    Manifest.objects.create(bundle=bundle, raw=json.dumps({"files": listed}).encode())
    with transaction.atomic():
        record_index.keep_bundled(incident_id, bundle.bundle_id, read)
    return bundle


def timeline(incident_id: str = rows.INCIDENT, origin: str = "bundle") -> KeptTimeline:
    return KeptTimeline.objects.get(incident_id=incident_id, origin=origin)
