"""The filter of an incident's records: kind, phase, severity, technique, host, account, time and text."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.db.models import Q

from bundles.timelines.reading import ALERT, ARTIFACT, EVENT, PHASES, UNASSIGNED
from bundles.timelines.severities import CRITICAL, HIGH, LOW, MEDIUM, SEVERITIES
from bundles.timelines.terms import query_of
from bundles.timelines.times import EPOCH, UNDATED, read
from foundation.instant import rfc3339

NO_PHASE = "unassigned"
EVERYTHING = "all"
KINDS = {EVENT: "Events", ALERT: "Alerts", ARTIFACT: "Artifacts", EVERYTHING: "All in one list"}
SEVERITY_CHOICES = (
    ("", "Any"),
    ("high+", "High or worse"),
    ("medium+", "Medium or worse"),
    ("low+", "Low or worse"),
    *((name, name.capitalize()) for name in reversed(SEVERITIES)),
)
AT_LEAST = {"high+": HIGH, "medium+": MEDIUM, "low+": LOW}
NAME_CHARS = 200


def phase_words(phase: str) -> str:
    """A phase as a person reads it."""
    return phase.replace("-", " ") if phase else NO_PHASE


@dataclass(frozen=True, kw_only=True)
class Filter:
    """What is asked for. None, or an empty text, asks for everything.

    Attributes:
        phase: one of `PHASES`, `UNASSIGNED` for what has none, None for all.
        severity: one of `SEVERITY_CHOICES`.
        technique: the id of an ATT&CK technique, such as `T1021.002`.
        host: a host that the record names.
        account: an account that the record names.
        since_us: from this microsecond on, itself included.
        until_us: up to this microsecond, itself included.
        text: words that the record contains; see `bundles.timelines.terms.query_of`.
    """

    phase: str | None = None
    severity: str = ""
    technique: str = ""
    host: str = ""
    account: str = ""
    since_us: int | None = None
    until_us: int | None = None
    text: str = ""

    @property
    def is_set(self) -> bool:
        """Whether anything is narrowed."""
        return self != Filter()

    @property
    def has_times(self) -> bool:
        """Whether time is narrowed, so that records without a time are left out."""
        return self.since_us is not None or self.until_us is not None

    @property
    def is_counted(self) -> bool:
        """Whether the stored counts can answer it: only phase, severity and time are narrowed."""
        return not (self.technique or self.host or self.account or self.text)

    @property
    def severities(self) -> tuple[int, int] | None:
        """The least and the most severe that is asked for; None for all."""
        if not self.severity:
            return None
        if self.severity in AT_LEAST:
            return AT_LEAST[self.severity], CRITICAL
        return SEVERITIES.index(self.severity), SEVERITIES.index(self.severity)

    def condition(self) -> Q:
        """The filter for indexed records.

        Host and account also ask for their words, which the full-text index answers.
        """
        wanted = self.untimed() & self.timed()
        if self.technique:
            wanted &= Q(technique=self.technique) | Q(technique__startswith=f"{self.technique} ")
        for column, name in (("hosts", self.host), ("accounts", self.account)):
            if name:
                wanted &= Q(**{f"{column}__contains": [name.lower()]})
                if words := query_of(name, whole=True):
                    wanted &= Q(terms__has_words=words)
        if self.text:
            words = query_of(self.text)
            wanted &= Q(terms__has_words=words) if words else Q(pk__in=[])
        return wanted

    def untimed(self) -> Q:
        """Phase and severity, which the stored counts have as well."""
        wanted = Q()
        if self.phase is not None:
            wanted &= Q(phase=self.phase)
        if self.severities is not None:
            wanted &= Q(severity__range=self.severities)
        return wanted

    def timed(self) -> Q:
        """The time alone; records without a time are left out when it is narrowed."""
        wanted = Q()
        if self.since_us is not None:
            wanted &= Q(at_us__gte=self.since_us)
        if self.has_times:
            wanted &= Q(at_us__lte=UNDATED - 1 if self.until_us is None else self.until_us)
        return wanted

    def query(self, origin: str = "", kind: str = "", **changes: Any) -> str:
        """The address's query for this filter with some of it changed; `?` when nothing is asked."""
        other = replace(self, **changes)
        parameters = {
            "origin": origin,
            "kind": "" if kind == EVENT else kind,
            "text": other.text,
            "phase": "" if other.phase is None else other.phase or NO_PHASE,
            "severity": other.severity,
            "technique": other.technique,
            "host": other.host,
            "account": other.account,
            "from": iso_of(other.since_us),
            "to": iso_of(other.until_us),
        }
        return "?" + urlencode({name: value for name, value in parameters.items() if value})


