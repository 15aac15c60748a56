"""Rows for the states of pages that show evidence: timelines, comparisons, certificates, uploaded files, searches."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.utils import timezone

from bundles.keys import trusted_keys
from bundles.models import Bundle
from bundles.timelines.record_index import keep_restored
from custody import chain
from custody.pages import CHAIN_CHECKED
from foundation.principal import SYSTEM
from rehydration.models import ArtifactRecord, RestoredIncident
from tests.support import console_rows as rows
from tests.support import timeline_rows as timelines
from tests.support.bundle_rows import contents, place_of, stored
from tests.support.console_scenes import EVIL, MISSING, Arguments

ALERTS = {"critical": 4, "high": 31, "medium": 260, "low": 909}
WORDS_ON_CHAIN = {"events": 2, "last_hash": rows.sha("last"), "fault": ""}
COMMON = "abcdef"  # what several ids and digests begin with
UPLOADED = "brought-by-a-colleague.tar.zst"


def timeline(events: int | None, **fields: Any) -> Arguments:
    """An incident whose bundle carries that many events; None where it carries no timeline."""
    given = None if events is None else timelines.events(events)
    made = timelines.kept(_folder(), given, alerts=_alerts() if events else (), artifacts=_artifacts(events), **fields)
    if made.complete:
        rows.verification(made)
    chain.record(SYSTEM, "bundle.create", "bundle", str(made.bundle_id), incident_id=made.incident_id)
    return [made.incident_id]


def partial_timeline() -> Arguments:
    """An incident whose newest bundle lacks its artifacts."""
    return timeline(40, complete=False, missing=MISSING)


def hostile_timeline() -> Arguments:
    """Events, artifacts and gaps that an attacker named."""
    odd = {"alert_type": EVIL, "source": EVIL, "target": EVIL, "mitre_technique": EVIL, "timestamp": EVIL}
    events = [timelines.event(0), timelines.event(1, **{**odd, "timestamp": "2026-01-12T08:00:10Z"}),
              timelines.event(2, **odd), timelines.event(3, metadata={"tactic": EVIL})]  # fmt: skip
    gap = [{"source": EVIL, "reason": EVIL}]
    made = timelines.kept(_folder(), events, artifacts=(rows.HOSTILE, "x" * 200), complete=False, missing=gap)
    return [made.incident_id]


def record(position: int) -> Arguments:
    """An event of an incident of 40."""
    return [*timeline(40), "event", position]


def hostile_record(position: int) -> Arguments:
    """One of the events that an attacker named."""
    return [*hostile_timeline(), "event", position]


def odd_times() -> Arguments:
    """Events whose times are written in every way that sources have, some of them in none that can be read."""
    odd = [timelines.event(n, timestamp=at) for n, (at, _) in enumerate(timelines.REPORTED_TIMES)]
    two = {"datetime": "2020-05-02T02:55:23.551+00:00", "timestamp": 123456789}
    return [timelines.kept(_folder(), [*odd, timelines.event(28, **two)]).incident_id]


def far_times() -> Arguments:
    """50 events of one minute, and some of other centuries."""
    return [timelines.kept(_folder(), timelines.far_apart()).incident_id]


def both_origins() -> Arguments:
    """An incident that was bundled and restored here, with other numbers in each."""
    records = [json.dumps(timelines.event(number)) for number in range(300)]
    RestoredIncident.objects.create(
        incident_id=rows.INCIDENT, restored_at=timezone.now(), restored_by="operator", bundle_sha256=rows.sha("file"),
        content_digest=rows.sha("content"), signature_checked=True, has_alerts=True, has_artifacts=True, events=300,
        alerts=sum(ALERTS.values()), artifacts=2,
    )  # fmt: skip
    alerts = [
        json.dumps({"id": f"{name}-{n}", "severity": name}) for name, count in ALERTS.items() for n in range(count)
    ]
    keep_restored(rows.INCIDENT, {"event": records, "alert": alerts}, {"event": 300, "alert": len(alerts)})
    for number in range(2):
        artifact(f"restored-{number}.evtx", f"r-{number}", incident_id=rows.INCIDENT)
    return timeline(40)


def listing(files: dict[str, str], **fields: Any) -> Bundle:
    """A bundle whose manifest lists `files`, path → what stands for its bytes."""
    told = [{"path": path, "size": len(text), "sha256": rows.sha(text)} for path, text in sorted(files.items())]
    made = rows.bundle(content_digest=rows.sha(json.dumps(told)), files=len(told), **fields)
    return contents(made, told)


def previewed(name: str, content: bytes) -> Arguments:
    """A stored bundle with one artifact, and its place."""
    made = stored({name: content})
    return [made.bundle_id, place_of(made, "a-0")]


def table_preview() -> Arguments:
    """The preview of a table with a wide row."""
    head = "time,host,process,command line,user"
    lines = [
        f'2026-01-12T09:{at % 60:02}:00Z,fin-ws-07,rundll32.exe,"rundll32 a.dll, {"x" * at}",ana' for at in range(240)
    ]
    return previewed("timeline of fin-ws-07.csv", "\r\n".join([head, *lines]).encode())


def hostile_preview() -> Arguments:
    """The preview of a text that an attacker wrote, under a name of the same."""
    return previewed(rows.HOSTILE.replace("/", ""), f"{EVIL}\n".encode())


def pair(a: dict[str, str], b: dict[str, str], **fields: Any) -> Arguments:
    """Two bundles of one incident, the older holding `a`, the newer `b`; `fields` are the newer one's."""
    before = timezone.now() - timedelta(days=1)
    rows.verification(listing(a, created_at=before))
    listing(b, **fields)
    return [rows.INCIDENT]


