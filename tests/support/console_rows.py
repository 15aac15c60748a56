"""Database rows in every state that a page of the console must show, and users of every role."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from bundles.format.model.errors import STEPS
from bundles.models import Bundle, BundledArtifact, Verification
from jobs.models import Attempt, Job, JobLogLine, Worker
from orchestrator_site.accounts.roles import assign_role

INCIDENT = "incident-123"
PASSWORD = "a long enough password"
# A name as an attacker would choose it: markup, a formula, reversed direction, control and zero-width characters.
HOSTILE = "<script>alert(1)</script>\"'=cmd()\u202egnp.exe\x1b[31m\r\nSet-Cookie: x\u200b"


def user(role: str, name: str = "", password: str | None = None) -> User:
    made = User.objects.create_user(name or role, password=password)
    if role:
        assign_role(made, role)
    return made


def signed_in(role: str = "operator") -> Client:
    """A browser in which a new person with this role is signed in."""
    client = Client()
    client.force_login(user(role, f"{role}-{uuid4().hex[:6]}"))
    return client


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def job(status: str = "queued", *, lease_s: float = 25, **fields: Any) -> Job:
    """A job in `status`; one that is processing has a lease for `lease_s` seconds more (negative: stuck)."""
    now = timezone.now()
    ended = status in {"completed", "failed", "cancelled"}
    values: dict[str, Any] = {
        "job_type": "bundle_create",
        "status": status,
        "payload": {"incident_id": INCIDENT, "allow_partial": False, "chunk_size_mb": 256, "source": "live"},
        "incident_id": INCIDENT,
        "requested_by": "analyst",
        "created_at": now - timedelta(minutes=5),
        "run_after": now - timedelta(minutes=5),
        "started_at": None if status == "queued" else now - timedelta(minutes=4),
        "attempts": 0 if status == "queued" else 1,
        "completed_at": now - timedelta(minutes=1) if ended else None,
    }
    if status == "processing":
        values |= {
            "worker_id": "host-a/42",
            "lease_token": uuid4(),
            "lease_expires_at": now + timedelta(seconds=lease_s),
            "progress": {
                "phase": "packing", "done": 3 << 20, "total": 5 << 20, "unit": "bytes", "rate": 1 << 20,
                "note": "artifacts", "updated_at": now.isoformat(),
            },
        }  # fmt: skip
    if status == "failed":
        values |= {"error_code": "source_unavailable", "error_message": "Forensic answered HTTP 503.", "retry_count": 1}
    if status == "completed":
        values["result"] = {}
    made = Job.objects.create(**{**values, **fields})
    if made.started_at:
        outcome = "running" if status == "processing" else status
        Attempt.objects.create(
            job=made, number=1, worker_id="host-a/42", lease_token=uuid4(), started_at=made.started_at, outcome=outcome,
            ended_at=made.completed_at, error_code=made.error_code, error_message=made.error_message,
        )  # fmt: skip
        JobLogLine.objects.create(job=made, at=now, level="info", message="claimed", fields={"worker": "host-a/42"})
    return made


def bundle(incident_id: str = INCIDENT, **fields: Any) -> Bundle:
    name = f"bundle_{uuid4().hex[:12]}.tar.zst"
    values: dict[str, Any] = {
        "incident_id": incident_id,
        "name": name,
        "size": 1_935_221,
        "sha256": sha(name),
        "created_at": timezone.now() - timedelta(minutes=2),
        "created_by": "analyst",
        "source": "live",
        "compression": "zstd",
        "key_id": sha("key"),
        "signer": "orch_sign",
        "content_digest": sha("content"),
        "manifest_hash": sha("manifest"),
        "complete": True,
        "files": 58,
        "total_bytes": 4_900_000,
    }
    return Bundle.objects.create(**{**values, **fields})


def in_bundle(of: Bundle, name: str, artifact_id: str = "a-1", **fields: Any) -> BundledArtifact:
    """An artifact that `of` holds, as the search knows it."""
    values = {"place": of.artifacts.count(), "size": 1 << 20, "sha256": sha(name)}
    return BundledArtifact.objects.create(bundle=of, name=name, artifact_id=artifact_id, **{**values, **fields})


def verification(of: Bundle, *, ok: bool = True) -> Verification:
    """A verification that ran, and the verdict on its bundle."""
    steps = list(STEPS)
    failed = steps.index("contents")
    passed = [True if ok or place < failed else False if place == failed else None for place in range(len(steps))]
    checks = [{"name": name, "ok": verdict} for name, verdict in zip(steps, passed, strict=True)]
    report: dict[str, Any] = {
        "verified": ok, "bundle": of.name, "sha256": of.sha256, "size": of.size, "incident_id": of.incident_id,
        "key_id": of.key_id, "signer": of.signer, "complete": of.complete, "missing": of.missing, "files": of.files,
        "checks": checks, "seconds": 0.2,
        "error": None if ok else {"code": "file_hash_mismatch", "detail": "alerts.json differs from what was signed."},
    }  # fmt: skip
    at = timezone.now() - timedelta(seconds=40)
    Bundle.objects.filter(pk=of.pk).update(verified_at=at, verified_ok=ok)
    return Verification.objects.create(bundle=of, at=at, ok=ok, report=report, job_id=uuid4(), requested_by="analyst")


def worker(worker_id: str = "host-a/42", *, silent_s: float = 1, **fields: Any) -> Worker:
    now = timezone.now()
    values: dict[str, Any] = {
        "host": "host-a", "pid": 42, "started_at": now - timedelta(hours=3), "version": "1.0.0", "jobs_done": 1204,
        "heartbeat_at": now - timedelta(seconds=silent_s), "state": "idle", "rss_bytes": 96 << 20,
    }  # fmt: skip
    return Worker.objects.create(worker_id=worker_id, **{**values, **fields})


def restore_result(**fields: Any) -> dict[str, Any]:
    """The result of a restore or its preview, as the rehydrate job gives it."""
    counted = {"new": 3, "equal": 2, "conflict": 1}
    plan = {name: dict(counted) for name in ("timeline", "events", "alerts", "artifacts", "files")}
    result: dict[str, Any] = {
        "incident_id": INCIDENT, "bundle_sha256": sha("file"), "content_digest": sha("content"), "dry_run": True,
        "plan_digest": sha("plan"), "signature_checked": True, "changed": False, "plan": plan, "conflict_total": 1,
        "conflicts": [{"table": "alerts", "key": HOSTILE, "reason": "other content"}],
        "reconciled": {"records": 3, "files": 3, "ok": True, "problems": []},
    }  # fmt: skip
    return {**result, **fields}


def restore_job(status: str = "completed", *, dry_run: bool = True, **fields: Any) -> Job:
    payload = {"bundle_path": "bundle_x.tar.zst", "verify_signature": True, "dry_run": dry_run, "plan_digest": ""}
    result = restore_result(dry_run=dry_run) if status == "completed" else None
    return job(status, **{"job_type": "rehydrate", "payload": payload, "result": result, **fields})
