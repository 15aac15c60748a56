"""Job errors for the faults of a source, one function for each kind; each names the source.

Messages contain fixed text, and ids and field names of records, escaped and shortened: nothing else that a source
sent, no credentials, no addresses.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from jobs.errors import PermanentError, RetryableError

UNAVAILABLE = "source_unavailable"
REJECTED = "source_rejected"
INVALID = "source_invalid"
UNKNOWN = "incident_unknown"
MISCONFIGURED = "source_misconfigured"

# Requests that may succeed later although the status is a 4xx: timeout, too early, too many requests.
RETRYABLE_4XX = frozenset({408, 425, 429})

SourceFault = (RetryableError, PermanentError)


@dataclass(frozen=True)
class Source:
    """What is read: `key` is its name in the manifest; `title` its name in messages, which is not compared."""

    key: str
    title: str = field(compare=False)


TIMELINE = Source("timeline", "KillChain timeline")
ALERTS = Source("alerts", "Alerts DB")
ARTIFACTS = Source("artifacts", "Forensic artifacts")


def unavailable(source: Source, what: str, *, not_before_s: float = 0) -> RetryableError:
    """The source is down, too slow, disconnected or changing: another attempt can help, if it says so after a time."""
    return RetryableError(UNAVAILABLE, f"{source.title}: {what}", not_before_s=not_before_s)


def rejected(source: Source, what: str) -> PermanentError:
    """The source refuses the request."""
    return PermanentError(REJECTED, f"{source.title}: {what}")


def invalid(source: Source, what: str) -> PermanentError:
    """The source sent an invalid response."""
    return PermanentError(INVALID, f"{source.title}: {what}")


def unknown(source: Source, incident_id: str) -> PermanentError:
    """The source does not know the incident."""
    return PermanentError(UNKNOWN, f"{source.title}: the incident {incident_id} is not known there.")


def misconfigured(source: Source, what: str) -> PermanentError:
    """The source cannot be asked as it is configured: its credential, its certificates, its options."""
    return PermanentError(MISCONFIGURED, f"{source.title}: {what}")


class StatusRefusedError(PermanentError):
    """The source refused a request with a status that an adapter may know the meaning of.

    Attributes:
        http_code: of its answer.
    """

    def __init__(self, source: Source, status: int, what: str) -> None:
        super().__init__(REJECTED, f"{source.title}: {what}")
        self.http_code = status


def of_status(source: Source, code: int) -> RetryableError | PermanentError:
    """The fault for an unexpected HTTP status."""
    if code >= 500 or code in RETRYABLE_4XX:
        return unavailable(source, f"it answered with HTTP {code}.")
    if 300 <= code < 400:
        return rejected(source, f"it answered with a redirect (HTTP {code}), which is not followed.")
    if code in {401, 403}:
        return StatusRefusedError(source, code, f"it refused the credential, or its rights, with HTTP {code}.")
    if code >= 400:
        return StatusRefusedError(source, code, f"it refused the request with HTTP {code}.")
    return invalid(source, f"it answered with HTTP {code} where 200 was expected.")
