"""Rows for the states of pages about people, keys and workers, and for a Home on which everything needs a person."""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from bundles.keys import trusted_keys
from bundles.sources import dependency_status
from foundation.principal import SYSTEM
from jobs import worker_restarts
from jobs.models import Attempt, RestartReason, Worker
from orchestrator_site.accounts import tokens
from orchestrator_site.models import ConsoleSession, TokenDetails, Visit
from tests.support import console_rows as rows
from tests.support.console_scenes import EVIL, Arguments, asked_restore, crisis

READER = "operator"  # who looks at the pages that belong to one person
TOLD = {
    "failed": ("source_unavailable", "Forensic answered HTTP 503."),
    "lost": ("lease_expired", "Nothing was heard of its worker until the lease ended."),
    "released": ("", "The worker was asked to stop."),
}
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


def sessions() -> Arguments:
    """A reader who is signed in on two other machines, one of which says odd things about itself."""
    for agent in (FIREFOX, EVIL[:200]):
        elsewhere = Client()
        elsewhere.force_login(_reader())
        told = {"agent": agent, "address": "192.0.2.7", "seen_at": timezone.now() - timedelta(minutes=4)}
        ConsoleSession.objects.filter(session_key=elsewhere.session.session_key).update(**told)
    return some_tokens()


def with_password() -> Arguments:
    """A reader who can change a password."""
    reader = _reader()
    reader.set_password(rows.PASSWORD)
    reader.save()
    return []


def some_tokens() -> Arguments:
    """Three live tokens: one used, one that ends soon, one of another scope."""
    tokens.create(SYSTEM, _reader(), name="nightly verify on host-b", role="viewer", days=365)
    tokens.create(SYSTEM, _reader(), name="restore test", role="", days=3)
    used, _ = tokens.create(SYSTEM, _reader(), name="hand-over", role="analyst", days=30)
    TokenDetails.objects.filter(token__token_key=used.key).update(
        last_used_at=timezone.now(), last_used_from="192.0.2.9"
    )
    return []


def hostile_tokens() -> Arguments:
    """A token whose name came in through a script."""
    tokens.create(SYSTEM, _reader(), name=rows.HOSTILE[:80], role="viewer", days=30)
    return []


def many_keys() -> Arguments:
    """The key that signs, one from before, one revoked, and one that is not trusted any more."""
    folder = Path(settings.ORCH_VERIFY_KEY_PATH)
    (folder / "revoked").mkdir()
    (folder / "from-2025.pem").write_bytes(_public_key(1))
    (folder / "revoked" / "stolen.pem").write_bytes(_public_key(2))
    for at in range(3):
        rows.bundle(key_id=trusted_keys.active_id() if at else rows.sha("gone"), signer="signer" if at else "lost-key")
    return []


def hostile_keys() -> Arguments:
    """A key that is trusted no more and was named by an attacker."""
    rows.bundle(key_id=rows.sha("evil"), signer=EVIL)
    return []


def draining() -> Arguments:
    """A worker that was asked to leave while it works, one that is busy and one that went silent."""
    asked: dict[str, Any] = {
        "drain_requested_at": timezone.now() - timedelta(minutes=2),
        "drain_requested_by": "operator",
    }
    rows.worker(state="busy", current_job=rows.job("processing").job_id, **asked)
    rows.worker("host-b/7", host="host-b", pid=7, state="busy", current_job=rows.job("processing").job_id)
    rows.worker("host-c/9", host="host-c", pid=9, silent_s=40)
    worker_restarts.note(RestartReason.SILENT, "signal SIGKILL", host="host-c")
    return []


def draining_one() -> Arguments:
    """A busy worker, and another that goes on."""
    rows.worker(state="busy", current_job=rows.job("processing").job_id)
    rows.worker("host-b/7", host="host-b", pid=7)
    return []


def last_worker() -> Arguments:
    """The only worker there is."""
    rows.worker()
    return []


def everything() -> Arguments:
    """A Home on which everything that can need a person does: Shown.settings add the key and the disk."""
    crisis()
    Visit.objects.create(
        user=_reader(), seen_at=timezone.now() - timedelta(hours=2), before_at=timezone.now() - timedelta(days=1)
    )
    for hours in (1, 5, 6):
        at = timezone.now() - timedelta(hours=hours)
        rows.job("failed", incident_id=f"incident-failed-{hours}", completed_at=at)
    for number in range(7):
        rows.job("processing", lease_s=-600 - number, incident_id=f"incident-stuck-{number}")
    dependency_status.record(
        "source.artifacts", "Forensic service", ok=False, detail="Not reachable: connection refused."
    )
    worker_restarts.note(RestartReason.CRASHED, "exit code 1", host="host-c")
    rows.job("queued", incident_id="incident-large", needs_bytes=1 << 40)
    Worker.objects.update(room={"bundle_create": 1 << 30})
    rows.bundle("incident-huge", size=1 << 50)
    asked_restore()
    return []


def poison() -> Arguments:
    """A job that failed since its workers died."""
    died = "Its worker died three times while it held this job."
    made = rows.job("failed", error_code="poison", error_message=died, retry_count=3, attempts=3)
    made.history.all().delete()
    _attempts(made.job_id, ["lost", "lost", "lost"])
    return [made.job_id]


def waiting() -> Arguments:
    """A queued job that waits for a source to come back, after two attempts."""
    code, why = TOLD["failed"]
    later = timezone.now() + timedelta(minutes=3)
    made = rows.job("queued", attempts=2, retry_count=2, error_code=code, error_message=why, run_after=later)
    _attempts(made.job_id, ["failed", "failed"])
    return [made.job_id]


def retried() -> Arguments:
    """A job that runs again after attempts that failed, were lost and were released."""
    made = rows.job("processing", attempts=4, retry_count=2)
    made.history.all().delete()
    _attempts(made.job_id, ["failed", "lost", "released", "running"])
    return [made.job_id]


def _attempts(job_id: UUID, outcomes: list[str]) -> None:
    began = timezone.now() - timedelta(minutes=30)
    for number, outcome in enumerate(outcomes, 1):
        began += timedelta(minutes=5)
        code, why = TOLD.get(outcome, ("", ""))
        Attempt.objects.create(
            job_id=job_id, number=number, worker_id=f"host-a/{number}", lease_token=uuid4(), started_at=began,
            ended_at=None if outcome == "running" else began + timedelta(minutes=1), outcome=outcome,
            error_code=code, error_message=why,
        )  # fmt: skip


def _reader() -> User:
    return User.objects.get(username=READER)


@lru_cache
def _public_key(_number: int) -> bytes:
    key = rsa.generate_private_key(public_exponent=65537, key_size=3072).public_key()
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
