"""Where a bundle is unpacked before anything of it counts: FORENSIC_STORAGE_PATH/.staging/<job id>_<lease token>.

On the store's own file system, so that files are put in place by a link. An attempt removes its folder; what a killed
attempt left is removed by `sweep`, which spares the attempts that still hold their lease.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from uuid import UUID

from django.conf import settings

from bundles.storage import store_identity
from jobs.models import Job

FOLDER = ".staging"  # no incident id starts with a dot


def make(job_id: UUID, lease_token: UUID) -> Path:
    """Make the attempt's own empty folder.

    Raises:
        StoreMismatchError: this host's FORENSIC_STORAGE_PATH is not the store that the database knows.
    """
    store_identity.require(store_identity.ARTIFACTS)
    above = Path(settings.FORENSIC_STORAGE_PATH) / FOLDER
    above.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = above / f"{job_id}_{lease_token}"
    folder.mkdir(mode=0o700)
    return folder


def remove(folder: Path) -> None:
    """Remove an attempt's folder; what cannot be removed now is left to the sweep."""
    shutil.rmtree(folder, ignore_errors=True)


def sweep() -> int:
    """Remove the folders of attempts that are over; returns how many: none where this is not the database's store."""
    if store_identity.hindrance(store_identity.ARTIFACTS):
        return 0
    above = Path(settings.FORENSIC_STORAGE_PATH) / FOLDER
    if not above.is_dir():
        return 0
    found = list(above.iterdir())  # before the query: a folder that is made later is not in the list
    holders = Job.objects.filter(lease_token__isnull=False).values_list("job_id", "lease_token")
    alive = {f"{job_id}_{lease_token}" for job_id, lease_token in holders}
    over = [folder for folder in found if folder.name not in alive]
    for folder in over:
        remove(folder)
    return len(over)
