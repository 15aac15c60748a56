"""The bundle files below OUTPUT_DIR: staging, publishing, sweeping and opening.

Work in progress is in `.staging/<job>-<lease token>/`, uploads in `.quarantine/`, finished bundles directly in the
directory. A published file keeps a second link in its staging folder until its row is committed. So the sweep knows
which files belong to unfinished attempts, without guessing from names, and touches no others.

What a job's attempts have fetched is in `.staging/<job>-<lease token>.fetched/`. An attempt takes it over by giving it
its own lease token, unless the one before still writes into it: then it begins with nothing. So an attempt that lost
its lease finds its folder gone, and no two ever write into one.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
from pathlib import Path
from typing import BinaryIO
from uuid import UUID, uuid4

from django.conf import settings
from django.db import connection

from bundles.errors import BundleUnavailableError
from bundles.format.model.errors import CannotWriteError
from bundles.format.writing.packing import write_error
from bundles.format.writing.publish import sync_directory
from bundles.models import Bundle
from bundles.storage import journal, store_identity
from jobs.queue.disk_space import free_bytes

STAGING, QUARANTINE = ".staging", ".quarantine"
PUBLISHED_AS = "published-as"
ABANDONED = ".over"
FETCHED = ".fetched"
_ATTEMPT = re.compile(rf"([0-9a-f]{{32}})-([0-9a-f]{{32}})(?:{re.escape(ABANDONED)})?")
_FETCHED = re.compile(rf"([0-9a-f]{{32}})-([0-9a-f]{{32}}){re.escape(FETCHED)}")

ABANDONED_SQL = """
SELECT given.folder
FROM unnest(%s::text[], %s::uuid[], %s::uuid[]) AS given (folder, job_id, lease_token)
WHERE NOT EXISTS (
    SELECT 1 FROM orchestrator_jobs AS job
    WHERE job.job_id = given.job_id AND job.lease_token = given.lease_token
)
"""

# A job that is over needs nothing any more, nor does one whose attempt began with nothing need what another left. One
# that waits for room gets what it holds itself.
UNNEEDED_SQL = """
WITH given AS (
    SELECT * FROM unnest(%s::text[], %s::uuid[], %s::uuid[]) AS given (folder, job_id, lease_token)
)
SELECT given.folder FROM given LEFT JOIN orchestrator_jobs AS job USING (job_id)
WHERE job.status IS NULL OR job.status NOT IN ('queued', 'processing')
    OR (job.status IN ('queued') AND job.needs_bytes > %s)
    OR (job.lease_token <> given.lease_token AND EXISTS (
        SELECT 1 FROM given AS other WHERE (other.job_id, other.lease_token) = (job.job_id, job.lease_token)))
"""


def output_dir() -> Path:
    """The directory of finished bundles."""
    return Path(settings.OUTPUT_DIR)


def room() -> int | None:
    """Free bytes for a bundle in OUTPUT_DIR; None if unknown."""
    return free_bytes(output_dir())


def quarantine() -> Path:
    """The directory of uploads, created if missing.

    Raises:
        StoreMismatchError: this host's OUTPUT_DIR is not the store that the database knows.
    """
    store_identity.require(store_identity.BUNDLES)
    directory = output_dir() / QUARANTINE
    directory.mkdir(mode=0o750, exist_ok=True)
    return directory


def staging_of(job_id: UUID, lease_token: UUID) -> Path:
    """The staging directory of an attempt, which may not exist."""
    return output_dir() / STAGING / f"{job_id.hex}-{lease_token.hex}"


def make_staging(job_id: UUID, lease_token: UUID) -> Path:
    """A new, empty directory for one attempt, in the file system where its bundle will be published.

    Raises:
        CannotWriteError: `storage_full` or `write_failed`.
        StoreMismatchError: this host's OUTPUT_DIR is not the store that the database knows.
    """
    store_identity.require(store_identity.BUNDLES)
    try:
        directory = staging_of(job_id, lease_token)
        directory.parent.mkdir(mode=0o750, exist_ok=True)
        directory.mkdir(mode=0o700)
    except OSError as error:
        raise write_error(error) from error
    return directory


def fetched_of(job_id: UUID, lease_token: UUID) -> Path:
    """The folder of what a job's attempts have fetched, as this one calls it; it may not exist."""
    return output_dir() / STAGING / f"{job_id.hex}-{lease_token.hex}{FETCHED}"


def make_fetched(job_id: UUID, lease_token: UUID) -> Path:
    """The folder in which an attempt keeps what it fetches, with what the one before left, unless that is still at it.

    Raises:
        CannotWriteError: `storage_full` or `write_failed`.
        StoreMismatchError: this host's OUTPUT_DIR is not the store that the database knows.
    """
    store_identity.require(store_identity.BUNDLES)
    directory = fetched_of(job_id, lease_token)
    try:
        directory.parent.mkdir(mode=0o750, exist_ok=True)
        for left in directory.parent.glob(f"{job_id.hex}-*{FETCHED}"):
            if not journal.is_open(left):
                with contextlib.suppress(FileNotFoundError):  # swept meanwhile
                    left.rename(directory)
                    return directory
        directory.mkdir(mode=0o700)
    except OSError as error:
        raise write_error(error) from error
    return directory


def drop_fetched(job_id: UUID, lease_token: UUID) -> None:
    """Remove what a job's attempts have fetched, unless a later attempt has taken it over."""
    _remove_fetched(fetched_of(job_id, lease_token))


