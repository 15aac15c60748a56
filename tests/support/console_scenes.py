"""Rows for the states in which the console's pages are judged; each scene gives its page's address arguments."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.utils import timezone

from bundles.keys import trusted_keys
from bundles.models import Bundle, Manifest
from bundles.sources import dependency_status
from custody import chain
from custody.pages import CHAIN_CHECKED
from foundation.principal import SYSTEM, Principal
from jobs.models import Job
from rehydration.models import RestoredIncident, RestoreRequest
from tests.support import console_rows as rows
from tests.support.bundle_rows import contents, entries

Arguments = list[object]
MISSING = [{"source": "artifacts", "reason": "Forensic answered HTTP 503"}]
LONG = "A title that goes on and on, as an attacker may write it. " * 71  # 4 KB
LONGEST_ID = "incident-" + "9" * 119
LONGEST_NAME = "журнал-событий-" + "x" * 222 + ".evtx"  # 255 bytes
EVIL = f"{rows.HOSTILE} {LONG}"


def nothing() -> Arguments:
    """No row at all."""
    return []


def somewhere() -> Arguments:
    """The id of something that is not there."""
    return [uuid4()]


def no_file() -> Arguments:
    """The first file of a bundle that does not exist."""
    return [uuid4(), 0]


def with_files(bundle: Bundle, *paths: str, **about: Any) -> Bundle:
    """`bundle` with a manifest that lists files at `paths`; `about` is as in `contents`."""
    return contents(bundle, entries(*paths), **about)


def bundle(verified: bool | None = None, **fields: Any) -> Arguments:
    """One bundle with its contents; `verified` is the verdict of a verification, None where none ran."""
    paths = [f"artifacts/{at:04}/System.evtx" for at in range(60)]
    paths += [f"artifacts/0100/{LONGEST_NAME}", "artifacts/0101/دفتر الملاحظات.txt"]
    counts = {"events": 1208, "alerts": {"high": 1300, "low": 36}, "artifacts": 62}
    made = with_files(
        rows.bundle(**{"counts": counts, **fields}), "alerts.json", "artifacts.json", *paths, "timeline.json",
        kind=lambda at: ("windows_event_log", "memory_dump", "")[at % 3], host=lambda at: f"fin-ws-{at % 6:02}",
        collected_at="2026-01-15T06:12:44Z",
    )  # fmt: skip
    if verified is not None:
        rows.verification(made, ok=verified)
    chain.record(SYSTEM, "bundle.create", "bundle", str(made.bundle_id), incident_id=made.incident_id)
    return [made.bundle_id]


def partial() -> Arguments:
    """A bundle that was verified and lacks its artifacts."""
    return bundle(verified=True, complete=False, missing=MISSING)


def job(status: str = "queued", **fields: Any) -> Arguments:
    """One job; a completed one made a bundle."""
    if status == "completed" and "result" not in fields:
        made = rows.bundle()
        fields["result"] = {
            "bundle_id": str(made.bundle_id), "complete": made.complete, "name": made.name, "size": made.size,
            "files": made.files, "sha256": made.sha256, "content_digest": made.content_digest,
        }  # fmt: skip
    return [rows.job(status, **fields).job_id]


def restore(status: str = "completed", *, dry_run: bool = True, **fields: Any) -> Arguments:
    """One restore or its preview."""
    return [rows.restore_job(status, dry_run=dry_run, **fields).job_id]


def partly_made() -> Arguments:
    """A job that made a partial bundle."""
    made = rows.bundle(complete=False, missing=MISSING)
    result = {"bundle_id": str(made.bundle_id), "complete": False, "missing": MISSING, "name": made.name, "size": 5}
    return [rows.job("completed", result=result).job_id]


def verifying(*, ok: bool) -> Arguments:
    """A job that verified a bundle."""
    verification = rows.verification(rows.bundle(), ok=ok)
    result = {"bundle_id": str(verification.bundle_id), "report": verification.report}
    return [rows.job("completed", job_type="bundle_verify", result=result).job_id]


def calm() -> Arguments:
    """Everything is well: a worker, a verified bundle, a job that is done."""
    rows.worker()
    bundle(verified=True)
    job("completed")
    Bundle.objects.update(key_id=trusted_keys.trusted().keys[0].key_id)
    for name in ("alerts", "artifacts", "timeline"):
        dependency_status.record(f"source.{name}", name, ok=True, detail="Answers (HTTP 200).")
    return []


def asked_restores() -> Arguments:
    """Bundles, and requests for a restore in each state by the analyst who reads the page."""
    for state in RestoreRequest.State.values:
        asked_restore(state=state)
    return []


def asked_restore(state: str = "open", **fields: Any) -> Arguments:
    """One request for a restore."""
    now = timezone.now()
    values: dict[str, Any] = {
        "bundle_id": rows.bundle().bundle_id, "incident_id": rows.INCIDENT, "asked_at": now, "asked_by": "analyst",
        "note": "The training deployment needs it.", "state": state,
    }  # fmt: skip
    if state != "open":
        values |= {"decided_at": now, "decided_by": "operator"}
    if state == "declined":
        values["reason"] = "The disk is nearly full."
    return [RestoreRequest.objects.create(**{**values, **fields}).request_id]


def hostile_request() -> Arguments:
    """A request for a restore whose texts an attacker wrote."""
    return asked_restore("declined", asked_by=EVIL, note=EVIL, decided_by=EVIL, reason=EVIL)


def crisis() -> Arguments:
    """Everything that can need a person, while other jobs run."""
    rows.worker("host-b/7", host="host-b", pid=7, silent_s=45, state="busy", current_job=uuid4())
    rows.worker("host-a/42", state="busy")
    rows.job("processing", lease_s=-240)
    rows.job("failed", incident_id="incident-124")
    rows.verification(rows.bundle("incident-125"), ok=False)
    partial()
    bundle(state="lost", incident_id="incident-126")
    for at in range(3):
        rows.job("processing", incident_id=f"incident-20{at}")
        rows.job("queued", incident_id=f"incident-30{at}", priority=200)
    rows.job("queued", error_code="source_unavailable", retry_count=1, attempts=1)
    rows.job("cancelled")
    restore(status="processing")
    return []


def many() -> Arguments:
    """More rows than a page of any list holds."""
    now = timezone.now()
    for at in range(60):
        rows.job("completed" if at % 2 else "queued", incident_id=f"incident-{at}",
                 created_at=now - timedelta(minutes=10 + at), result={} if at % 2 else None)  # fmt: skip
        rows.bundle(f"incident-{at}", created_at=now - timedelta(minutes=at))
        chain.record(SYSTEM, "bundle.create", "job", str(uuid4()), incident_id=f"incident-{at}")
    for at in range(12):
        rows.worker(f"host-{at}/1", host=f"host-{at}", pid=at + 1)
    return []


def stuck() -> Arguments:
    """Two jobs whose worker went silent."""
    rows.job("processing", lease_s=-60)
    rows.job("processing", lease_s=-90, incident_id="incident-124")
    return []


def incident(incident_id: str = rows.INCIDENT, *, restored: bool = False) -> Arguments:
    """One incident with bundles, jobs and custody; whether it was restored here too."""
    bundle(verified=True, incident_id=incident_id)
    bundle(incident_id=incident_id, complete=False, missing=MISSING)
    rows.job("failed", incident_id=incident_id)
    rows.job("processing", incident_id=incident_id)
    if restored:
        RestoredIncident.objects.create(
            incident_id=incident_id, restored_at=timezone.now(), restored_by="operator", bundle_sha256=rows.sha("file"),
            content_digest=rows.sha("content"), signature_checked=True, has_alerts=True, has_artifacts=True,
            events=3_700, alerts=1_204, artifacts=58,
        )  # fmt: skip
    return [incident_id]


def checked_chain(outcome: str = "ok") -> Arguments:
    """Custody with an event of each outcome, whose chain was checked."""
    for each in ("ok", "requested", "hash_mismatch"):
        chain.record(SYSTEM, "bundle.verify", "bundle", str(uuid4()), incident_id=rows.INCIDENT, outcome=each,
                     digest=rows.sha(each))  # fmt: skip
    details = {"events": 3, "last_hash": rows.sha("last"), "fault": "" if outcome == "ok" else "event #2 was changed"}
    chain.record(SYSTEM, CHAIN_CHECKED, "chain", "3", outcome=outcome, details=details)
    return []


def hostile() -> Arguments:
    """Names and texts as an attacker would choose them, wherever evidence, sources or callers can put some."""
    bundle(verified=True, signer=EVIL, created_by=EVIL)
    Manifest.objects.all().delete()
    made = Bundle.objects.get()
    with_files(
        made, f"artifacts/1/{rows.HOSTILE}", f"artifacts/2/{LONG}",
        original_name=EVIL, kind=EVIL[:200], host=EVIL[:200], collected_at=EVIL[:200],
    )  # fmt: skip
    Bundle.objects.update(complete=False, missing=[{"path": EVIL, "reason": EVIL}, {"source": EVIL, "reason": EVIL}])
    rows.worker("host-c/1", host=EVIL[:200], version=EVIL[:100])
    rows.job("processing", requested_by=EVIL, lease_s=-60)
    rows.job("failed", error_message=EVIL, requested_by=EVIL)
    attacker = Principal(name=EVIL, authenticated_by="token", permissions=frozenset(), address="::1")
    chain.record(attacker, "job.cancel", "job", EVIL, incident_id=EVIL)
    chain.record(attacker, "bundle.verify", "bundle", str(made.bundle_id), incident_id=made.incident_id)
    return []


def hostile_job() -> Arguments:
    """The failed job of the hostile scene."""
    hostile()
    return [Job.objects.get(status="failed").job_id]


def hostile_bundle() -> Arguments:
    """The bundle of the hostile scene."""
    hostile()
    return [Bundle.objects.get().bundle_id]


def longest() -> Arguments:
    """An incident whose id is as long as one may be; which characters it holds no attacker can choose."""
    incident(LONGEST_ID)
    rows.job(incident_id=LONGEST_ID, requested_by=EVIL)
    return []


def hostile_incident() -> Arguments:
    """The incident of that id, with what an attacker wrote about it."""
    longest()
    chain.record(SYSTEM, "job.cancel", "job", EVIL, incident_id=LONGEST_ID)
    return [LONGEST_ID]


def hostile_restore(*, dry_run: bool = True) -> Arguments:
    """A restore whose conflicts and problems are named by an attacker."""
    conflicts = [{"table": "alerts", "key": EVIL, "reason": EVIL}]
    found = {"records": 3, "files": 3, "ok": False, "problems": [EVIL]}
    result = rows.restore_result(dry_run=dry_run, conflicts=conflicts, reconciled=found, problems=[EVIL],
                                 missing=[{"source": EVIL, "reason": EVIL}])  # fmt: skip
    return [rows.restore_job(dry_run=dry_run, result=result, requested_by=EVIL).job_id]


def hostile_running() -> Arguments:
    """A running job whose note and log come from evidence."""
    progress = {"phase": "packing", "done": 3 << 20, "total": 5 << 20, "unit": "bytes", "note": EVIL}
    running = rows.job("processing", progress=progress)
    running.log.create(at=timezone.now(), level="warning", message=EVIL, fields={"name": EVIL})
    return [running.job_id]
