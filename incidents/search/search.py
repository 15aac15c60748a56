"""One search over incidents, jobs, bundles, artifacts, events and alerts; the page and the API call it.

Each kind of object is looked up through its own index and bounded, so that a search costs the same in a full database.
What was found in the evidence is grouped by incident.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from bundles.console.finding import bundles_by
from bundles.models import Bundle
from foundation.principal import Principal
from incidents import known
from incidents.search.artifacts import FoundArtifact, artifacts
from incidents.search.question import Question, question_of
from incidents.search.records import ALERT, ARTIFACT, EVENT, FoundRecord, FoundRecords, records
from incidents.search.scope import visible
from jobs.console.finding import jobs_by_id
from jobs.models import Job

SHOWN = 10  # of each kind, and incidents with their first rows
MOST_GROUPS = 100
ROWS_SHOWN = 3  # of each kind in a group


@dataclass(frozen=True)
class Count:
    """How many match: exactly `number`, or at least that many."""

    number: int = 0
    at_least: bool = False


@dataclass(frozen=True, kw_only=True)
class Group:
    """What matches in the evidence of one incident.

    Attributes:
        incident_id: its id.
        origin: `bundle` or `restored`, where the events and alerts were read; empty without any.
        events: how many events match.
        alerts: how many alerts match.
        artifacts: how many artifacts match.
        records: the first of the matching events and alerts, by time, and of artifacts whose record alone matches.
        files: the first of the artifacts whose name, id or digest matches.
    """

    incident_id: str
    origin: str
    events: Count
    alerts: Count
    artifacts: Count
    records: tuple[FoundRecord, ...]
    files: tuple[FoundArtifact, ...]


@dataclass(frozen=True, kw_only=True)
class Named:
    """What is called as the text: the first of each kind, and whether there are more."""

    incidents: Sequence[str] = ()
    jobs: Sequence[Job] = ()
    bundles: Sequence[Bundle] = ()
    more: frozenset[str] = frozenset()

    @property
    def all(self) -> list[str | Job | Bundle]:
        """All of them."""
        return [*self.incidents, *self.jobs, *self.bundles]


@dataclass(frozen=True, kw_only=True)
class Found:
    """The result of a search.

    Attributes:
        question: the search text.
        named: incidents, jobs and bundles by their id, digest or name.
        groups: incidents whose evidence matches, with the first rows of each.
        others: ids of further incidents whose evidence matches, without counts.
        is_complete: whether all incidents whose evidence matches are in `groups` or `others`.
    """

    question: Question
    named: Named
    groups: Sequence[Group] = field(default=())
    others: Sequence[str] = field(default=())
    is_complete: bool = True

    @property
    def is_empty(self) -> bool:
        """Whether nothing matches."""
        return not (self.named.all or self.groups or self.others)


def search(principal: Principal, typed: str, *, limit: int = SHOWN) -> Found:
    """Search everything that `principal` may see.

    Args:
        principal: incidents, bundles and their evidence need `bundles.view_bundle`, what was restored
            `rehydration.view_restoredincident`, jobs `jobs.view_job`.
        typed: the search text.
        limit: the largest number of groups, 1 to `MOST_GROUPS`.
    """
    question = question_of(typed)
    found = Found(question=question, named=named(principal, question))
    return in_evidence(principal, found, limit=limit)


def named(principal: Principal, question: Question) -> Named:
    """The incidents whose id contains the text, and the jobs and bundles whose id, digest or name begins with it."""
    if not question.text:
        return Named()
    text, digits, limit = question.text, question.hex_digits, SHOWN + 1
    incidents = known.ids(search=text, limit=limit) if principal.may("bundles.view_bundle") else []
    jobs = jobs_by_id(principal, digits, limit=limit)
    bundles = bundles_by(principal, text, hex_digits=digits, limit=limit)
    of_jobs, of_bundles = (one.incident_id or "" for one in jobs), (one.incident_id for one in bundles)
    seen = visible(principal, [*incidents, *of_jobs, *of_bundles])
    incidents = [one for one in incidents if one in seen]
    jobs = [one for one in jobs if (one.incident_id or "") in seen]
    bundles = [one for one in bundles if one.incident_id in seen]
    cut = {"incidents": len(incidents), "jobs": len(jobs), "bundles": len(bundles)}
    more = frozenset(kind for kind, number in cut.items() if number > SHOWN)
    return Named(incidents=incidents[:SHOWN], jobs=jobs[:SHOWN], bundles=bundles[:SHOWN], more=more)


def in_evidence(principal: Principal, found: Found, *, limit: int = SHOWN) -> Found:
    """`found` with the incidents whose events, alerts or artifacts match; see `search`."""
    question = found.question
    files = artifacts(principal, question)
    rows = records(principal, question, rows=ROWS_SHOWN, limit=limit)
    ids = _newest_first(rows, files.of)
    seen = visible(principal, ids)
    ids = [one for one in ids if one in seen]
    counted = [one for one in ids if one in rows.of or one in files.of]
    groups = [_group(one, rows, files.of.get(one, []), files_cut=files.is_cut) for one in counted[:limit]]
    others = [*counted[limit:], *(one for one in ids if one not in rows.of and one not in files.of)]
    return replace(
        found,
        groups=groups,
        others=others[:MOST_GROUPS],
        is_complete=rows.is_complete and not files.is_cut and len(others) <= MOST_GROUPS,
    )


def _newest_first(rows: FoundRecords, files: Iterable[str]) -> list[str]:
    """Incidents with matching events or alerts, the newest read first; then those with artifacts alone, by id."""
    with_rows = [*rows.of, *rows.others]
    return [*with_rows, *sorted(set(files) - set(with_rows))]


def _group(incident_id: str, rows: FoundRecords, files: list[FoundArtifact], *, files_cut: bool) -> Group:
    of = rows.of.get(incident_id)
    counts = of.counts if of else {}
    by_record = counts.get(ARTIFACT, 0) if not files else 0
    shown = [] if of is None else [one for one in of.first if one.kind != ARTIFACT or not files]
    return Group(
        incident_id=incident_id,
        origin=of.origin if of else "",
        events=Count(counts.get(EVENT, 0), rows.is_cut),
        alerts=Count(counts.get(ALERT, 0), rows.is_cut),
        artifacts=Count(by_record, rows.is_cut) if by_record else Count(len(files), files_cut),
        records=tuple(shown),
        files=tuple(files[:ROWS_SHOWN]),
    )
