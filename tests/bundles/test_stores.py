"""Hosts that share a database but not the directories: the wrong directory is refused, and no file counts as lost."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from bundles import services as bundle_services
from bundles.artifacts import single_files
from bundles.errors import BundleUnavailableError, StoreMismatchError
from bundles.handlers import verify
from bundles.models import Bundle, Store
from bundles.storage import bundle_files, store_identity, store_marker
from bundles.uploads import quarantine, verify_upload
from custody.models import Event
from foundation.principal import SYSTEM
from jobs import waiting
from jobs.models import Job
from jobs.queue import queue, registry
from jobs.queue.claim_request import ClaimRequest, of_this_host
from jobs.worker.attempt import perform
from jobs.worker.attempt_reporter import AttemptReporter
from jobs.worker.worker import run_one
from jobs.worker_registration import WorkerRegistration
from orchestrator_site.configuration import checks
from orchestrator_site.operations import health
from rehydration import services as restore_services
from rehydration import staging as restore_staging
from tests.conftest import Orchestrator
from tests.support import console_rows as rows
from tests.support.main_job import INCIDENT, bundle, files_of, finished, restore, run_to_its_end, sources, sweep_all
from tests.support.site_deployment import Served, environment, manage

__all__ = ["sources"]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("orch")]


@pytest.fixture
def elsewhere(orch: Orchestrator, settings: Any) -> Callable[[], Any]:
    """A second host, in a `with`: the same database and keys, with an OUTPUT_DIR and artifact store of its own."""

    @contextmanager
    def host() -> Iterator[Path]:
        own = orch.root / "host-b"
        for name in ("bundles", "forensic"):
            (own / name).mkdir(parents=True, exist_ok=True)
        settings.OUTPUT_DIR, settings.FORENSIC_STORAGE_PATH = own / "bundles", own / "forensic"
        yield own
        settings.OUTPUT_DIR, settings.FORENSIC_STORAGE_PATH = orch.output_dir, orch.forensic

    return host


def marker(folder: Path) -> str:
    return (folder / store_marker.NAME).read_text().strip()


def known(kind: str = store_identity.BUNDLES) -> str:
    return str(Store.objects.get(kind=kind).store_id)


def claimed(job_type: str) -> Job:
    job = queue.claim(ClaimRequest("w", (job_type,)))
    assert job is not None
    return job


def attempted(job: Job) -> Job:
    """A claimed job after its attempt in this process."""
    perform(job, AttemptReporter(job, registry.get(job.job_type).phases, stopping=threading.Event(), direct=True))
    return Job.objects.get(job_id=job.job_id)


def test_a_host_with_another_bundle_store_neither_serves_nor_verifies_nor_calls_anything_lost(sources, elsewhere):
    made = bundle()
    person = Client()
    person.force_login(rows.user("operator"))
    with elsewhere() as own:
        api = person.get(f"/bundles/{made.bundle_id}/download")
        assert (api.status_code, api.json()["code"]) == (503, "store_mismatch")
        assert known()[:8] in api.json()["detail"]
        assert "adopt_store bundles" in api.json()["detail"]
        assert str(own) not in api.content.decode()
        for refused in (
            lambda: bundle_services.open_download(SYSTEM, made.bundle_id),
            lambda: single_files.open_file(SYSTEM, made.bundle_id, 0),
            lambda: restore_services.request_restore(SYSTEM, bundle_id=str(made.bundle_id), dry_run=True),
            lambda: quarantine.receive(SYSTEM, [b"x"], "x.zst"),
        ):
            with pytest.raises(StoreMismatchError):
                refused()
        form = person.post(reverse("verify-file-send"), {"bundle_file": SimpleUploadedFile("x.zst", b"x")})
        assert (form.status_code, "store_mismatch" in form.content.decode()) == (503, True)
        job = bundle_services.request_verification(SYSTEM, made.bundle_id).job
        WorkerRegistration().announce()
        assert run_one() is None
        assert "No live worker's host can do it now" in waiting.reason(job)
        assert known()[:8] in waiting.reason(job)
        assert files_of(own) == []
    assert not Event.objects.filter(action__in=["bundle.open_file", "bundle.download", "bundle.verify_failed"]).exists()
    assert finished(job)["report"]["verified"] is True
    (bundle_files.output_dir() / made.name).unlink()  # gone from the very store: now it is lost
    with pytest.raises(BundleUnavailableError):
        bundle_files.open_bundle(made.name)
    again = finished(bundle_services.request_verification(SYSTEM, made.bundle_id).job)
    assert again["report"]["error"]["code"] == "bundle_lost"


def test_a_store_that_goes_away_after_the_claim_gives_no_verdict(sources, elsewhere):
    made = bundle()
    bundle_services.request_verification(SYSTEM, made.bundle_id)
    upload = quarantine.receive(SYSTEM, [b"no bundle"], "x.zst")
    verify_upload.request(SYSTEM, upload, "x.zst")
    for job_type in (verify.JOB_TYPE, verify_upload.JOB_TYPE):
        job = claimed(job_type)
        with elsewhere():
            left = attempted(job)
        assert (left.status, left.error_code) == ("queued", "store_mismatch")
        assert run_to_its_end(job).status == "completed"
    made.refresh_from_db()
    assert (made.state, made.verified_ok) == ("ready", True)


def test_an_unmounted_disk_is_not_replaced_by_a_new_store_and_works_again_once_mounted(orch, sources):
    made = bundle()
    away = orch.root / "away"
    orch.output_dir.rename(away)
    orch.output_dir.mkdir()
    left_behind = orch.output_dir / bundle_files.STAGING / f"{uuid4().hex}-{uuid4().hex}"
    left_behind.mkdir(parents=True)
    claimant = of_this_host("w")
    job = bundle_services.request_verification(SYSTEM, made.bundle_id).job
    assert queue.claim(claimant) is None
    sweep_all()
    assert left_behind.is_dir(), "it may belong to a lease in another database"
    assert files_of(orch.root / "bundles") == []
    assert not (orch.output_dir / store_marker.NAME).exists()
    left_behind.rmdir()
    left_behind.parent.rmdir()
    orch.output_dir.rmdir()
    assert queue.claim(of_this_host("another")) is None, "a directory that is missing is no store either"
    away.rename(orch.output_dir)
    taken = None
    while taken is None:  # the same process sees it, soon
        taken = queue.claim(claimant)
    assert taken.job_id == job.job_id
    assert (attempted(taken).result or {})["report"]["verified"] is True


def test_of_two_hosts_at_first_use_one_gives_the_store_its_id(orch, elsewhere, monkeypatch):
    propose = store_identity._propose

    def meanwhile(kind: str, folder: int, store_id: Any) -> None:
        propose(kind, folder, store_id)
        monkeypatch.setattr(store_identity, "_propose", propose)
        with elsewhere():
            store_identity.require(kind)

    monkeypatch.setattr(store_identity, "_propose", meanwhile)
    with pytest.raises(StoreMismatchError):
        store_identity.require(store_identity.BUNDLES)
    assert list(orch.output_dir.iterdir()) == []
    with elsewhere() as own:
        store_identity.require(store_identity.BUNDLES)
        assert marker(own / "bundles") == known()


@pytest.mark.parametrize("dies_before", ["gethostname", "rename"], ids=["its row", "its marker"])
def test_a_process_that_dies_while_it_gives_a_store_its_id_is_followed_by_another(orch, monkeypatch, dies_before):
    def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    owner: Any = socket if dies_before == "gethostname" else os  # what the statement of the row asks for
    with monkeypatch.context() as patched:
        patched.setattr(owner, dies_before, die)
        with pytest.raises(KeyboardInterrupt):
            store_identity.require(store_identity.BUNDLES)
    store_identity.require(store_identity.BUNDLES)
    assert marker(orch.output_dir) == known()
    assert [one.name for one in orch.output_dir.iterdir()] == [store_marker.NAME]
    assert (orch.output_dir / store_marker.NAME).stat().st_mode & 0o777 == 0o644


def test_a_store_of_another_database_is_not_touched_until_it_is_adopted(orch, capsys):
    store_identity.require(store_identity.BUNDLES, store_identity.ARTIFACTS)
    theirs = list(Store.objects.order_by("kind").values())
    Store.objects.all().delete()  # this database is new, or from before the first use
    for root in (orch.output_dir, orch.forensic):
        (root / ".staging" / f"{uuid4().hex}-{uuid4().hex}").mkdir(parents=True)
    sweep_all()
    assert [len(list((root / ".staging").iterdir())) for root in (orch.output_dir, orch.forensic)] == [1, 1]
    with pytest.raises(StoreMismatchError, match="of another database"):
        store_identity.require(store_identity.BUNDLES)
    with pytest.raises(CommandError, match="Nothing was changed"):
        call_command("adopt_store", "bundles")
    assert not Store.objects.exists()
    call_command("adopt_store", "bundles", "--yes")
    call_command("adopt_store", "artifacts", "--yes")
    store_identity.require(store_identity.BUNDLES, store_identity.ARTIFACTS)
    assert marker(orch.output_dir) == known() != str(theirs[1]["store_id"])
    sweep_all()
    assert [len(list((root / ".staging").iterdir())) for root in (orch.output_dir, orch.forensic)] == [0, 0]
    assert files_of(orch.output_dir) == []
    event = Event.objects.filter(action="store.adopt").first()
    assert event is not None
    assert event.authenticated_by == "shell"
    Store.objects.all().delete()
    Store.objects.bulk_create([Store(**row) for row in theirs])  # the other database refuses it from now on
    assert set(store_identity.mismatches(store_identity.known())) == {store_identity.BUNDLES, store_identity.ARTIFACTS}


def test_adopting_a_directory_needs_confirmation_and_shows_which_files_it_lacks(orch, sources, elsewhere, capsys):
    made = bundle()
    call_command("adopt_store", "bundles")
    assert "knows already" in capsys.readouterr().out
    with elsewhere() as own:
        with pytest.raises(CommandError):
            call_command("adopt_store", "bundles")
        assert "0 of the 1 files" in capsys.readouterr().out
        (own / "bundles" / made.name).write_bytes((orch.output_dir / made.name).read_bytes())
        call_command("adopt_store", "bundles", "--yes")
        assert "1 of the 1 files" in capsys.readouterr().out
        bundle_files.open_bundle(made.name).close()
    with pytest.raises(StoreMismatchError):
        bundle_files.open_bundle(made.name)


def test_a_bundle_is_not_registered_when_another_store_was_adopted_while_it_was_made(
    orch, sources, elsewhere, monkeypatch
):
    job = bundle_services.request_bundle(SYSTEM, incident_id=INCIDENT).job
    publish = bundle_files.publish

    def adopt_meanwhile(staged: Path, name: str) -> None:
        publish(staged, name)
        with elsewhere():
            store_identity.adopt(SYSTEM, store_identity.BUNDLES)

    monkeypatch.setattr(bundle_files, "publish", adopt_meanwhile)
    left = run_one()
    assert left is not None
    assert (left.job_id, left.status, left.error_code) == (job.job_id, "queued", "store_mismatch")
    assert not Bundle.objects.exists()
    left_behind = files_of(orch.output_dir)
    assert all(".fetched/" in one for one in left_behind), "only what the next attempt goes on with"


def test_a_wrong_artifact_store_is_neither_restored_to_nor_bundled_from(orch, sources, elsewhere):
    made = bundle()
    restore(made)
    restoring = restore_services.request_restore(SYSTEM, bundle_id=str(made.bundle_id)).job
    rebundling = bundle_services.request_bundle(SYSTEM, incident_id=INCIDENT, source="restored").job
    for job_type in ("rehydrate", "bundle_create"):
        job = claimed(job_type)
        with elsewhere() as own:
            assert run_one() is None
            left = attempted(job)
            assert (left.status, left.error_code) == ("queued", "store_mismatch")
            assert files_of(own) == []
    assert not Event.objects.filter(action="incident.restore_failed").exists()
    assert finished(restoring)["changed"] is False
    remade = Bundle.objects.get(bundle_id=finished(rebundling)["bundle_id"])
    assert remade.content_digest == made.content_digest


def test_files_missing_from_an_unmounted_disk_do_not_fail_the_restore(orch, sources, monkeypatch):
    made = bundle()
    restore(made)
    restore_services.request_restore(SYSTEM, bundle_id=str(made.bundle_id))
    make, away = restore_staging.make, orch.root / "away"

    def unmounted_after(*attempt: Any) -> Path:
        folder = make(*attempt)
        orch.forensic.rename(away)
        orch.forensic.mkdir()
        folder.mkdir(parents=True)
        return folder

    monkeypatch.setattr(restore_staging, "make", unmounted_after)
    left = run_one()
    assert left is not None
    assert (left.status, left.error_code) == ("queued", "store_mismatch"), left.error_message
    assert not Event.objects.filter(action="incident.restore_failed").exists()


def test_checks_ready_and_home_name_the_wrong_store_and_serving_goes_on(orch, sources, elsewhere):
    store_identity.require(store_identity.BUNDLES, store_identity.ARTIFACTS)
    person = Client()
    person.force_login(rows.user("operator"))
    with elsewhere():
        WorkerRegistration().announce()
        words = store_identity.mismatches(store_identity.known())[store_identity.BUNDLES]
        assert "OUTPUT_DIR: no store id (.store-id) is there" in words
        page = person.get(reverse("home")).content.decode()
        assert page.count("Wrong store") == 1, "one row, with a line for each store"
        assert page.count("first used on") == 2, "this host's two stores, and its worker says the same"
    page = person.get(reverse("home")).content.decode()
    assert page.count("first used on") == 1, "the worker of the other host said so"


@pytest.mark.django_db(transaction=True)
def test_the_processes_of_a_host_with_stores_of_its_own_say_so_and_do_nothing(orch, sources, elsewhere, monkeypatch):
    made = bundle()
    bundle_services.request_verification(SYSTEM, made.bundle_id)
    with elsewhere() as own:
        more = {"OUTPUT_DIR": str(own / "bundles"), "FORENSIC_STORAGE_PATH": str(own / "forensic")}
        assert [one.id for one in checks.findings() if one.is_serious()] == [checks.WRONG_STORE] * 2
        checks.require_ready()
        assert health.known_stores()["ok"] is False
    check = manage("check", "--deploy", "--tag", checks.TAG, "--database", "default", env=environment(orch, **more))
    assert check.returncode == 1
    assert "(orch.E016) OUTPUT_DIR: no store id" in check.stderr
    worker = manage("run_orch_worker", "--concurrency", "1", "--drain", env=environment(orch, **more))
    assert worker.returncode == 0, worker.stderr
    assert Job.objects.get(job_type=verify.JOB_TYPE).status == "queued"
    with Served(orch, more) as served:
        answer = requests.get(served.url("/ready"), timeout=240)
        part = answer.json()["parts"]["stores"]
        assert (answer.status_code, part["ok"]) == (503, False)
        assert part["detail"] == "store_mismatch, not the store that the database knows: bundles, artifacts"
        assert str(own) not in answer.text
        assert "orch.E016 OUTPUT_DIR" in served.log.read_text()
    assert files_of(own) == []
    assert health.known_stores()["ok"] is True