class FilterForm(forms.Form):
    """The filter as a form; an invalid value gets an error and does not filter."""

    kind = forms.ChoiceField(required=False, choices=list(KINDS.items()))
    text = forms.CharField(required=False, max_length=NAME_CHARS)
    phase = forms.ChoiceField(
        required=False,
        choices=[("", "All"), *((name, phase_words(name).capitalize()) for name in PHASES), (NO_PHASE, "Unassigned")],
    )
    severity = forms.ChoiceField(required=False, choices=SEVERITY_CHOICES)
    technique = forms.RegexField(r"^[Tt]\d{4}(\.\d{3})?$", required=False)
    host = forms.CharField(required=False, max_length=NAME_CHARS)
    account = forms.CharField(required=False, max_length=NAME_CHARS)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Add the two fields whose names are words of Python."""
        super().__init__(*args, **kwargs)
        self.fields["from"] = forms.CharField(required=False, max_length=40)
        self.fields["to"] = forms.CharField(required=False, max_length=40)

    def clean(self) -> dict[str, Any]:
        """Read the times; refuse a time that ends before it begins."""
        found: dict[str, Any] = super().clean() or {}
        for name, end in (("from", False), ("to", True)):
            try:
                found[name] = _microseconds(found.get(name) or "", end=end)
            except forms.ValidationError as error:
                self.add_error(name, error)
        since, until = found.get("from"), found.get("to")
        if since is not None and until is not None and since > until:
            self.add_error("to", "This is before the start.")
        return found

    def filter(self) -> Filter:
        """What was asked, as far as it could be read."""
        self.is_valid()
        given = self.cleaned_data
        phase = given.get("phase") or None
        return Filter(
            phase=UNASSIGNED if phase == NO_PHASE else phase,
            severity=given.get("severity", ""),
            technique=given.get("technique", "").upper(),
            host=given.get("host", "").strip(),
            account=given.get("account", "").strip(),
            since_us=given.get("from"),
            until_us=given.get("to"),
            text=given.get("text", "").strip(),
        )

    def kind_of_list(self) -> str:
        """Which kind of record is listed; events unless another was asked for."""
        self.is_valid()
        return self.cleaned_data.get("kind") or EVENT


def _microseconds(text: str, *, end: bool = False) -> int | None:
    """A time as a person types it; the last microsecond of the second or day that was named when `end`."""
    text = text.strip().upper().removesuffix("UTC").strip()
    if not text:
        return None
    at_us, _ = read(text)
    if at_us == UNDATED:
        raise forms.ValidationError("Write a time like 2026-01-31 12:00, in UTC.")
    if not end or text[4] not in "-/":
        return at_us
    named = {10: timedelta(days=1), 16: timedelta(minutes=1), 19: timedelta(seconds=1)}.get(len(text.removesuffix("Z")))
    return at_us if named is None else at_us + named // timedelta(microseconds=1) - 1


def iso_of(at_us: int | None) -> str:
    """A microsecond as an address writes it; empty for none, or for one that no calendar has."""
    if at_us is None:
        return ""
    try:
        moment = EPOCH + timedelta(microseconds=at_us)
    except OverflowError:
        return ""
    return rfc3339(moment)


def html_time_of(at_us: int) -> str:
    """The same for a `<time>`, where HTML allows milliseconds at most."""
    iso = iso_of(at_us)
    return f"{iso[:23]}Z" if iso else ""


def typed_of(at_us: int | None, *, end: bool = False) -> str:
    """The same as a person would type it, where that is read as the same microsecond again."""
    text = iso_of(at_us)
    whole = ".999999Z" if end else ".000000Z"
    return text.removesuffix(whole).replace("T", " ") if text.endswith(whole) else text


def moment_at(at_us: int) -> datetime:
    """A microsecond as a moment, the nearest that the calendar has."""
    try:
        return EPOCH + timedelta(microseconds=at_us)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC) if at_us > 0 else datetime.min.replace(tzinfo=UTC)
