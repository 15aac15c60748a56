"""Bundle files: the sweep removes what dead attempts left and nothing else; a full disk leaves nothing."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.utils import timezone

from bundles import services as bundle_services
from bundles.errors import BundleUnavailableError
from bundles.format.model.errors import CannotWriteError
from bundles.models import Bundle
from bundles.storage import bundle_files, journal, store_identity
from bundles.storage.journal import Journal
from foundation.principal import SYSTEM
from jobs import waiting
from jobs.models import Job
from jobs.queue import queue
from jobs.queue.claim_request import ClaimRequest
from jobs.worker.worker import run_one
from jobs.worker_registration import WorkerRegistration
from tests.support.main_job import INCIDENT, bundle, files_of, run_to_its_end, sources
from tests.support.upstreams import says

__all__ = ["sources"]

pytestmark = pytest.mark.django_db


def an_attempt(content: bytes = b"bundle") -> Path:
    """The staging folder of an attempt that is over, with a finished file in it."""
    staging = bundle_files.make_staging(uuid4(), uuid4())
    (staging / "bundle").write_bytes(content)
    return staging


def test_the_sweep_removes_what_a_dead_attempt_published(orch):
    staging = an_attempt()
    bundle_files.publish(staging / "bundle", "a.tar.zst")
    assert bundle_files.sweep() == 1
    assert files_of(orch.output_dir) == []
    assert bundle_files.sweep() == 0


@pytest.mark.django_db(transaction=True)
def test_the_sweep_leaves_everything_that_is_not_an_attempts(orch, sources):
    kept = bundle()
    theirs = ["case-9-20260101T000000000000Z.tar.zst", "notes.txt", kept.name.replace("case-9", "case-8")]
    for name in theirs:
        (orch.output_dir / name).write_bytes(b"an operator's own")
    inside = [".staging/keep.txt", ".staging/not-an-attempt/file", f".staging/{uuid4().hex}/file"]
    for name in inside:
        (orch.output_dir / name).parent.mkdir(exist_ok=True)
        (orch.output_dir / name).write_bytes(b"an operator's own")
    assert bundle_files.sweep() == 0
    assert files_of(orch.output_dir) == sorted([kept.name, *theirs, *inside])


def test_the_note_is_on_disk_with_all_that_leads_to_it_before_the_bundle_has_a_name(orch, monkeypatch):
    """After a power failure a name without its note would look like an operator's own file."""
    staging = an_attempt()
    sync, link, done = os.fsync, os.link, []

    def synced(descriptor: int) -> None:
        done.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        sync(descriptor)

    def linked(*given: Any, **more: Any) -> None:
        done.append("the name")
        link(*given, **more)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "link", linked)
    bundle_files.publish(staging / "bundle", "a.tar.zst")
    leads_there = [str(staging / bundle_files.PUBLISHED_AS), str(staging), str(staging.parent)]
    assert done == [*leads_there, "the name", str(orch.output_dir)]


def test_the_sweep_leaves_another_file_with_the_name_of_a_published_one(orch):
    staging = an_attempt()
    bundle_files.publish(staging / "bundle", "a.tar.zst")
    (orch.output_dir / "a.tar.zst").unlink()
    (orch.output_dir / "a.tar.zst").write_bytes(b"another file")
    assert bundle_files.sweep() == 1
    assert (orch.output_dir / "a.tar.zst").read_bytes() == b"another file"


@pytest.mark.parametrize("note", ["bundle\n../outside\n", "bundle\n/etc/x\n", "bundle\n", "", "bundle\na\nb\nc\n"])
def test_a_malformed_note_removes_no_file(orch, note):
    staging = an_attempt()
    (orch.root / "outside").hardlink_to(staging / "bundle")
    (staging / bundle_files.PUBLISHED_AS).write_text(note)
    assert bundle_files.sweep() == 1
    assert (orch.root / "outside").exists()


@pytest.mark.django_db(transaction=True)
def test_the_sweep_leaves_a_published_file_whose_row_exists(orch, sources):
    made = bundle()
    staging = bundle_files.make_staging(uuid4(), uuid4())
    (staging / "bundle").hardlink_to(orch.output_dir / made.name)
    (staging / bundle_files.PUBLISHED_AS).write_text(f"bundle\n{made.name}\n")
    assert bundle_files.sweep() == 1
    assert files_of(orch.output_dir) == [made.name]


