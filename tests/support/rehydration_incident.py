"""An incident with difficult names, ids, duplicate records and numbers at their limits; and its bundles."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bundles.format.model import paths
from bundles.format.model.records import (
    ALERT_ORDER,
    ARTIFACT_ORDER,
    RecordSpool,
    canonical_record,
    sort_key,
    write_timeline,
)
from bundles.format.model.signing import SigningKey
from bundles.format.writing.payload import Payload
from bundles.format.writing.writer import WrittenBundle, write_bundle
from bundles.storage import store_marker
from foundation.principal import SYSTEM
from jobs.worker.worker import run_one
from rehydration import services

INCIDENT = "incident-9"
FILES = {
    "art-1": ("plain.log", b"one line\n"),
    "art-2": ("Rëchnung mit Leerzeichen №7.pdf", b"\x00\xff" * 5000),
    "art-3": ("ímynd-" + "ж" * 120 + ".evtx", b"long name"),
    "art-4": ("empty", b""),
    "..odd..": ("C:\\Users\\a\u202eb\x07.txt", b"escaped"),
}


@dataclass
class Incident:
    """The content of a bundle; tests change it as needed."""

    incident_id: str = INCIDENT
    header: dict[str, Any] = field(
        default_factory=lambda: {"incident_id": INCIDENT, "event_count": 4, "entities": {"z": [1, 2.5, 1e-7]}}
    )
    events: list[dict[str, Any]] = field(
        default_factory=lambda: [
            {"timestamp": "2026-01-02", "severity": "high", "metadata": {"n": 1}},
            {"timestamp": "2026-01-01", "severity": "low", "text": "nul \x00 and \ud800 alone"},
            {"timestamp": "2026-01-02", "severity": "high", "metadata": {"n": 1}},
            {"timestamp": "2026-01-03", "severity": "low"},
        ]
    )
    alerts: list[dict[str, Any]] = field(
        default_factory=lambda: [
            {"id": "a-1", "timestamp": "2026-01-02", "severity": "high", "title": "x", "score": 0.394},
            {"id": "nul\x00id", "timestamp": "2026-01-01", "severity": "low", "title": "\ud83d alone"},
            {"id": "й" * 700, "timestamp": "2026-01-01", "severity": None, "raw": "\x00"},
            {"id": 17, "timestamp": "2026-01-01T00:00:00Z", "big": 2**63 - 1},
            {"timestamp": "2026-01-04", "title": "no id"},
        ]
    )
    files: dict[str, tuple[str, bytes]] = field(default_factory=lambda: dict(FILES))
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    more_records: list[dict[str, Any]] = field(default_factory=list)
    unrecorded: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    missing: list[dict[str, str]] = field(default_factory=list)

    def record_of(self, artifact_id: str) -> dict[str, Any]:
        name, content = self.files[artifact_id]
        return self.records.get(artifact_id) or {
            "artifact_id": artifact_id,
            "incident_id": self.incident_id,
            "name": name,
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "collected_at": "2026-01-01",
        }

    def bundle(self, orch: Any, name: str) -> WrittenBundle:
        """Write the bundle `name` into OUTPUT_DIR.

        `without` names members and artifact ids whose files stay out, `unrecorded` artifact ids without a record.
        """
        staging = Path(tempfile.mkdtemp(dir=orch.root))
        write_timeline(staging / paths.TIMELINE, self.header, [canonical_record(event) for event in self.events])
        _array(staging, paths.ALERTS, self.alerts, ALERT_ORDER)
        records = [self.record_of(one) for one in self.files if one not in self.unrecorded]
        _array(staging, paths.ARTIFACTS, records + self.more_records, ARTIFACT_ORDER)
        payloads = [Payload.of_file(one, staging / one) for one in paths.DATA_MEMBERS if one not in self.without]
        for artifact_id, (true_name, content) in self.files.items():
            (staging / artifact_id).write_bytes(content)
            if artifact_id not in self.without:
                member = paths.artifact_path(artifact_id, true_name)
                payloads.append(Payload.of_file(member, staging / artifact_id))
        written = write_bundle(
            orch.output_dir / name,
            incident_id=self.incident_id,
            payloads=payloads,
            key=SigningKey.load(orch.sign_key),
            missing=self.missing,
        )
        shutil.rmtree(staging)
        return written


def _array(staging: Path, name: str, records: list[dict[str, Any]], order: tuple[str, str]) -> None:
    spool = RecordSpool(staging)
    for record in records:
        spool.add(sort_key(record, order), canonical_record(record))
    spool.write_array(staging / name)


def run() -> Any:
    """Run the next job in this process; None if there is none."""
    return run_one()


def restore(name: str, **asked: Any) -> Any:
    """Request the restore of the bundle `name`, and run it in this process; returns the job."""
    requested = services.request_restore(SYSTEM, bundle_path=name, **asked)
    assert requested.created
    done = run()
    assert done is not None
    assert done.job_id == requested.job.job_id
    return done


def tree(root: Path) -> dict[str, bytes]:
    """Every file below `root` except staging, with its bytes."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and ".staging" not in path.parts and path.name != store_marker.NAME
    }
