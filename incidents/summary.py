"""Data of the incident page: where the evidence comes from, and what it contains.

An incident has up to two origins of evidence: its newest bundle with a timeline, and what was restored. One is shown at
a time; if the bundle's file failed verification or is missing, what was restored is preferred.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef, QuerySet, Subquery
from django.db.models.functions import JSONObject

from bundles.format.model.paths import valid_incident_id
from bundles.manifest_files import artifacts_of
from bundles.models import Bundle, KeptTimeline
from bundles.timelines.reading import ALERT
from bundles.timelines.severities import SEVERITIES
from foundation import keyset
from foundation.principal import Principal
from incidents import saved_views
from incidents.errors import IncidentNotFoundError
from jobs.models import Job
from rehydration.models import ArtifactRecord, RestoredIncident

ARTIFACTS_A_PAGE = 10
BUNDLE, RESTORED = KeptTimeline.Origin.BUNDLE, KeptTimeline.Origin.RESTORED


@dataclass
class IncidentView:
    """One incident.

    Attributes:
        incident_id: its id.
        bundles: its newest bundles, newest first.
        more_bundles: whether there are others.
        restored: what was restored here; None when nothing was.
        timelines: origin → the timeline kept of it.
        origin: where what is shown comes from: `bundle`, `restored`, or empty when nothing is known.
        bundle: the bundle that the evidence shown is read from, when its origin is a bundle.
        saved: the reader's saved views: name, query and columns.
    """

    incident_id: str
    bundles: list[Bundle]
    more_bundles: bool
    restored: RestoredIncident | None
    timelines: dict[str, KeptTimeline] = field(default_factory=dict)
    origin: str = ""
    bundle: Bundle | None = None
    saved: list[dict[str, Any]] = field(default_factory=list)

    @property
    def kept(self) -> KeptTimeline | None:
        """The timeline to show."""
        return self.timelines.get(self.origin)

    @property
    def newest(self) -> Bundle | None:
        """The newest bundle."""
        return self.bundles[0] if self.bundles else None

    @property
    def unread(self) -> bool:
        """Whether the newest bundle was made before its records were read for this page."""
        return self.newest is not None and self.newest.counts is None

    @property
    def newest_without_timeline(self) -> bool:
        """Whether the newest bundle says itself that it carries no timeline."""
        return self.newest is not None and self.newest.counts is not None and self.newest.counts["events"] is None

    @property
    def other_origin(self) -> str:
        """The other evidence that can be shown; empty when there is none."""
        has = {BUNDLE: BUNDLE in self.timelines, RESTORED: self.restored is not None}
        return next((str(name) for name, there in has.items() if there and name != self.origin), "")

    @property
    def counts(self) -> dict[str, Any]:
        """`events`, `alerts`, `artifacts` of the evidence shown; None for each that is not known or not in it."""
        if self.origin == RESTORED and self.restored is not None:
            here = self.restored
            return {"events": here.events, "alerts": here.alerts, "artifacts": here.artifacts}
        counts = (self.bundle.counts if self.bundle else None) or {}
        alerts = counts.get("alerts")
        return {
            "events": counts.get("events"),
            "alerts": None if alerts is None else sum(alerts.values()),
            "artifacts": counts.get("artifacts"),
        }

    @property
    def alerts_by_severity(self) -> list[tuple[str, int]] | None:
        """Alerts by severity, the worst first; None when they were not counted."""
        if self.kept is not None and self.kept.kept:
            counted = self.kept.facts["severities"].get(ALERT, {})
        else:
            counted = (self.bundle.counts or {}).get("alerts") if self.bundle and self.origin != RESTORED else None
        return (
            None if counted is None else [(name, counted[name]) for name in reversed(SEVERITIES) if counted.get(name)]
        )


def incident_view(principal: Principal, incident_id: str, *, bundles: keyset.Page[Bundle], asked: str) -> IncidentView:
    """What is known of an incident, in a few queries.

    Args:
        principal: needs `bundles.view_bundle`.
        incident_id: which.
        bundles: its newest bundles.
        asked: the origin that was asked for, if any.

    Raises:
        IncidentNotFoundError: no job, bundle or restore names it.
    """
    principal.require("bundles.view_bundle")
    if not valid_incident_id(incident_id):
        raise IncidentNotFoundError("No job, bundle or restore names this incident.")
    kept = {timeline.origin: timeline for timeline in _kept_with_others(incident_id, principal)}
    restored = _restored(incident_id, list(kept.values()))
    if not (bundles.items or restored or Job.objects.filter(incident_id=incident_id).exists()):
        raise IncidentNotFoundError("No job, bundle or restore names this incident.")
    view = IncidentView(incident_id, bundles.items, bool(bundles.next), restored, kept)
    view.saved = next((vars(timeline)["saved"] for timeline in kept.values()), [])
    timeline = kept.get(BUNDLE)
    if timeline is not None and timeline.bundle_id is not None:
        of_timeline = (bundle for bundle in bundles.items if bundle.bundle_id == timeline.bundle_id)
        view.bundle = next(of_timeline, None) or Bundle.objects.filter(bundle_id=timeline.bundle_id).first()
    view.bundle = view.bundle or view.newest
    view.origin = _origin(view, asked)
    return view


def _kept_with_others(incident_id: str, principal: Principal) -> QuerySet[KeptTimeline]:
    """The incident's indexes; what was restored and the reader's saved views come along, to save two queries."""
    columns = {name: name for name in _RESTORED_COLUMNS}
    restored = RestoredIncident.objects.filter(pk=OuterRef("incident_id")).values(row=JSONObject(**columns))
    shown = KeptTimeline.objects.filter(incident_id=incident_id).exclude(origin=KeptTimeline.Origin.HIDDEN)
    return shown.annotate(restored=Subquery(restored), saved=ArraySubquery(saved_views.rows_of(principal)))


_RESTORED_COLUMNS = tuple(field.name for field in RestoredIncident._meta.fields)  # noqa: SLF001 # documented API


def _restored(incident_id: str, kept: list[KeptTimeline]) -> RestoredIncident | None:
    """What was restored; it came along with a kept timeline, if there is one."""
    if not kept:
        return RestoredIncident.objects.filter(pk=incident_id).first()
    row = getattr(kept[0], "restored", None)
    if row is None:
        return None
    model = RestoredIncident()
    for column in RestoredIncident._meta.fields:  # noqa: SLF001 # documented API
        setattr(model, column.name, column.to_python(row[column.name]))
    return model


def _origin(view: IncidentView, asked: str) -> str:
    can = {str(BUNDLE): BUNDLE in view.timelines, str(RESTORED): view.restored is not None}
    if can.get(asked):
        return asked
    bundle = view.bundle
    sound = bundle is not None and bundle.state == Bundle.State.READY and bundle.verified_ok is not False
    if can[BUNDLE] and (sound or not can[RESTORED]):
        return str(BUNDLE)
    return str(RESTORED) if can[RESTORED] else str(BUNDLE) if bundle else ""


def artifacts(view: IncidentView, place: str) -> dict[str, Any]:
    """Ten artifacts of the evidence shown, each with name, host, size and SHA-256; `next` is where the others begin.

    Args:
        view: of which incident.
        place: where the page before ended.
    """
    if view.origin == RESTORED:
        rows = ArtifactRecord.objects.filter(incident_id=view.incident_id).defer("record")
        page = keyset.page(rows, order=("artifact_id", "id"), cursor=place, limit=ARTIFACTS_A_PAGE)
        return {"items": page.items, "next": page.next, "first": not place, "total": view.counts["artifacts"]}
    if view.bundle is None:
        return {"items": [], "next": "", "first": True, "total": None}
    offset = int(place) if place.isascii() and place.isdigit() and len(place) < 10 else 0
    items, total = artifacts_of(view.bundle, offset=offset, limit=ARTIFACTS_A_PAGE)
    after = offset + len(items)
    return {"items": items, "next": str(after) if after < total else "", "first": not offset, "total": total}