def test_the_sweep_leaves_the_folder_of_an_attempt_that_holds_its_lease(orch):
    bundle_services.request_bundle(SYSTEM, incident_id=INCIDENT)
    claimed = queue.claim(ClaimRequest("w", ("bundle_create",)))
    assert claimed is not None
    assert claimed.lease_token is not None
    mine, before = (bundle_files.make_staging(claimed.job_id, token) for token in (claimed.lease_token, uuid4()))
    (mine / "bundle").write_bytes(b"x")
    bundle_files.publish(mine / "bundle", "mine.tar.zst")
    assert bundle_files.sweep() == 1
    assert mine.is_dir()
    assert (orch.output_dir / "mine.tar.zst").exists()
    assert not before.exists()


def test_an_attempt_that_publishes_while_it_is_swept_leaves_no_file(orch, monkeypatch):
    """The sweep found no note; the suspended attempt resumes, publishes, and dies before it notices its lost lease."""
    staging = an_attempt()
    remove, refused = bundle_files.remove_staging, []

    def publish_just_before(folder: Path) -> None:
        try:
            bundle_files.publish(staging / "bundle", "late.tar.zst")
        except CannotWriteError as error:
            refused.append(error.code)
        remove(folder)

    monkeypatch.setattr(bundle_files, "remove_staging", publish_just_before)
    assert bundle_files.sweep() == 1
    assert refused == ["write_failed"]
    assert files_of(orch.output_dir) == []


def test_a_name_is_never_reused(orch):
    (orch.output_dir / "a.tar.zst").write_bytes(b"first")
    staging = an_attempt()
    with pytest.raises(CannotWriteError, match="never reused") as refused:
        bundle_files.publish(staging / "bundle", "a.tar.zst")
    assert refused.value.code == "name_taken"
    bundle_files.withdraw(staging)
    assert (orch.output_dir / "a.tar.zst").read_bytes() == b"first"


@pytest.mark.parametrize("name", ["../secret", ".staging", "missing", "folder", "link", "fifo"])
def test_only_a_plain_file_directly_in_the_directory_is_opened(orch, name):
    (orch.root / "secret").write_bytes(b"secret")
    (orch.output_dir / "folder").mkdir()
    (orch.output_dir / "link").symlink_to(orch.root / "secret")
    os.mkfifo(orch.output_dir / "fifo")
    with pytest.raises(BundleUnavailableError):
        bundle_files.open_bundle(name)


@contextmanager
def files_no_larger_than(size_bytes: int) -> Iterator[None]:
    """A kernel limit on file size: writing past it fails, as on a full disk."""
    store_identity.require(
        store_identity.BUNDLES, store_identity.ARTIFACTS
    )  # their ids were written while there was room
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("room_bytes", [20, 400, 4_000], ids=["fetching", "fetching more", "packing"])
def test_a_full_disk_fails_the_job_after_every_try_and_leaves_nothing(orch, sources, room_bytes):
    job = bundle_services.request_bundle(SYSTEM, incident_id=INCIDENT).job
    with files_no_larger_than(room_bytes):
        failed = run_to_its_end(job)
    assert (failed.status, failed.error_code, failed.attempts) == ("failed", "storage_full", 3)
    assert "room" in failed.error_message
    assert files_of(orch.output_dir) == []
    assert list((orch.output_dir / ".staging").iterdir()) == []
    assert not Bundle.objects.exists()


def test_a_disk_that_has_room_again_is_used_by_the_next_try(orch, sources):
    job = bundle_services.request_bundle(SYSTEM, incident_id=INCIDENT).job
    with files_no_larger_than(400):
        left = run_one()
    assert left is not None
    assert (left.status, left.error_code) == ("queued", "storage_full")
    assert run_to_its_end(job).status == "completed"


@pytest.fixture
def tiny_disk(orch) -> Iterator[Callable[[int], None]]:
    """Puts a file system of its own below OUTPUT_DIR; where that is not allowed, the test is skipped."""

    def mount(size_kib: int) -> None:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size_kib}k", "none", str(orch.output_dir)],
            capture_output=True,
            check=False,
        )
        if done.returncode:
            pytest.skip("mounting a file system is not allowed here")
        store_identity.require(store_identity.BUNDLES)  # its id takes 4 KiB

    yield mount
    subprocess.run(["umount", str(orch.output_dir)], capture_output=True, check=False)


