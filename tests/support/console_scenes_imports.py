"""Scenes of the catalogue: files that were imported, in every state that their pages show."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.utils import timezone

from bundles.models import Intake, IntakeMapping, Manifest
from tests.support import console_rows as rows
from tests.support.console_scenes import EVIL, Arguments

NAME = "Collection-WIN-E5K9-2021-11-21.zip"
READ: dict[str, Any] = {"job_type": "intake_read", "incident_id": ""}
MANIFEST = b'{"files": [{"path": "artifacts/delivered/c.zip", "sha256": "%s", "size": 9}]}' % (b"a" * 64)
NOTHING: dict[str, Any] = {"count": 0, "named": []}


def some(*named: Any) -> dict[str, Any]:
    """A bounded list of a preview."""
    return {"count": len(named), "named": list(named)}


def first(**fields: Any) -> dict[str, Any]:
    """One of the first records of a preview."""
    record = {
        "part": "alerts", "member": "", "position": 1, "line": 1, "time": "2018-03-24T20:37:19.037299Z",
        "time_text": "2018-03-24T14:37:19.037299-0600", "time_field": "timestamp", "severity": "medium",
        "severity_text": "Suricata 2", "phase": "", "title": "ET SCAN Potential SSH Scan", "hosts": [],
        "accounts": [],
    }  # fmt: skip
    return {**record, **fields}


def preview(**fields: Any) -> dict[str, Any]:
    """What a file of 207 alerts is read as."""
    file = {
        "name": "", "kind": "suricata-eve", "title": "Suricata eve.json", "events": 12, "alerts": 207, "undated": 1,
        "severities": {"high": 76, "medium": 82, "low": 49, "unrated": 12}, "left_out": NOTHING,
    }  # fmt: skip
    made = {
        "container": "file", "incident_id": "alerts-only", "files": 1, "bytes": 0,
        "described": {"name": NAME, "container": "file", "size": 190_194, "members": 0},
        "records": [file], "whole": True, "not_understood": NOTHING, "unreadable": NOTHING, "odd": NOTHING,
        "encrypted": NOTHING, "has_password": False, "password_fault": "", "columns": [],
        "asked": {"kind": "", "mapping": {}},
        "first": [first(), first(position=2, line=2, severity="low", severity_text="Suricata 3", hosts=["dc01"],
                                 accounts=["ana"], phase="lateral-movement")],
    }  # fmt: skip
    return {**made, **fields}


def intake(name: str = "alerts-only.json", **fields: Any) -> Intake:
    """A delivered file that was read."""
    values: dict[str, Any] = {
        "intake_id": uuid4(), "name": name, "size": 190_194, "sha256": rows.sha(name), "received_by": "analyst",
        "received_at": timezone.now() - timedelta(minutes=3), "preview": preview(),
        "preview_job_id": fields.get("preview_job_id") or rows.job("completed", **READ).job_id,
    }  # fmt: skip
    return Intake.objects.create(**{**values, **fields})


def read(**fields: Any) -> Arguments:
    """A file whose preview is ready."""
    return [intake(**fields).intake_id]


def reading(status: str = "processing") -> Arguments:
    """A file that is being read, or whose reading failed."""
    job = rows.job(status, **READ, progress={"phase": "reading", "done": 41_000, "unit": "records"})
    return [intake(preview=None, preview_job_id=job.job_id).intake_id]


def archive(**fields: Any) -> Arguments:
    """An archive with much in it that is odd, encrypted, damaged or not understood."""
    odd = some({"name": "../../etc/passwd", "faults": ["The name leads out of the archive."]})
    bad = {**preview()["records"][0], "name": "results/log.json", "left_out": some("record 2, byte 41: NaN")}
    found = preview(
        container="zip",
        files=26,
        bytes=39_612_408,
        described={"name": NAME, "container": "zip", "size": 31_330, "members": 25, "cut": "It ends early."},
        records=[bad, {**bad, "name": "b.json", "left_out": NOTHING}],
        not_understood=some("uploads/ntfs/$MFT", "ntuser.dat"),
        unreadable=some({"name": "bad.bin", "reason": "Its bytes are damaged."}),
        odd=odd,
        encrypted=some("data.zip"),
        first=[first(member="results/log.json", time="", time_field="", time_text="")],
        **fields,
    )
    return [intake(NAME, preview=found).intake_id]


def refused_archive() -> Arguments:
    """An archive that cannot be opened."""
    why = {"code": "archive_damaged", "reason": "It has no directory."}
    described = {"name": NAME, "container": "file", "size": 31_330, "members": 0, "refused": why}
    return [intake(NAME, preview=preview(described=described, records=[], first=[])).intake_id]


def table() -> Arguments:
    """A table of no known kind, and a saved choice of columns."""
    IntakeMapping.objects.create(
        name="our-table", mapping={"timestamp": "When"}, saved_at=timezone.now(), saved_by="analyst"
    )
    found = preview(columns=["When", "What", "Box"], records=[], first=[])
    return [intake("table.csv", preview=found).intake_id]


def bundled() -> Arguments:
    """A file that is a bundle."""
    made = rows.bundle(source="intake")
    rows.in_bundle(made, "alerts-only.json", "delivered")
    job = rows.job("completed", result={"bundle_id": str(made.bundle_id)})
    return [intake(state="bundled", bundle_id=made.bundle_id, job_id=job.job_id).intake_id]


def hostile() -> Arguments:
    """A file whose every text an attacker chose."""
    file = {**preview()["records"][0], "name": EVIL, "kind": "mapped", "left_out": some(EVIL)}
    found = preview(
        container="zip",
        described={"name": EVIL, "container": "zip", "size": 1, "members": 3, "cut": EVIL,
                   "inner": {"name": EVIL, "members": 1}, "refused": {"code": "archive_damaged", "reason": EVIL}},
        records=[file],
        not_understood=some(EVIL),
        unreadable=some({"name": EVIL, "reason": EVIL}),
        odd=some({"name": EVIL, "faults": [EVIL]}),
        encrypted=some(EVIL),
        columns=[EVIL, "When"],
        first=[first(member=EVIL, time_text=EVIL, time_field=EVIL, severity_text=EVIL, title=EVIL, hosts=[EVIL],
                     accounts=[EVIL])],
    )  # fmt: skip
    return [intake(EVIL, preview=found).intake_id]


def several() -> Arguments:
    """Imports in every state."""
    read()
    reading()
    reading("failed")
    bundled()
    hostile()
    intake("a.json", job_id=rows.job("processing").job_id)
    intake("b.json", job_id=rows.job("failed").job_id)
    return []


def of_an_import() -> Arguments:
    """The bundle of an imported archive, with members that contradict what was told of them."""
    made = rows.bundle(source="intake")
    Manifest.objects.create(bundle=made, raw=MANIFEST)
    rows.in_bundle(made, NAME, "delivered")
    rows.in_bundle(made, "j", "m000001", original_name=EVIL, faults=f"It is shorter than told.\n{EVIL.split()[0]}")
    return [made.bundle_id]