def equal_pair() -> Arguments:
    """Two bundles that hold the same."""
    return pair({"alerts.json": "1", "timeline.json": "2"}, {"alerts.json": "1", "timeline.json": "2"})


def different_pair() -> Arguments:
    """Two bundles of which the newer is partial and differs in every way."""
    a = {"alerts.json": "1", "timeline.json": "2", "artifacts/a-1/System.evtx": "3", "artifacts/a-2/gone.bin": "4"}
    b = {"alerts.json": "1", "timeline.json": "other", "artifacts/a-1/System.evtx": "3", "artifacts/a-9/new.bin": "5"}
    return pair(a, b, complete=False, missing=MISSING)


def many_pairs() -> Arguments:
    """Two bundles of 140 files that all differ."""
    names = [f"artifacts/a-{at:03}/memory-of-host-{at}.bin" for at in range(140)]
    return pair(dict.fromkeys(names, "before"), dict.fromkeys(names, "after"))


def hostile_pair() -> Arguments:
    """Two bundles whose files an attacker named."""
    gap = [{"path": EVIL, "reason": EVIL}]
    a = {f"artifacts/1/{rows.HOSTILE}": "a", f"artifacts/2/{EVIL}": "same"}
    return pair(a, {**a, f"artifacts/1/{rows.HOSTILE}": "b"}, complete=False, missing=gap)


def one_bundle() -> Arguments:
    """An incident with one bundle, which has nothing to be compared with."""
    listing({"alerts.json": "1"})
    return [rows.INCIDENT]


def certified(*, verified: bool | None = None, **fields: Any) -> Arguments:
    """A bundle with custody, a chain that was checked, and the verdict of a verification if one ran."""
    made = listing(
        {f"artifacts/a-{at}/System.evtx": str(at) for at in range(8)}, key_id=trusted_keys.active_id(), **fields
    )
    chain.record(
        SYSTEM, "bundle.create", "bundle", str(made.bundle_id), incident_id=made.incident_id, digest=made.sha256
    )
    if verified is not None:
        rows.verification(made, ok=verified)
        chain.record(SYSTEM, "bundle.verify", "bundle", str(made.bundle_id), incident_id=made.incident_id,
                     outcome="ok" if verified else "file_hash_mismatch", digest=made.sha256)  # fmt: skip
    chain.record(SYSTEM, CHAIN_CHECKED, "chain", "2", details=WORDS_ON_CHAIN)
    return [made.bundle_id]


def hostile_certificate() -> Arguments:
    """A bundle whose signer, maker and gaps are named by an attacker."""
    return certified(
        verified=True, signer=EVIL, created_by=EVIL, complete=False, missing=[{"path": EVIL, "reason": EVIL}]
    )


def upload(status: str = "completed", *, ok: bool | None = None, name: str = UPLOADED, **report: Any) -> Arguments:
    """The job that verifies a file somebody brought; `ok` is the verdict, None where it has none."""
    payload = {"bundle_path": "uploads/x", "upload_id": str(uuid4()), "name": name, "size": 1_935_221}
    result = None
    if ok is not None:
        held = rows.bundle(created_at=timezone.now() - timedelta(days=2))
        told = {**rows.verification(held, ok=ok).report, "bundle": name, "content_digest": held.content_digest,
                "created_at": held.created_at.isoformat(), **report}  # fmt: skip
        result = {"report": told, "held": str(held.bundle_id) if ok else ""}
    made = rows.job(status, job_type="upload_verify", incident_id="", payload=payload, result=result)
    return [made.job_id]


