"""Uploads: stored under a generated name, bounded, complete or not at all; the sweep keeps what a job still needs."""

from __future__ import annotations

import hashlib
import io
import json
import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import DatabaseError

from bundles.errors import StorageFullError, UploadTooLargeError
from bundles.uploads import quarantine
from custody import chain
from custody.models import Event
from foundation.errors import AccessDeniedError
from foundation.principal import SYSTEM, Principal
from jobs.models import Job
from jobs.queue import queue
from tests.support.main_job import files_of

pytestmark = pytest.mark.django_db

CONTENT = b"a bundle, perhaps" * 1000
WEEK_S = 7 * 24 * 3600
NAMES = ["../../etc/passwd", "/etc/passwd", "a\x00b.tar.zst", "name\ud800.tar.zst", "n" * 5000, "", "\u202egnp.exe"]


def grow_old(path: Path, age_s: float = WEEK_S + 60) -> Path:
    then = time.time() - age_s
    os.utime(path, (then, then), follow_symlinks=False)
    return path


@pytest.mark.parametrize(
    "shape", [io.BytesIO, lambda raw: [raw[:7], raw[7:]], lambda raw: SimpleUploadedFile("x", raw)]
)
def test_an_upload_is_kept_in_quarantine_with_its_size_and_digest(orch, shape):
    upload = quarantine.receive(SYSTEM, shape(CONTENT), "case.tar.zst")
    kept = Path(upload.path)
    assert kept.parent == orch.output_dir / ".quarantine"
    assert kept.read_bytes() == CONTENT
    assert (upload.size, upload.sha256) == (len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    assert kept.stat().st_mode & 0o7 == 0
    event = Event.objects.get()
    assert (event.action, event.object_id, event.digest) == ("bundle.upload", upload.upload_id, upload.sha256)


@pytest.mark.parametrize("name", NAMES)
def test_the_senders_name_is_recorded_and_never_used_as_a_path(orch, name):
    upload = quarantine.receive(SYSTEM, [b"x"], name)
    assert files_of(orch.root) == sorted([f"bundles/.quarantine/{upload.upload_id}.bundle", *_keys(orch)])
    assert json.loads(Event.objects.get().details)["name"] == name[:255]
    assert chain.verify().intact


def test_an_upload_beyond_the_limit_is_refused_while_it_comes_in(orch, settings):
    settings.ORCH_MAX_UPLOAD_BYTES = 1000
    sent: list[int] = []

    def endless() -> Iterator[bytes]:
        while True:
            sent.append(1)
            yield b"x" * 300

    with pytest.raises(UploadTooLargeError):
        quarantine.receive(SYSTEM, endless(), "big")
    assert len(sent) == 4
    assert files_of(orch.output_dir) == []
    assert not Event.objects.exists()


def test_an_upload_of_exactly_the_limit_is_taken(orch, settings):
    settings.ORCH_MAX_UPLOAD_BYTES = 1000
    assert quarantine.receive(SYSTEM, [b"x" * 1000], "just so").size == 1000


def test_an_upload_that_finds_no_room_is_refused_and_nothing_is_kept(orch):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
    try:
        with pytest.raises(StorageFullError):
            quarantine.receive(SYSTEM, [CONTENT], "no room")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files_of(orch.output_dir) == []
    assert not Event.objects.exists()


def test_a_sender_that_breaks_off_leaves_nothing(orch):
    def broken() -> Iterator[bytes]:
        yield b"half"
        raise ConnectionResetError("gone")

    with pytest.raises(ConnectionResetError):
        quarantine.receive(SYSTEM, broken(), "half")
    assert files_of(orch.output_dir) == []


def test_an_upload_that_cannot_be_recorded_in_custody_is_not_kept(orch, monkeypatch):
    def broken(*_: object, **__: object) -> None:
        raise DatabaseError("no line today")

    monkeypatch.setattr(chain, "record", broken)
    with pytest.raises(DatabaseError):
        quarantine.receive(SYSTEM, [b"x"], "untold")
    assert files_of(orch.output_dir) == []


def test_without_permission_nothing_is_read_or_stored(orch):
    file = io.BytesIO(CONTENT)
    with pytest.raises(AccessDeniedError):
        quarantine.receive(Principal(name="v", authenticated_by="token"), file, "x")
    assert file.tell() == 0
    assert files_of(orch.output_dir) == []


def test_the_sweep_removes_old_uploads_and_keeps_new_ones_and_those_of_active_jobs(orch):
    old, needed, young = (Path(quarantine.receive(SYSTEM, [b"x"], "u").path) for _ in range(3))
    part = old.with_name(f"{uuid4().hex}.part")
    part.write_bytes(b"left by a server that died")
    queue.enqueue("rehydrate", {"bundle_path": str(needed)}, principal=SYSTEM, operation="test")
    for path in (old, needed, part):
        grow_old(path)
    grow_old(young, WEEK_S - 600)
    assert quarantine.sweep() == 2
    assert sorted(path.name for path in old.parent.iterdir()) == sorted([needed.name, young.name])
    Job.objects.update(status="cancelled", completed_at="2026-01-01T00:00:00Z")
    assert quarantine.sweep() == 1
    assert young.exists()


def test_the_sweep_touches_nothing_in_quarantine_that_is_not_an_upload(orch):
    theirs = Path(quarantine.receive(SYSTEM, [b"x"], "u").path).parent
    kept = [theirs / name for name in ("evidence.tar.zst", "abc.bundle", "notes.part")]
    for path in kept:
        grow_old(_written(path))
    (theirs / uuid4().hex).mkdir()
    folder = theirs / f"{uuid4().hex}.bundle"
    folder.mkdir()
    grow_old(folder)
    outside = grow_old(_written(orch.root / "outside"))
    link = theirs / f"{uuid4().hex}.bundle"
    link.symlink_to(outside)
    grow_old(link)
    quarantine.sweep()
    assert all(path.exists() for path in [*kept, folder, outside])


def test_a_sweep_before_the_first_upload_finds_nothing(orch):
    assert quarantine.sweep() == 0


def _written(path: Path) -> Path:
    path.write_bytes(b"an operator's own")
    return path


def _keys(orch) -> list[str]:
    return [f"keys/{name}" for name in files_of(orch.root / "keys")]
