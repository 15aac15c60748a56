"""What a failed job means for the person in front of it: what happened, is the evidence safe, what to do.

The one place that turns a job's stable error code into words of advice; a code that is not listed gets advice that
is true of every failure of that kind of job.
"""

from __future__ import annotations

from dataclasses import dataclass

from bundles.format.model.errors import CODES
from jobs.models import Job
from orchestrator_site.errors.error_words import OF_ATTEMPTS


@dataclass(frozen=True, kw_only=True)
class Advice:
    """Three answers: `title` sums up, `safe` speaks of the evidence, `todo` of the next step."""

    title: str
    safe: str
    todo: str


SAFE = {
    "bundle_create": "Yes. The sources were only read, and no bundle of this attempt exists.",
    "bundle_verify": "The stored file was only read. Until a check succeeds, treat this bundle as not verified.",
    "upload_verify": "Yes. The uploaded file was only read, and nothing here depends on it.",
    "rehydrate": "Yes. What was here before is unchanged; restoring again adds only what is not here yet.",
}
SAFE_PREVIEW = "Yes. This was a preview: nothing was written."
SAFE_ANY = "Yes. The job made no change that it did not finish."
TRY_AGAIN = "Retry the job. If it fails again, give the code and the job's id below to your administrator."

# code → what happened in a few words, what to do.
BY_CODE = {
    "source_unavailable": (
        "A source did not answer, or changed while it was read",
        (
            "Check that service, then retry; if its list of alerts keeps changing, when it is quieter. To go on "
            "without it, make a partial bundle: it says in its signed manifest what is missing."
        ),
    ),
    "source_rejected": (
        "A source refused the request",
        "Ask the administrator of that service about the message below, then retry.",
    ),
    "source_invalid": (
        "A source gave an answer that cannot be evidence",
        (
            "The answer has not the shape that was agreed. Report it to the administrator of that service; retrying "
            "helps only after it is repaired."
        ),
    ),
    "incident_unknown": (
        "The sources do not know this incident",
        "Check the incident id for a typing mistake, and that the sources are those of the right environment.",
    ),
    "reconcile_failed": (
        "Records and files do not belong together",
        "Nothing was recorded. The job's log names the files: repair the artifact store, then preview again.",
    ),
    "storage_full": (
        "The disk is full",
        "Make room in the bundle store or the artifact store, then retry.",
    ),
    "store_mismatch": (
        "The worker's host has not the store that the database knows",
        (
            "Have an administrator mount the right directory on the host that the message names, then retry. Nothing "
            "was judged by what that host has."
        ),
    ),
    "write_failed": (
        "The bundle could not be written",
        "Have an administrator look at the bundle store (OUTPUT_DIR): is it there, writable, with room? Then retry.",
    ),
    "storage_error": (
        "The artifact store could not be used",
        "Have an administrator look at the artifact store (FORENSIC_STORAGE_PATH), then retry.",
    ),
    "bundle_lost": (
        "The bundle's file is gone",
        "Look for another copy, and bundle the incident again if the sources still hold it.",
    ),
    "upload_gone": (
        "The uploaded file is gone",
        "Uploads are kept for a week. Upload the file again to have it verified.",
    ),
    "bundle_replaced": (
        "Another file stands where the bundle was",
        "Do not use that file. Ask who changed the bundle store, keep the file for examination, and bundle again.",
    ),
    "plan_changed": (
        "The database changed after the preview",
        "Nothing was restored. Make a new preview and confirm that one.",
    ),
    "signer_unknown": (
        "The bundle is signed by a key that is not trusted here",
        "Ask whoever gave you the bundle for their public key, and have an administrator add it if it is right.",
    ),
    "signer_weak": (
        "The bundle is signed by a key that is too weak",
        (
            "Have it signed again with an RSA key of 3,072 bits or more. An older bundle is checked on the command "
            "line, with --allow-weak-keys."
        ),
    ),
    "signer_revoked": (
        "The bundle is signed by a key that was revoked",
        "Do not use this bundle. Bundle the incident again with a key in force.",
    ),
    "poison": (
        "The lease ran out in every attempt",
        "Each attempt says whether its worker died or was held up. Look at the workers and their host, then retry.",
    ),
}
REJECTED = (
    "The bundle was refused",
    "Do not use this file as evidence. Keep it for examination, and get the bundle again from where it was made.",
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
