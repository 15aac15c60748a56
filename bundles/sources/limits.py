"""Every bound on the size and duration of a source's responses, in one place; units are in the names."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB


@dataclass(frozen=True, kw_only=True)
class SourceLimits:
    """Bounds of one collection.

    Attributes:
        timeline_bytes: the timeline's response; events are read one by one, so it need not fit into memory.
        export_bytes: a stream of events, one a line, that is read and sorted on disk.
        header_bytes: the timeline without its events (entities, correlations), which must fit into memory.
        page_bytes: one page of alerts.
        artifact_list_bytes: the list of artifact records.
        record_bytes: one event, alert or artifact record.
        alerts: alerts of one incident.
        alert_readings: how often a list of several pages is read until two readings agree.
        artifacts: artifact records of one incident; a manifest lists at most 200,000 files.
        artifact_bytes: one artifact's content.
        page_records: alerts requested at a time.
        connect_s: longest wait for a connection; the read timeout if that is shorter.
        total_factor: longest wait for one response in all, as a multiple of the read timeout.
        least_rate_bytes_s: lowest rate of an artifact's content; its size at this rate is added to the wait.
        no_progress_factor: longest time in which an artifact's content may make no progress, over all dropped
            connections, as a multiple of the read timeout. A byte counts as much as at `least_rate_bytes_s`.
        no_progress_resumes: how often in a row it is continued without a new byte.
    """

    timeline_bytes: int = GIB
    export_bytes: int = 64 * GIB
    header_bytes: int = 16 * MIB
    page_bytes: int = 256 * MIB
    artifact_list_bytes: int = 256 * MIB
    record_bytes: int = 8 * MIB
    alerts: int = 1_000_000
    alert_readings: int = 4
    artifacts: int = 199_000
    artifact_bytes: int = 4096 * GIB
    page_records: int = 500
    connect_s: float = 5.0
    total_factor: int = 10
    least_rate_bytes_s: int = 64 * KIB
    no_progress_factor: int = 2
    no_progress_resumes: int = 100


DEFAULT_LIMITS = SourceLimits()
