"""All alerts of an incident, read in pages from the Alerts DB; never cut silently, never without an end."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from bundles.format.records import ALERT_ORDER, RecordSpool, canonical_record, sort_key
from bundles.sources import faults
from bundles.sources.client import SourceClient
from bundles.sources.jsonstream import MalformedError
from bundles.sources.trace import Part, Tally, Trace

MEMBER = "alerts.json"
PATH = "/query/alerts"
MAX_ID_CHARACTERS = 256


def fetch(client: SourceClient, incident_id: str, staging: Path, tally: Tally) -> Part:
    """Read every page and write `alerts.json` into `staging`.

    Raises:
        jobs.errors.RetryableError: another try can help, also when the alerts changed while they were read.
        jobs.errors.PermanentError: the answers are not pages of this incident's alerts.
    """
    trace = Trace(client.source, client.url(PATH), tally)
    reading = _Reading(client, incident_id, RecordSpool(staging), trace)
    while reading.page():
        pass
    member = staging / MEMBER
    reading.spool.write_array(member)
    return Part(member, trace.provenance(), trace.records)


class _Reading:
    """The pages read so far.

    A page shorter than asked for ends the list. As a service may cap its pages below what was asked for, one more is
    asked for behind a short one, unless the service told the total: an empty page, or the same page again from a
    service that knows no offset, confirms the end.
    """

    def __init__(self, client: SourceClient, incident_id: str, spool: RecordSpool, trace: Trace) -> None:
        self._client = client
        self._incident_id = incident_id
        self.spool = spool
        self._trace = trace
        self._seen: dict[str, bytes] = {}
        self._offset = 0
        self._total: int | None = None
        self._last_page: list[str] = []

    def page(self) -> bool:
        """Read one page; whether there may be another."""
        known = len(self._seen)
        ids = self._request()
        new = len(self._seen) - known
        limit = self._client.limits.page_records
        if len(ids) > limit:
            raise self._invalid(f"it sent {len(ids)} alerts in a page of {limit}.")
        self._offset += len(ids)
        if not ids:
            return self._ended()
        if not new:
            if ids == self._last_page and len(ids) < limit:
                return self._ended()
            raise self._invalid("it sends the same alerts again and again.")
        self._last_page = ids
        if self._total is not None and len(self._seen) >= self._total and len(ids) < limit:
            return self._ended()
        return True

    def _ended(self) -> bool:
        if self._total is not None and self._total != len(self._seen):
            raise self._invalid(f"it sent {len(self._seen)} alerts, which is not what its total says.")
        return False

    def _request(self) -> list[str]:
        """Ask for the page at the offset; its alerts' ids, in order."""
        limits = self._client.limits
        query = {"correlation_id": self._incident_id, "limit": limits.page_records, "offset": self._offset}
        ids: list[str] | None = None
        with self._client.document(
            "POST", PATH, max_bytes=limits.page_bytes, trace=self._trace, json=query
        ) as document:
            for key in document.members():
                if key == "alerts":
                    ids = [self._keep(alert) for alert in document.elements(limits.record_bytes)]
                elif key in {"total", "total_count"}:
                    self._told(document.value(limits.record_bytes))
                else:
                    document.value(limits.record_bytes)
            document.end()
            if ids is None:
                raise MalformedError("it has no list of alerts")
        return ids

    def _told(self, total: object) -> None:
        if isinstance(total, bool) or not isinstance(total, int):
            raise MalformedError("its total is not a whole number")
        if self._total not in {None, total}:
            raise self._changed()
        self._total = total

    def _keep(self, alert: object) -> str:
        """Spool an alert unless it came before; its id."""
        if not isinstance(alert, dict):
            raise MalformedError("an alert is not an object")
        alert_id = _id_of(alert)
        if alert.get("correlation_id") not in {None, self._incident_id}:
            raise MalformedError("it sent an alert of another incident")
        line = canonical_record(alert)
        digest = hashlib.blake2b(line, digest_size=16).digest()
        before = self._seen.setdefault(alert_id, digest)
        if before != digest:
            raise self._changed()
        if len(self._seen) > self.spool.count:
            self.spool.add(sort_key(alert, ALERT_ORDER), line)
            self._trace.record()
            if self.spool.count > self._client.limits.alerts:
                raise self._invalid(f"it sends more than {self._client.limits.alerts} alerts.")
        return alert_id

    def _changed(self) -> Exception:
        return faults.unavailable(self._client.source, "its alerts changed while they were read.")

    def _invalid(self, what: str) -> Exception:
        return faults.invalid(self._client.source, what)


def _id_of(alert: dict[str, Any]) -> str:
    alert_id = alert.get("id")
    if isinstance(alert_id, int) and not isinstance(alert_id, bool):
        alert_id = str(alert_id)
    if not isinstance(alert_id, str) or not 0 < len(alert_id) <= MAX_ID_CHARACTERS or not alert_id.isprintable():
        raise MalformedError("an alert has no usable id")
    return alert_id
