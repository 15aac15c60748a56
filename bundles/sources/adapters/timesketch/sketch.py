"""What Timesketch says of a sketch besides its events: its timelines and their states, counts, stories, comments."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from bundles.format.model.canonical import MAX_INTEGER
from bundles.sources import faults
from bundles.sources.adapters.protocol import Listed
from bundles.sources.adapters.timesketch.session import Session
from bundles.sources.jsonfault import shown
from bundles.sources.jsonstream import JsonStream, MalformedError
from jobs.errors import PermanentError

API = "/api/v1/sketches/"
READY, PROCESSING = "ready", "processing"
CLOSED = frozenset({"archived", "deleted"})
ALL_EVENTS = "*"
PAGE_SKETCHES = 50
# What is kept of the sketch's `meta`; the rest is of the server (aggregators, emojis, mappings of the index).
META = ("attributes", "collaborators", "last_activity", "sketch_labels", "stats_per_timeline", "views")
MOST_NAMED = 20  # timelines in one sentence
_NUMBER = re.compile(r"[1-9][0-9]{0,17}")


@dataclass(frozen=True, kw_only=True)
class Sketch:
    """A sketch.

    Attributes:
        number: its id.
        fields: as served.
        meta: `META`, as served.
        ready: ids of the timelines whose events can be read.
        unread: name and state of the other timelines.
        has_events: whether the sketch itself says that a timeline has any.
    """

    number: int
    fields: dict[str, Any]
    meta: dict[str, Any]
    ready: tuple[int, ...]
    unread: tuple[tuple[str, str], ...]
    has_events: bool

    def named(self, *, processing: bool) -> str:
        """The timelines that are being imported, or the others that cannot be read, each with its state; empty if none.

        Args:
            processing: which of them.
        """
        found = [f"{name} ({state})" for name, state in self.unread if (state == PROCESSING) == processing]
        more = len(found) - MOST_NAMED
        return ", ".join(found[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def fetch(session: Session, ref: str) -> Sketch:
    """Read the sketch.

    Raises:
        jobs.errors.RetryableError: another attempt can help.
        jobs.errors.PermanentError: there is none, or it cannot be read.
    """
    if not _NUMBER.fullmatch(ref):
        what = f"a sketch is named by its number, and {shown(ref)} is none; give the number in refs."
        raise PermanentError(faults.UNKNOWN, f"{session.source.title}: {what}")
    limits = session.limits
    found: object = None
    meta: dict[str, Any] = {}
    with session.get(f"{API}{ref}/", max_bytes=limits.page_bytes, unknown=ref) as document:
        for key in document.members():
            if key == "objects":
                found = document.value(limits.header_bytes)
            elif key == "meta" and document.peek() == "{":
                meta = _chosen(document, limits.header_bytes)
            else:
                document.value(limits.header_bytes)
        document.end()
        fields = _one_object(found)
        timelines = fields.get("timelines")
        if str(fields.get("id")) != ref or not isinstance(timelines, list):
            raise MalformedError("it is not the sketch that was asked for")
        sorted_out = [_timeline(timeline) for timeline in timelines]
    state = _state(fields)
    if state in CLOSED:
        raise faults.rejected(session.source, f"the sketch is {state}, so its events are closed; open it there first.")
    return Sketch(
        number=int(ref),
        fields=fields,
        meta=meta,
        ready=tuple(number for number, _, state in sorted_out if state == READY),
        unread=tuple((name, state) for _, name, state in sorted_out if state != READY),
        has_events=_has_events(meta.get("stats_per_timeline")),
    )


def count(session: Session, sketch: Sketch) -> int:
    """How many events the ready timelines have now."""
    if not sketch.ready:
        return 0
    query = {"query": ALL_EVENTS, "count": True, "filter": {"indices": list(sketch.ready)}}
    with session.ask(f"{API}{sketch.number}/explore/", query, max_bytes=session.limits.page_bytes) as document:
        said = document.value(session.limits.header_bytes)
        document.end()
        meta = said.get("meta") if isinstance(said, dict) else None
        total = meta.get("total_count") if isinstance(meta, dict) else None
        if isinstance(total, bool) or not isinstance(total, int) or not 0 <= total <= MAX_INTEGER:
            raise MalformedError("it does not say how many events there are")
        return total


def stories(session: Session, sketch: Sketch) -> list[Any]:
    """The stories of the sketch with their content."""
    limits = session.limits
    with session.get(f"{API}{sketch.number}/stories/", max_bytes=limits.page_bytes) as document:
        said = document.value(limits.header_bytes)
        document.end()
        found = said.get("objects") if isinstance(said, dict) else None
        if not isinstance(found, list):
            raise MalformedError("it has no list of stories")
        return [story for part in found for story in (part if isinstance(part, list) else [part])]


def comments(session: Session, sketch: Sketch, index: str, event_id: str) -> list[Any]:
    """The comments on one event, each with its author and time."""
    where = {"searchindex_id": index, "event_id": event_id}
    path = f"{API}{sketch.number}/event/"
    with session.get(path, max_bytes=session.limits.page_bytes, params=where) as document:
        said = document.value(session.limits.header_bytes)
        document.end()
        meta = said.get("meta") if isinstance(said, dict) else None
        found = meta.get("comments") if isinstance(meta, dict) else None
        if not isinstance(found, list):
            raise MalformedError("it has no list of comments")
        return found


def listed(session: Session, most: int) -> list[Listed]:
    """The sketches that the account sees, the last changed first."""
    found: list[Listed] = []
    page = 1
    while len(found) < most:
        query = {"scope": "all", "per_page": min(most, PAGE_SKETCHES), "page": page}
        with session.get(API, max_bytes=session.limits.page_bytes, params=query) as document:
            said = document.value(session.limits.header_bytes)
            document.end()
            objects, meta = (said.get("objects"), said.get("meta")) if isinstance(said, dict) else (None, None)
            if not isinstance(objects, list) or not isinstance(meta, dict):
                raise MalformedError("it has no list of sketches")
            more = [_listed(sketch) for sketch in objects if isinstance(sketch, dict)]
        found += more
        if not more or meta.get("has_next") is not True:
            break
        page += 1
    return found[:most]


def _listed(sketch: dict[str, Any]) -> Listed:
    title, at = sketch.get("name"), sketch.get("created_at")
    return Listed(
        ref=str(sketch.get("id")),
        title=title if isinstance(title, str) else "",
        at=at if isinstance(at, str) else "",
    )


def _chosen(document: JsonStream, header_bytes: int) -> dict[str, Any]:
    chosen = {}
    for key in document.members():
        value = document.value(header_bytes)
        if key in META:
            chosen[key] = value
    return chosen


def _one_object(found: object) -> dict[str, Any]:
    if not isinstance(found, list) or len(found) != 1 or not isinstance(found[0], dict):
        raise MalformedError("it is not one sketch")
    return found[0]


def _timeline(timeline: object) -> tuple[int, str, str]:
    """Id, name and state of a timeline."""
    if not isinstance(timeline, dict):
        raise MalformedError("a timeline of the sketch is not an object")
    number, name = timeline.get("id"), timeline.get("name")
    if isinstance(number, bool) or not isinstance(number, int):
        raise MalformedError("a timeline of the sketch has no id")
    return number, shown(name if isinstance(name, str) else number), _state(timeline)


def _has_events(stats: object) -> bool:
    counted = [one.get("count") for one in stats.values() if isinstance(one, dict)] if isinstance(stats, dict) else []
    return any(isinstance(count, int) and count > 0 for count in counted)


def _state(fields: dict[str, Any]) -> str:
    """The state of a sketch or timeline; Timesketch keeps it in a list of one."""
    states = fields.get("status")
    first = states[0] if isinstance(states, list) and states else None
    state = first.get("status") if isinstance(first, dict) else None
    return shown(state).lower() if isinstance(state, str) else "new"
