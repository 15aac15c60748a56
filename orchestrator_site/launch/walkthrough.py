"""The main job on one incident, through the queue, with a verdict at every step.

bundle → verify by the command line, without a database → one changed byte is refused → rehydrate → rehydrate again
changes nothing → bundle what was restored → the same content digest.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings

from bundles import services as bundle_services
from foundation import principal
from jobs import services as job_services
from jobs import waiting
from jobs.models import ENDED, Job
from orchestrator_site.configuration.env import BASE_DIR
from rehydration import services as restore_services

POLL_S = 0.05
LOOK_EVERY_S = 1.0
SAY_EVERY_S = 10.0


class WalkthroughError(Exception):
    """A step did not hold; the message says which and what happened."""


@dataclass
class Walk:
    """What the walk through one incident showed.

    Attributes:
        incident_id: which incident.
        alerts: how many alerts were restored; events and artifacts alike.
        size: of the bundle, in bytes.
        bundle: its path.
        content_digest: of the bundle made from the sources.
        seconds: for the whole walk.
        held: the steps that held, in order.
        failure: the step that did not, and why; empty when all held.
    """

    incident_id: str
    alerts: int = 0
    events: int = 0
    artifacts: int = 0
    size: int = 0
    bundle: str = ""
    content_digest: str = ""
    seconds: float = 0.0
    held: list[str] = field(default_factory=list)
    failure: str = ""


Ended = Callable[[Job], dict[str, Any]]
STEPS = ("bundle", "verify", "tamper", "restore", "again", "rebundle")


def walk(incident_id: str, say: Callable[[str], None], fault: Callable[[], str] = str) -> Walk:
    """Walk the main job through one incident; workers and sources must be running.

    Args:
        incident_id: which incident.
        say: called with one line for each completed step, and now and then with what is waited for.
        fault: says why a job that is waited for will never end; empty while it may.
    """
    result = Walk(incident_id)
    started = time.monotonic()
    try:
        for step, line in _steps(result, lambda job: _ended(job, say, fault)):
            result.held.append(step)
            say(line)
    except WalkthroughError as error:
        result.failure = str(error)
    result.seconds = time.monotonic() - started
    return result


def _steps(result: Walk, ended: Ended) -> Iterator[tuple[str, str]]:
    who = principal.shell(os.environ.get("USER", "root"))
    made = ended(bundle_services.request_bundle(who, incident_id=result.incident_id).job)
    result.size, result.bundle = made["size"], made["path"]
    result.content_digest = made["content_digest"]
    yield "bundle", f"bundled {result.incident_id}: {made['files']} files, {made['size']:,} bytes, {made['path']}"

    code, output = _verify_by_cli(Path(result.bundle))
    _hold(code == 0, f"the command line did not verify the bundle: {output}")
    yield "verify", "verified by tools/verify_bundle.py, without a database: exit 0"

    code, output = _verify_changed(Path(result.bundle))
    _hold(code == 1, f"one changed byte was not refused (exit {code}): {output}")
    yield "tamper", f"one changed byte: refused, exit 1 ({output.splitlines()[1].strip() if output else ''})"

    restored = ended(restore_services.request_restore(who, bundle_id=made["bundle_id"]).job)
    result.alerts, result.events, result.artifacts = (
        sum(restored["plan"][table][verdict] for verdict in ("new", "equal"))
        for table in ("alerts", "events", "artifacts")
    )
    _hold(restored["conflict_total"] == 0, "the restore found conflicts")
    _hold(restored["reconciled"]["ok"] is True, "database and files did not agree after the restore")
    counts = f"{result.alerts} alerts, {result.events} events, {result.artifacts} artifacts"
    yield "restore", f"restored: {counts}; database and files agree"

    again = ended(restore_services.request_restore(who, bundle_id=made["bundle_id"]).job)
    _hold(again["changed"] is False, "restoring again changed something")
    yield "again", "restored again: nothing changed"

    remade = ended(bundle_services.request_bundle(who, incident_id=result.incident_id, source="restored").job)
    _hold(remade["content_digest"] == result.content_digest, "the restored incident has another content digest")
    yield "rebundle", f"bundled what was restored: same content digest {result.content_digest}"


def _ended(job: Job, say: Callable[[str], None], fault: Callable[[], str]) -> dict[str, Any]:
    """The result of a job, once it has ended, however long that takes."""
    looked_at = said_at = time.monotonic()
    while True:
        job = job_services.get(principal.SYSTEM, job.job_id)
        if job.status in ENDED:
            _hold(job.is_completed, f"{job.job_type} {job.status}: {job.error_message} [{job.error_code}]")
            return dict(job.result or {})
        now = time.monotonic()
        if now - looked_at >= LOOK_EVERY_S:
            looked_at = now
            failed = fault()
            _hold(not failed, f"{job.job_type} {job.job_id} is {job.status}, but {failed}")
        if now - said_at >= SAY_EVERY_S:
            said_at = now
            say(f"waiting: {job.job_type} {job.job_id} is {job.status}. {waiting.reason(job)}".rstrip())
        time.sleep(POLL_S)


def _hold(condition: bool, failure: str) -> None:  # noqa: FBT001 # an assertion with a message
    if not condition:
        raise WalkthroughError(failure)


def _verify_by_cli(bundle: Path) -> tuple[int, str]:
    done = subprocess.run(
        [
            sys.executable,
            str(BASE_DIR / "tools" / "verify_bundle.py"),
            str(bundle),
            "--key",
            str(settings.ORCH_VERIFY_KEY_PATH),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def _verify_changed(bundle: Path) -> tuple[int, str]:
    """Verify a copy of the bundle with one byte in its middle changed."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / bundle.name
        shutil.copyfile(bundle, copy)
        with copy.open("r+b") as file:
            middle = copy.stat().st_size // 2
            file.seek(middle)
            byte = file.read(1)[0]
            file.seek(middle)
            file.write(bytes([byte ^ 0x01]))
        return _verify_by_cli(copy)
