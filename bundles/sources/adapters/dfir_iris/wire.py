"""The wire of IRIS: answers of two generations of routes, and which of them this IRIS has.

Routes under `/api/v2` came with IRIS 2.5, one after the other; they answer with the data alone. The older ones answer
with `{"status": "success", "message": …, "data": …}`. A route that is not there answers 404, 405 or 410, and then the
older one is asked. The first beta of 2.5 lets only those who may change a case list its assets in v2, so 403 is a
reason to ask the older route, too, once the case itself was readable.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from bundles.format.model import paths
from bundles.sources import faults
from bundles.sources.client import SourceClient
from bundles.sources.faults import StatusRefusedError
from bundles.sources.jsonstream import JsonStream, MalformedError, Refused
from bundles.sources.trace import Tally, Trace
from jobs.errors import PermanentError

VERSIONS = "/api/versions"
CASE_V2, CASE_OLDER = "/api/v2/cases/{case}", "/manage/cases/{case}"
NO_ROUTE = frozenset({404, 405, 410})
ABSENT = NO_ROUTE | {400}  # of one object: IRIS says 400 where it does not find it, 404 in v2
ASK_OLDER = NO_ROUTE | {403}
SHOWN_CHARACTERS = 60

_NUMBER = re.compile(r"[1-9][0-9]{0,17}")
IDS = ("event_id", "alert_id", "asset_id", "ioc_id", "task_id", "note_id", "file_id", "id")
_FACTS = frozenset({"status", "total", "next_page"})
_PAGE_NOT_JSON = "it answered with a page, not with JSON; is the url that of IRIS, and does the key reach it?"

Take = Callable[[Any], object]


class UnusableAnswerError(Exception):
    """The answer with one object cannot be used; the message says why, without naming the source."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A case that the key's user may read.

    Attributes:
        number: its id.
        record: as IRIS sent it.
    """

    number: int
    record: dict[str, Any]


@dataclass(kw_only=True)
class Facts:
    """What an answer says beside its records: `status`, `total`, `next_page`."""

    said: dict[str, Any] = field(default_factory=dict)

    @property
    def total(self) -> int | None:
        """How many records the whole list has; None if it does not say."""
        total = self.said.get("total")
        if total is None:
            return None
        if isinstance(total, bool) or not isinstance(total, int) or total < 0:
            raise MalformedError("its total is not a whole number")
        return total

    @property
    def more(self) -> bool:
        """Whether a page follows; the first releases of v2 say true instead of the number of that page."""
        return bool(self.said.get("next_page"))


class Iris:
    """Asks one IRIS.

    Args:
        client: with its URL and key.

    Attributes:
        tally: of the job, which can stop the reading; of its own where there is no job.
    """

    def __init__(self, client: SourceClient) -> None:
        self.client = client
        self.source = client.source
        self.limits = client.limits
        self.tally = Tally(lambda _: None, lambda: None)

    def scratch(self) -> Trace:
        """A trace of answers that are not part of a member."""
        return Trace(self.source, self.client.url(""), self.tally)

    def case(self, ref: str, trace: Trace) -> Case:
        """The case.

        Raises:
            jobs.errors.PermanentError: it is not there, the key may not read it, or `ref` is no id of a case.
        """
        number = case_number(self.source, ref)
        try:
            record = self.value(CASE_V2.format(case=number), trace)
        except StatusRefusedError as refused:
            if refused.http_code == 403:
                raise self._forbidden(number) from None
            if refused.http_code not in NO_ROUTE:
                raise
            record = self._case_older(number, trace)
        said = record.get("case_id") if isinstance(record, dict) else None
        if not isinstance(record, dict) or said not in {None, number}:
            raise faults.invalid(self.source, f"it answered with another case than {number}.")
        return Case(number=number, record=record)

    def value(self, path: str, trace: Trace, *, most: int | None = None, **params: Any) -> Any:
        """The data of an answer of either generation.

        Args:
            path: of the route, quoted.
            trace: receives the bytes.
            most: its bound in characters; `SourceLimits.header_bytes` by default.
            params: of the URL.
        """
        most = self.limits.header_bytes if most is None else most
        with self.document(path, trace, max_bytes=most * 2, params=params) as document:
            value = document.value(most)
            document.end()
        if isinstance(value, dict) and "status" in value and "data" in value:
            self._check_status(value["status"])
            return value["data"]
        return value

    def first(self, ways: list[tuple[str, dict[str, Any]]], trace: Trace) -> Any:
        """The data from the first of these routes that has the object; None if none has it.

        Raises:
            UnusableAnswerError: the answer is not what it must be, so that the object can be left out.
        """
        for path, params in ways:
            try:
                return self.value(path, trace, most=self.limits.record_bytes, **params)
            except StatusRefusedError as refused:
                if refused.http_code not in ABSENT:
                    raise
            except PermanentError as fault:
                if fault.code != faults.INVALID:
                    raise
                raise UnusableAnswerError(str(fault).removeprefix(f"{self.source.title}: ")) from None
        return None

    def records(self, path: str, trace: Trace, key: str, take: Take, *, max_bytes: int, **params: Any) -> Facts:
        """Read one answer with a list.

        Args:
            path: see `value`.
            trace: see `value`.
            key: the name of the list in the answer's data; the data itself may be the list.
            take: called with each record, or with a `Refused` in the place of one that is not JSON as it must be.
            max_bytes: the bound of the answer.
            params: see `value`.
        """
        facts = Facts()
        with self.document(path, trace, max_bytes=max_bytes, params=params) as document:
            found = self._walk(document, key, take, facts)
            document.end()
            self._check_status(facts.said.get("status", "success"))
            if not found:
                raise MalformedError(f"it has no list named {key}")
            _ = facts.total
        return facts

    @contextmanager
    def document(
        self, path: str, trace: Trace, *, max_bytes: int, params: Mapping[str, Any] | None = None
    ) -> Iterator[JsonStream]:
        """The JSON of an answer; see `SourceClient.document`."""
        with self.client.document("GET", path, max_bytes=max_bytes, trace=trace, params=params) as document:
            if document.peek() == "<":
                raise faults.invalid(self.source, _PAGE_NOT_JSON)
            yield document

    def _walk(self, document: JsonStream, key: str, take: Take, facts: Facts, *, inside: bool = False) -> bool:
        """Read an object or a list; returns whether the list was found."""
        if document.peek() == "[":
            for record in document.records(self.limits.record_bytes, ids=IDS):
                take(record)
            return True
        found = False
        for name in document.members():
            begins = document.peek()
            if (name == key and begins == "[") or (name == "data" and begins == "{" and not inside):
                found = self._walk(document, key, take, facts, inside=True) or found
                continue
            value = document.value(self.limits.header_bytes)
            if name in _FACTS:
                facts.said[name] = value
        return found

    def _case_older(self, number: int, trace: Trace) -> Any:
        try:
            return self.value(CASE_OLDER.format(case=number), trace)
        except StatusRefusedError as refused:
            if refused.http_code == 403:
                raise self._forbidden(number) from None
            if refused.http_code in ABSENT:
                raise faults.unknown(self.source, str(number)) from None
            raise

    def _forbidden(self, number: int) -> PermanentError:
        """IRIS before 2.5 answers alike for a case that does not exist."""
        what = f"it refused access to case {number} with HTTP 403: the user of the key has no right to read it"
        return faults.rejected(self.source, f"{what}, or there is no such case.")

    def _check_status(self, status: object) -> None:
        if status != "success":
            raise faults.rejected(self.source, "it answered that the request failed.")


def unusable(record: Any, position: int) -> str:
    """A record that is no object, for a message.

    Args:
        record: what came in its place, or a `Refused`.
        position: in its list, from 1.
    """
    if isinstance(record, Refused):
        return f"record {record.position}{record.where()} {record.why}"
    return f"record {position}: it is not an object"


def case_number(source: faults.Source, ref: str) -> int:
    """The id of a case.

    Raises:
        jobs.errors.PermanentError: it is not a whole number.
    """
    if not _NUMBER.fullmatch(ref):
        shown = paths.escaped(ref[:SHOWN_CHARACTERS])
        what = f"{shown} is not the id of a case in IRIS, which is a whole number such as 42; name it in refs."
        raise PermanentError(faults.UNKNOWN, f"{source.title}: {what}")
    return int(ref)
