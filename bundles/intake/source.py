"""The evidence source `intake` of the job that makes a bundle: a delivered file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from bundles.errors import BundleError
from bundles.handlers.errors import job_error
from bundles.intake import adapter, store
from bundles.intake.delivered import DELIVERED
from bundles.sources.live import LiveSource
from jobs.errors import PermanentError

NAME = "intake"


def of_payload(payload: Mapping[str, Any]) -> LiveSource:
    """The source of a job's payload.

    Raises:
        jobs.errors.PermanentError: `intake_gone`.
        jobs.errors.RetryableError: `store_mismatch`.
    """
    asked = payload["intake"]
    try:
        folder = store.folder_of(UUID(asked["id"]))
    except BundleError as error:
        raise job_error(error) from error
    if not (folder / DELIVERED).is_file():
        raise PermanentError("intake_gone", "The delivered file is no longer here. Import it again.")
    return adapter.source(
        folder,
        asked["name"],
        sha256=asked["sha256"],
        kind=asked["kind"],
        mapping=asked["mapping"],
        mapping_name=asked.get("mapping_name", ""),
    )