def test_a_job_waits_for_a_disk_that_has_no_room_and_says_so(orch, sources, tiny_disk):
    tiny_disk(64)
    job = bundle_services.request_bundle(SYSTEM, incident_id=INCIDENT).job
    presence = WorkerRegistration()
    presence.announce()
    assert run_one() is None, "what is there is less than the reserve"
    assert f"{presence.host} has 0.00 GiB" in waiting.reason(job)
    assert files_of(orch.output_dir) == []


def test_an_attempt_that_fills_the_disk_leaves_it_as_empty_as_before_and_the_next_waits_for_more_room(
    orch, sources, tiny_disk, settings
):
    settings.ORCH_DISK_RESERVE_BYTES = 0
    tiny_disk(1024)
    theirs = orch.output_dir / "theirs"
    theirs.write_bytes(b"x" * (1024 - 12) * 1024)
    job = bundle_services.request_bundle(SYSTEM, incident_id=INCIDENT).job
    left = run_one()
    assert left is not None
    assert (left.status, left.error_code, left.attempts) == ("queued", "storage_full", 1)
    assert files_of(orch.output_dir) == ["theirs"]
    Job.objects.update(run_after=timezone.now() - timedelta(seconds=1))
    assert run_one() is None, "there is no more room than when it failed"
    theirs.unlink()
    assert run_to_its_end(job).status == "completed"


def test_room_that_others_made_while_an_attempt_failed_is_not_what_the_next_one_waits_for(
    orch, sources, tiny_disk, settings, monkeypatch
):
    settings.ORCH_DISK_RESERVE_BYTES = 0
    tiny_disk(1024)
    theirs = orch.output_dir / "theirs"
    theirs.write_bytes(b"x" * (1024 - 12) * 1024)
    job = bundle_services.request_bundle(SYSTEM, incident_id=INCIDENT).job
    withdraw = bundle_files.withdraw

    def withdraw_while_others_clear_up(staging: Path) -> None:
        withdraw(staging)
        theirs.unlink()

    monkeypatch.setattr(bundle_files, "withdraw", withdraw_while_others_clear_up)
    left = run_one()
    assert left is not None
    assert (left.status, left.error_code) == ("queued", "storage_full")
    monkeypatch.undo()
    Job.objects.update(run_after=timezone.now() - timedelta(seconds=1))
    again = run_one()
    assert again is not None, "it waits for all the room that there is"
    assert (again.job_id, again.status) == (job.job_id, "completed")


def test_a_directory_that_cannot_be_written_fails_the_job_by_name(orch, sources):
    (orch.output_dir / bundle_files.STAGING).write_bytes(b"where the staging folders belong")
    failed = run_to_its_end(bundle_services.request_bundle(SYSTEM, incident_id=INCIDENT).job)
    assert (failed.status, failed.error_code, failed.attempts) == ("failed", "write_failed", 3)


def claimed_job() -> tuple[Job, UUID]:
    """A job that is being worked on, and its lease token."""
    bundle_services.request_bundle(SYSTEM, incident_id=INCIDENT)
    claimed = queue.claim(ClaimRequest("w", ("bundle_create",)))
    assert claimed is not None
    assert claimed.lease_token is not None
    return claimed, claimed.lease_token


def test_an_attempt_takes_over_what_the_one_before_fetched(orch):
    job_id, before, now = uuid4(), uuid4(), uuid4()
    left = bundle_files.make_fetched(job_id, before)
    Journal(left, "request").__exit__(None, None, None)
    (left / "kept").write_bytes(b"x")
    mine = bundle_files.make_fetched(job_id, now)
    assert (mine / "kept").read_bytes() == b"x"
    assert not left.exists()
    bundle_files.drop_fetched(job_id, before)
    assert mine.is_dir(), "an attempt that lost its lease drops nothing of the next one's"
    assert not (bundle_files.make_fetched(uuid4(), now) / "kept").exists(), "another job has its own"