def partial_upload() -> Arguments:
    """An uploaded bundle that is genuine and lacks its artifacts."""
    return upload(ok=True, complete=False, missing=MISSING)


def hostile_upload() -> Arguments:
    """An uploaded file whose name, signer and gaps an attacker chose."""
    return upload(
        ok=True, name=EVIL[:255] + rows.HOSTILE, signer=EVIL, complete=False, missing=[{"path": EVIL, "reason": EVIL}]
    )


def artifact(name: str, artifact_id: str, **fields: Any) -> ArtifactRecord:
    """An artifact that was restored here."""
    values = {"incident_id": "case-of-old", "size": 1 << 20, "sha256": rows.sha(name), "record": "{}"}
    return ArtifactRecord.objects.create(name=name, artifact_id=artifact_id, **{**values, **fields})


def findable(name: str = "abcdef.evtx") -> Arguments:
    """An incident, jobs, bundles and artifacts whose ids or digests begin alike."""
    rows.job("failed", incident_id=f"case-{COMMON}", job_id=UUID(f"{COMMON}00-0000-4000-8000-000000000000"))
    rows.bundle(sha256=COMMON + "1" * 58)
    verified = rows.bundle(content_digest=COMMON + "2" * 58)
    rows.verification(verified)
    rows.in_bundle(verified, name)
    for at in range(12):
        artifact(name, f"a-{at}", sha256=f"{COMMON}{at:02}" + "3" * 56)
    return []


def bundled(name: str = "abcdef.evtx") -> Arguments:
    """The same artifacts in bundles of every verdict, more of them than a search shows, and one restored here."""
    whole = rows.bundle()
    rows.verification(whole)
    for at in range(9):
        rows.in_bundle(whole, name, f"a-{at}")
    for of in (rows.bundle(complete=False, missing=MISSING), rows.bundle(state="lost"), rows.bundle()):
        rows.in_bundle(of, name, size=3 << 30)
    artifact(name, "a-1")
    return []


def found_records(title: str = "abcdef run") -> Arguments:
    """Events and alerts of several incidents that have a word, a hash and an address in common, and a bundle unread."""
    digest = COMMON * 10 + "1234"
    about = {"title": title, "source": "203.0.113.7", "hash": digest, "command_line": f"cmd /c {title}"}
    for number in range(12):
        given = [timelines.event(at, **about) for at in range(4)]
        timelines.kept(_folder(), given, alerts=[{"id": "1", **about}], incident_id=f"case-{number:02}")
    rows.bundle()
    return []


def elsewhere(title: str = "abcdef run") -> Arguments:
    """One of these incidents."""
    found_records(title)
    return ["case-03"]


def hostile_find() -> Arguments:
    """Artifacts whose names an attacker chose, in a bundle and restored."""
    made = rows.bundle(sha256=COMMON + "4" * 58)
    rows.in_bundle(made, f"{COMMON}{EVIL[:200]}")
    return findable(f"{COMMON}{rows.HOSTILE}")


def batch_of_jobs() -> Arguments:
    """Jobs of which some can be cancelled and some have ended."""
    for status in ("queued", "processing", "failed", "completed", "cancelled"):
        rows.job(status, incident_id=f"incident-{status}")
    return []


def batch_of_bundles() -> Arguments:
    """Bundles of which one is being verified and one is lost."""
    for at in range(3):
        rows.bundle(f"incident-{at}")
    rows.bundle("incident-lost", state="lost")
    busy = rows.bundle("incident-busy")
    rows.job(job_type="bundle_verify", incident_id="incident-busy", active_key=f"bundle_verify {busy.bundle_id}",
             payload={"bundle_id": str(busy.bundle_id)})  # fmt: skip
    return []


def _folder() -> Path:
    return Path(settings.VAR_DIR) / "timeline"


def _alerts() -> list[dict[str, str]]:
    return [{"id": f"{name}-{at}", "severity": name} for name, count in ALERTS.items() for at in range(count)]


def _artifacts(events: int | None) -> list[str]:
    return ["System.evtx", "Security.evtx", "memory of host 3.bin"] if events else []