def publish(finished: Path, name: str) -> None:
    """Give an attempt's file its name in OUTPUT_DIR and keep its link in the staging folder.

    Args:
        finished: written and fsynced, in the attempt's staging folder.
        name: must not exist; a name is never reused.

    Raises:
        CannotWriteError: `name_taken`, `storage_full` or `write_failed`.
    """
    try:
        # The note is synced before the name exists, so that every named file has a note, even after a power failure.
        note = finished.with_name(PUBLISHED_AS)
        with note.open("w", encoding="utf-8") as file:
            file.write(f"{finished.name}\n{name}\n")
            file.flush()
            os.fsync(file.fileno())
        sync_directory(finished.parent)
        sync_directory(finished.parent.parent)
        os.link(finished, output_dir() / name, follow_symlinks=False)
        sync_directory(output_dir())
    except FileExistsError as error:
        raise CannotWriteError("name_taken", f"{name} already exists; a name is never reused.") from error
    except OSError as error:
        raise write_error(error) from error


def disk_usage(staging: Path) -> int:
    """Bytes that an attempt's folder uses on disk."""
    found = 0
    for folder, _, names in os.walk(staging):
        for name in names:
            with contextlib.suppress(OSError):  # removed meanwhile
                found += Path(folder, name).lstat().st_blocks * 512
    return found


def remove_staging(staging: Path) -> None:
    """Remove an attempt's folder; a published file keeps its name."""
    shutil.rmtree(staging, ignore_errors=True)


def withdraw(staging: Path) -> None:
    """Remove the file that an attempt published, if any, and its folder."""
    try:
        inner, name, _ = (staging / PUBLISHED_AS).read_text(encoding="utf-8").split("\n")
        published = output_dir() / name
        if "/" not in name and published.lstat().st_ino == (staging / inner).lstat().st_ino:
            published.unlink()
            sync_directory(output_dir())
    except (OSError, ValueError):
        pass  # nothing was published, or it was already removed
    remove_staging(staging)


def sweep() -> int:
    """Remove the folders and unregistered files of attempts without a lease, and what ended jobs have fetched.

    Returns:
        The number of folders removed; 0 if this is not the database's store, whose leases are then unknown.
    """
    if store_identity.hindrance(store_identity.BUNDLES):
        return 0
    try:
        folders = [entry.name for entry in os.scandir(output_dir() / STAGING)]
    except FileNotFoundError:
        return 0
    matches = [match for match in map(_ATTEMPT.fullmatch, folders) if match]
    with connection.cursor() as cursor:
        # One statement sees one snapshot: only attempts that hold their lease in it can still commit.
        cursor.execute(ABANDONED_SQL, [[m[0] for m in matches], [m[1] for m in matches], [m[2] for m in matches]])
        abandoned = [row[0] for row in cursor.fetchall()]
    for folder in abandoned:
        staging = _set_aside(output_dir() / STAGING / folder)
        if _is_registered(staging):
            remove_staging(staging)
        else:
            withdraw(staging)
    return len(abandoned) + _sweep_fetched(folders)


def open_bundle(name: str) -> BinaryIO:
    """Open a finished bundle for reading; no link is followed.

    Raises:
        BundleUnavailableError: it is missing or not a regular file.
        StoreMismatchError: this host's OUTPUT_DIR is not the store that the database knows.
    """
    unavailable = BundleUnavailableError("The bundle's file is missing or is not a regular file. Its record is kept.")
    if "/" in name or name.startswith("."):
        raise unavailable
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with store_identity.opened(store_identity.BUNDLES) as folder:
        try:
            descriptor = os.open(name, flags, dir_fd=folder)
        except OSError as error:
            raise unavailable from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise unavailable
    return os.fdopen(descriptor, "rb")


def is_lost(name: str) -> bool:
    """Whether a finished bundle's file is missing from the store that the database knows.

    Raises:
        StoreMismatchError: this host's OUTPUT_DIR is not that store.
    """
    with store_identity.opened(store_identity.BUNDLES) as folder:
        try:
            os.stat(name, dir_fd=folder)
        except FileNotFoundError:
            return True
    return False


def _set_aside(staging: Path) -> Path:
    """Rename an abandoned folder and return its new path.

    A suspended attempt that resumes finds its folder gone and cannot publish any more.
    """
    if staging.name.endswith(ABANDONED):
        return staging
    abandoned = staging.with_name(staging.name + ABANDONED)
    with contextlib.suppress(FileNotFoundError):  # already removed by another host's sweep or by the attempt
        staging.rename(abandoned)
    return abandoned


def _sweep_fetched(folders: list[str]) -> int:
    matches = [match for match in map(_FETCHED.fullmatch, folders) if match]
    free = room()
    with connection.cursor() as cursor:
        most = 2**63 - 1 if free is None else free
        cursor.execute(UNNEEDED_SQL, [[m[0] for m in matches], [m[1] for m in matches], [m[2] for m in matches], most])
        unneeded = [row[0] for row in cursor.fetchall()]
    for folder in unneeded:
        _remove_fetched(output_dir() / STAGING / folder)
    return len(unneeded)


def _remove_fetched(directory: Path) -> None:
    """Remove a folder after its name, so that an attempt that begins meanwhile finds all of it or nothing."""
    gone = directory.with_name(f"{directory.name.split('-', 1)[0]}-{uuid4().hex}{ABANDONED}")
    try:
        directory.rename(gone)
    except FileNotFoundError:
        return
    shutil.rmtree(gone, ignore_errors=True)


def _is_registered(staging: Path) -> bool:
    try:
        name = (staging / PUBLISHED_AS).read_text(encoding="utf-8").split("\n")[1]
    except (OSError, IndexError):
        return False
    return Bundle.objects.filter(name=name).exists()