def test_an_attempt_leaves_a_folder_into_which_the_one_before_still_writes(orch):
    job_id = uuid4()
    left = bundle_files.make_fetched(job_id, uuid4())
    with Journal(left, "request"):
        mine = bundle_files.make_fetched(job_id, uuid4())
        assert mine != left
        assert list(mine.iterdir()) == []
        assert (left / journal.NAME).exists()


def test_the_sweep_leaves_what_a_job_that_is_not_over_has_fetched(orch):
    job, token = claimed_job()
    bundle_files.make_fetched(job.job_id, uuid4())
    assert bundle_files.sweep() == 0, "the attempt may be about to take it over"
    queue.fail(job, "source_unavailable", "The source is down.")
    assert bundle_files.sweep() == 0
    mine = bundle_files.make_fetched(job.job_id, token)
    assert mine.is_dir()
    assert len(list(mine.parent.iterdir())) == 1


@pytest.mark.parametrize("end", ["failed", "cancelled", "no job"])
def test_the_sweep_removes_what_a_job_that_is_over_has_fetched(orch, end):
    job, token = claimed_job()
    left = bundle_files.make_fetched(uuid4() if end == "no job" else job.job_id, token)
    (left / "contents").mkdir()
    (left / "contents" / "x").write_bytes(b"x")
    if end == "failed":
        queue.fail(job, "broken", "It broke.", permanent=True)
    elif end == "cancelled":
        queue.release(job)
        queue.cancel(job.job_id)
    assert bundle_files.sweep() == 1
    assert list(left.parent.iterdir()) == []


def test_the_sweep_removes_what_an_attempt_could_not_take_over_once_it_has_a_folder_of_its_own(orch):
    job, token = claimed_job()
    left = bundle_files.make_fetched(job.job_id, uuid4())
    with Journal(left, "request"):
        mine = bundle_files.make_fetched(job.job_id, token)
    assert bundle_files.sweep() == 1
    assert list(mine.parent.iterdir()) == [mine]


def test_a_job_that_waits_for_room_gives_back_what_it_holds(orch):
    job, token = claimed_job()
    bundle_files.make_fetched(job.job_id, token)
    queue.fail(job, "storage_full", "No space.", needs_bytes=1 << 60)
    assert bundle_files.sweep() == 1


@pytest.mark.django_db(transaction=True)
def test_a_source_that_fails_for_now_is_asked_only_for_the_rest_and_nothing_is_left_in_the_end(orch, sources):
    job = bundle_services.request_bundle(SYSTEM, incident_id=INCIDENT).job
    sources.answers["forensic"] = lambda exchange: exchange.path.endswith("/content") and says(b"", 500)(exchange)
    left = run_one()
    assert left is not None
    assert (left.status, left.error_code) == ("queued", "source_unavailable")
    assert [name for name in files_of(orch.output_dir) if f"{bundle_files.FETCHED}/timeline.json" in name]
    sources.answers.clear()
    sources.asked.clear()
    assert run_to_its_end(job).status == "completed"
    assert all(asked.endswith("/content") for asked in sources.asked)
    assert list((orch.output_dir / ".staging").iterdir()) == []


@pytest.mark.django_db(transaction=True)
def test_a_cancelled_job_keeps_nothing_of_what_it_fetched(orch, sources, settings):
    settings.ORCH_SOURCE_TIMEOUT_SECONDS = 30
    job = bundle_services.request_bundle(SYSTEM, incident_id=INCIDENT).job

    def cancel_meanwhile(exchange):
        if exchange.path.endswith("/content"):
            Job.objects.filter(job_id=job.job_id).update(cancel_requested=True)
            connection.close()  # of the server's thread
            return says(b"", 503, Retry_After="30")(exchange)
        return False

    sources.answers["forensic"] = cancel_meanwhile
    left = run_one()
    assert left is not None
    assert left.status == "cancelled"
    assert files_of(orch.output_dir) == []
    assert list((orch.output_dir / ".staging").iterdir()) == []


def test_the_next_attempt_does_not_begin_before_the_source_wants_to_be_asked(orch, sources):
    bundle_services.request_bundle(SYSTEM, incident_id=INCIDENT)
    sources.answers["killchain"] = says(b"", 503, Retry_After="3000")
    left = run_one()
    assert left is not None
    assert left.status == "queued"
    assert timedelta(seconds=2900) < left.run_after - timezone.now() <= timedelta(seconds=3000)
