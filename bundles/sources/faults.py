"""How a source's fault ends an attempt: one function for each kind, each naming the source.

Messages are made here and in the callers from our own words and from the incident's ids; nothing that a source sent,
no credentials and no addresses get into them.
"""

from __future__ import annotations

from dataclasses import dataclass

from jobs.errors import PermanentError, RetryableError

UNAVAILABLE = "source_unavailable"
REJECTED = "source_rejected"
INVALID = "source_invalid"
UNKNOWN = "incident_unknown"

# Requests that may succeed later although the answer is a 4xx: timeout, too early, too many requests.
RETRYABLE_4XX = frozenset({408, 425, 429})

SourceFault = (RetryableError, PermanentError)


@dataclass(frozen=True)
class Source:
    """An upstream service: `key` as the manifest names it, `title` as people do."""

    key: str
    title: str


TIMELINE = Source("timeline", "KillChain timeline")
ALERTS = Source("alerts", "Alerts DB")
ARTIFACTS = Source("artifacts", "Forensic artifacts")


def unavailable(source: Source, what: str) -> RetryableError:
    """It is down, too slow, broken off or changing: another try can help."""
    return RetryableError(UNAVAILABLE, f"{source.title}: {what}")


def rejected(source: Source, what: str) -> PermanentError:
    """It answered that it will not serve this."""
    return PermanentError(REJECTED, f"{source.title}: {what}")


def invalid(source: Source, what: str) -> PermanentError:
    """It answered something that is not what it should be."""
    return PermanentError(INVALID, f"{source.title}: {what}")


def unknown(source: Source, incident_id: str) -> PermanentError:
    """It does not know the incident."""
    return PermanentError(UNKNOWN, f"{source.title}: the incident {incident_id} is not known there.")


def of_status(source: Source, code: int) -> RetryableError | PermanentError:
    """The fault for an HTTP answer other than the one that was asked for."""
    if code >= 500 or code in RETRYABLE_4XX:
        return unavailable(source, f"it answered with HTTP {code}.")
    if 300 <= code < 400:
        return rejected(source, f"it answered with a redirect (HTTP {code}), which is not followed.")
    if code >= 400:
        return rejected(source, f"it refused the request with HTTP {code}.")
    return invalid(source, f"it answered with HTTP {code} where 200 was expected.")
