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

from bundles.format.writing.publish import sync_directory
from bundles.intake.delivered import DELIVERED, INNER, PASSWORD, UNPACKED
from bundles.models import Intake
from bundles.storage import bundle_files, store_identity
from jobs.models import ACTIVE, Job

INTAKES = ".intake"
KEPT_S = 7 * 24 * 3600
_OURS = re.compile(r"[0-9a-f]{32}")


def folder_of(intake_id: UUID) -> Path:
    """The folder of a delivered file, which may not exist.

    Raises:
        StoreMismatchError: this host's OUTPUT_DIR is not the store that the database knows.
    """
    store_identity.require(store_identity.BUNDLES)
    return bundle_files.output_dir() / INTAKES / intake_id.hex


def take(intake_id: UUID, file: Path) -> Path:
    """Move a received file into a new folder.

    Args:
        intake_id: names the folder.
        file: complete and synced, in the same file system.

    Returns:
        The folder.

    Raises:
        OSError: it cannot be moved.
    """
    folder = folder_of(intake_id)
    folder.mkdir(mode=0o700, parents=True)
    file.replace(folder / DELIVERED)
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
        (folder / PASSWORD).unlink(missing_ok=True)
        (folder / UNPACKED).unlink(missing_ok=True)
        shutil.rmtree(folder / INNER, ignore_errors=True)
        if time.time() - folder.stat().st_mtime > KEPT_S:
            Intake.objects.filter(intake_id=UUID(folder.name)).update(state=Intake.State.DISCARDED)
            shutil.rmtree(folder, ignore_errors=True)
            removed += 1
    return removed


def remove(intake_id: UUID) -> None:
    """Remove the folder with the delivered file."""
    shutil.rmtree(folder_of(intake_id), ignore_errors=True)
