"""Turns errors of the format and of the bundles app into errors of a job."""

from __future__ import annotations

from bundles.errors import BundleError
from bundles.format.model.errors import CannotCheckError, FormatError, PayloadError
from jobs.errors import PermanentError, RetryableError

RETRYABLE = frozenset(
    {"storage_full", "write_failed", "payload_truncated", "payload_longer", "payload_unreadable", "store_mismatch"}
)


def job_error(error: FormatError | BundleError) -> RetryableError | PermanentError:
    """The job's error: retryable if another attempt can help."""
    retryable = error.code in RETRYABLE and not isinstance(error, CannotCheckError)
    # A payload differs from what the artifact source recorded, so the message names that source.
    message = f"Forensic artifacts: {error}" if isinstance(error, PayloadError) else str(error)
    return (RetryableError if retryable else PermanentError)(error.code, message)
