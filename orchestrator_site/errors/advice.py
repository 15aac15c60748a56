"""Advice for failed jobs: what happened, whether the evidence is safe, and what to do.

Maps a job's stable error code to texts; an unlisted code gets the general advice for its job type.
"""

from __future__ import annotations

from dataclasses import dataclass

from bundles.format.model.errors import CODES
from jobs.models import Job
from orchestrator_site.errors.error_words import OF_ATTEMPTS


@dataclass(frozen=True, kw_only=True)
class Advice:
    """Three texts: `title` says what happened, `safe` whether the evidence is safe, `todo` what to do."""

    title: str
    safe: str
    todo: str


SAFE = {
    "bundle_create": "Yes. The sources were only read, and no bundle of this attempt exists.",
    "bundle_verify": "The stored file was only read. Until a check succeeds, treat this bundle as not verified.",
    "upload_verify": "Yes. The uploaded file was only read, and nothing here depends on it.",
    "rehydrate": "Yes. Existing records and files are unchanged; restoring again adds only what is missing.",
}
SAFE_PREVIEW = "Yes. This was a preview: nothing was written."
SAFE_ANY = "Yes. The job left no partial changes."
TRY_AGAIN = "Retry the job. If it fails again, give the code and the job's id below to your administrator."

# code → what happened in a few words, what to do.
BY_CODE = {
    "source_unavailable": (
        "A source did not answer, or changed while it was read",
        (
            "Check that service, then retry. If its list of alerts keeps changing, retry when it is quieter. To "
            "continue without it, make a partial bundle: its signed manifest lists what is missing."
        ),
    ),
    "source_rejected": (
        "A source refused the request",
        "Ask the administrator of that service about the message below, then retry.",
    ),
    "source_invalid": (
        "A source gave an invalid answer",
        (
            "The answer does not have the agreed format. Report it to the administrator of that service; retrying "
            "helps only after it is fixed."
        ),
    ),
    "incident_unknown": (
        "The sources do not know this incident",
        "Check the incident id for typing mistakes, and that the sources belong to the right environment.",
    ),
    "reconcile_failed": (
        "Records and files do not match",
        "Nothing was recorded. The job's log lists the files: repair the artifact store, then preview again.",
    ),
    "storage_full": (
        "The disk is full",
        "Free space in the bundle store or the artifact store, then retry.",
    ),
    "store_mismatch": (
        "The worker's host does not have the registered store",
        (
            "Ask an administrator to mount the right directory on the host that the message names, then retry. No "
            "bundle was marked as lost because of that host."
        ),
    ),
    "write_failed": (
        "The bundle could not be written",
        "Ask an administrator to check the bundle store (OUTPUT_DIR): it must be writable and have space. Then retry.",
    ),
    "storage_error": (
        "The artifact store could not be used",
        "Ask an administrator to check the artifact store (FORENSIC_STORAGE_PATH), then retry.",
    ),
    "bundle_lost": (
        "The bundle's file is missing",
        "Look for another copy, or bundle the incident again if the sources still have it.",
    ),
    "upload_gone": (
        "The uploaded file is missing",
        "Uploads are kept for a week. Upload the file again to verify it.",
    ),
    "bundle_replaced": (
        "The bundle's file was replaced",
        "Do not use that file. Find out who changed the bundle store, keep the file for examination, and bundle again.",
    ),
    "plan_changed": (
        "The database changed after the preview",
        "Nothing was restored. Make a new preview and confirm that one.",
    ),
    "signer_unknown": (
        "The bundle is signed by a key that is not trusted here",
        "Get the public key from the sender of the bundle, and ask an administrator to check and add it.",
    ),
    "signer_weak": (
        "The bundle is signed by a key that is too weak",
        (
            "Have it signed again with an RSA key of 3,072 bits or more. An older bundle can be checked on the command "
            "line with --allow-weak-keys."
        ),
    ),
    "signer_revoked": (
        "The bundle is signed by a revoked key",
        "Do not use this bundle. Bundle the incident again with a trusted key.",
    ),
    "poison": (
        "The lease expired in every attempt",
        "Each attempt says whether its worker died or was delayed. Check the workers and their host, then retry.",
    ),
}
REJECTED = (
    "The bundle was refused",
    "Do not use this file as evidence. Keep it for examination, and get the bundle again from its origin.",
)


def advice_for(job: Job) -> Advice:
    """The advice for a job that failed."""
    code = job.error_code or ""
    safe = SAFE.get(job.job_type, SAFE_ANY)
    if job.job_type == "rehydrate" and job.payload.get("dry_run"):
        safe = SAFE_PREVIEW
    title, todo = BY_CODE.get(code) or (
        REJECTED if code in CODES else OF_ATTEMPTS.get(code, ("The job failed", TRY_AGAIN))
    )
    return Advice(title=title, safe=safe, todo=todo)
