"""The folders of delivered files below OUTPUT_DIR: one for each, with the file, its password, and what was unpacked.

The file is named `delivered` there: the name that it came with is in the database and is never used as a path.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from pathlib import Path
from uuid import UUID

from django.db import transaction

from bundles.format.writing.publish import sync_directory
from bundles.intake.delivered import DELIVERED, INNER, PASSWORD, UNPACKED
from bundles.models import Intake
from bundles.storage import bundle_files, store_identity
from jobs.models import ACTIVE, Job

INTAKES = ".intake"
KEPT_S = 7 * 24 * 3600
UNCOMMITTED_S = 300
_OURS = re.compile(r"[0-9a-f]{32}")


def folder_of(intake_id: UUID) -> Path:
    """The folder of a delivered file, which may not exist.

    Raises:
        StoreMismatchError: this host's OUTPUT_DIR is not the store that the database knows.
    """
    store_identity.require(store_identity.BUNDLES)
    return bundle_files.output_dir() / INTAKES / intake_id.hex


def take(intake_id: UUID, file: Path) -> Path:
    """Link a received file into a new folder.

    The caller removes the first name once the file is registered: until then a crash loses nothing.

    Args:
        intake_id: names the folder.
        file: complete and synced, in the same file system.

    Returns:
        The folder.

    Raises:
        OSError: it cannot be linked.
    """
    folder = folder_of(intake_id)
    folder.mkdir(mode=0o700, parents=True)
    (folder / DELIVERED).hardlink_to(file)
    sync_directory(folder)
    sync_directory(folder.parent)
    return folder


def keep_password(intake_id: UUID, password: str) -> None:
    """Keep the password of an encrypted archive beside it, readable by the service alone, until `forget_password`."""
    path = folder_of(intake_id) / PASSWORD
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(password.encode())


def forget_password(intake_id: UUID) -> None:
    """Remove the password."""
    (folder_of(intake_id) / PASSWORD).unlink(missing_ok=True)


def sweep() -> int:
    """Remove passwords and scratch files that no active job needs, and the folders of files that are older than a week.

    Returns:
        The number of folders removed; 0 if this is not the database's store.
    """
    if store_identity.hindrance(store_identity.BUNDLES):
        return 0
    base = bundle_files.output_dir() / INTAKES
    if not base.is_dir():
        return 0
    jobs = Job.objects.filter(status__in=ACTIVE).values_list("payload__intake__id", "payload__intake_id")
    active = {str(one) for named in jobs for one in named if one}
    removed = 0
    for folder in base.iterdir():
        if not _OURS.fullmatch(folder.name) or str(UUID(folder.name)) in active:
            continue
        _forget_unused(UUID(folder.name), folder / PASSWORD)
        (folder / UNPACKED).unlink(missing_ok=True)
        shutil.rmtree(folder / INNER, ignore_errors=True)
        if time.time() - folder.stat().st_mtime > KEPT_S:
            Intake.objects.filter(intake_id=UUID(folder.name)).update(state=Intake.State.DISCARDED)
            shutil.rmtree(folder, ignore_errors=True)
            removed += 1
    return removed


def _forget_unused(intake_id: UUID, password: Path) -> None:
    """Remove a password that no active job needs.

    A request that brings one holds the row until its job is committed. A file that the same transaction takes in has no
    row yet that is visible here, so without a row a young password stays.
    """
    try:
        age_s = time.time() - password.lstat().st_mtime
    except FileNotFoundError:
        return
    with transaction.atomic():
        known = Intake.objects.filter(intake_id=intake_id)
        if not known.select_for_update(skip_locked=True).exists() and age_s < UNCOMMITTED_S:
            return
        if not Job.objects.filter(status__in=ACTIVE, payload__intake__id=str(intake_id)).exists():
            password.unlink(missing_ok=True)


def remove(intake_id: UUID) -> None:
    """Remove the folder with the delivered file."""
    shutil.rmtree(folder_of(intake_id), ignore_errors=True)
