"""Reads the log that a VQL query sends beside its rows: an error is nowhere else, as the call itself ends well."""

from __future__ import annotations

import re

from bundles.sources import faults
from bundles.sources.faults import Source
from jobs.errors import PermanentError, RetryableError

_DENIED = re.compile(r"permission ?denied", re.IGNORECASE)
_TIMED_OUT = re.compile(r"timeout error|timed out|timeout reached", re.IGNORECASE)
_NOT_VQL = re.compile(r"^VQL Error|\b(?:plugin|function) \S+ not found|unexpected arg", re.IGNORECASE)
_PLUGIN = re.compile(
    r"^(?:[A-Z]+: ?)?(?:flows|hunts|hunt_flows|flow_results|flow_logs|source|uploads|clients): (?P<says>.*)", re.DOTALL
)
_NOT_FOUND = re.compile(r"not found|unable to get", re.IGNORECASE)
_SENT = re.compile(r"Sending response part \d+ .*\((?P<rows>\d{1,18}) rows\)", re.DOTALL)
MOST_CHARACTERS = 64 * 1024


class QueryLog:
    """Collects what a query's log and parts say, and judges them at the end."""

    def __init__(self) -> None:
        self._denied = self._timed_out = self._not_vql = self._failed = self._not_found = False
        self._stated: list[int] = []
        self._total = 0
        self._parts: dict[int, int] = {}
        self._skipped = False

    def hear(self, text: str) -> None:
        """Read a line of the log; empty if a message has none."""
        text = text[:MOST_CHARACTERS].strip()
        if not text:
            return
        sent, plugin = _SENT.search(text), _PLUGIN.match(text)
        if sent:
            self._stated.append(int(sent["rows"]))
        elif _DENIED.search(text):
            self._denied = True
        elif _NOT_VQL.search(text):
            self._not_vql = True
        elif _TIMED_OUT.search(text):
            self._timed_out = True
        elif plugin:
            self._not_found |= bool(_NOT_FOUND.search(plugin["says"]))
            self._failed = True

    def part(self, query: int, part: int, total_rows: int) -> None:
        """Note the number of a part, which counts from 0 for each statement, and the rows that it states."""
        expected = self._parts.get(query, 0)
        self._skipped |= part != expected
        self._parts[query] = part + 1
        self._total = max(self._total, total_rows)

    def fault(self, source: Source, unknown: str, received: int) -> RetryableError | PermanentError | None:
        """What is wrong with an answer that came to its end; None if nothing is.

        Args:
            source: named in the error.
            unknown: the incident's id, if its log says that there is no such thing.
            received: number of rows that arrived.
        """
        if self._denied:
            what = "its API user lacks a permission: give it the role `reader,api` (READ_RESULTS and ANY_QUERY)."
            return faults.rejected(source, what)
        if self._not_vql:
            return faults.rejected(source, "it does not know a query or one of its plugins; is its version too old?")
        if self._timed_out:
            return faults.unavailable(source, "a query took longer than it allows.")
        if self._not_found:
            return faults.unknown(source, unknown)
        if self._failed:
            return faults.unavailable(source, "a query failed half-way, as its log says.")
        # The log states the rows of each part; versions differ in whether it counts them anew in each.
        stated = self._total or received if not self._stated else sum(self._stated)
        if received not in {stated, self._stated[-1] if self._stated else stated} or self._skipped:
            what = f"rows are missing from its answer: {received} came, and it sent {stated}."
            return faults.unavailable(source, what)
        return None
