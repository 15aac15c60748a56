"""The rows of Home: one a kind, with its members, and what its reader can do or whom to ask.

Each function takes what was found and the reader, and returns a row, or None when there is nothing to show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.urls import reverse
from django.utils.text import Truncator

from bundles.keys.signing_keys import COUNTED_UP_TO as KEYS_COUNTED_UP_TO
from bundles.keys.signing_keys import Signer
from bundles.models import Bundle, DependencyStatus
from foundation.principal import Principal
from jobs import worker_restarts
from jobs.console import attention, progress_view
from jobs.models import Job
from orchestrator_site.console.needs_attention import Failures, NoRoom
from orchestrator_site.templatetags.console import plain_size
from rehydration.models import RestoreRequest

MEMBERS = 10  # shown of each kind
LONGEST_NAME = 80  # characters of a key's name
ASK_OPERATOR = "Ask an operator to"
KEY_STATES = {"revoked": "revoked", "weak": "too weak to be trusted", "absent": "not among the trusted keys"}


@dataclass(frozen=True, kw_only=True)
class Link:
    """A link or button: its words and where it leads."""

    words: str
    href: str


@dataclass(frozen=True, kw_only=True)
class Member:
    """One thing of a kind; texts from evidence and sources may be in `words`, `incident_id` and `note`.

    Attributes:
        words: what it is; a link to `href` when that is set.
        incident_id: the incident that it belongs to.
        at: the time that follows `at_words`.
        note: a sentence.
        button: what can be done with this one.
    """

    words: str
    href: str = ""
    incident_id: str = ""
    at_words: str = ""
    at: datetime | None = None
    note: str = ""
    button: Link | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """One kind of thing that needs a person.

    Attributes:
        key: unique on the page.
        state: as the tag `state` takes it.
        word: the kind in one or two words.
        text: how many there are, and what that means.
        advice: what the reader can do, or whom to ask.
        command: for those who run commands on the host.
        button: for all of the kind.
        members: the first of them.
    """

    key: str
    state: str
    word: str
    text: str
    advice: str = ""
    command: str = ""
    button: Link | None = None
    members: Sequence[Member] = ()

    @property
    def is_open(self) -> bool:
        """Whether its members are shown at once: a fold for one thing would only hide it."""
        return len(self.members) == 1


def bad_bundles(reader: Principal, found: Sequence[Bundle]) -> list[Row]:
    """Lost files, then failed verifications.

    Args:
        reader: may bundle again, or asks somebody who may.
        found: at most `attention.COUNTED_UP_TO` lost or refused bundles.
    """
    lost = [bundle for bundle in found if bundle.state == Bundle.State.LOST]
    refused = [bundle for bundle in found if bundle.state != Bundle.State.LOST]
    again = "bundle the incident again" if reader.may("bundles.create_bundle") else "ask an analyst to bundle it again"
    rows = []
    if lost:
        text = _many(lost, "bundle has lost its file.", "bundles have lost their files.")
        advice = f"Look for another copy, or {again}."
        rows.append(Row(key="lost", state="unsafe", word="File lost", text=text, advice=advice, **_bundles(lost)))
    if refused:
        text = _many(refused, "bundle failed its verification.", "bundles failed their verification.")
        copies = "this copy" if len(refused) == 1 else "these copies"
        advice = f"Do not use {copies}. The sources are not affected: {again}."
        rows.append(
            Row(key="refused", state="unsafe", word="Not verified", text=text, advice=advice, **_bundles(refused))
        )
    return rows


def untrusted_keys(reader: Principal, keys: Sequence[Signer]) -> Row | None:
    """Bundles that are signed by a key which is not trusted here."""
    if not keys:
        return None
    total = sum(key.bundles for key in keys)
    is_cut = any(key.bundles > KEYS_COUNTED_UP_TO for key in keys)
    number = f"more than {KEYS_COUNTED_UP_TO:,}" if is_cut else f"{total:,}"
    are_signed = "bundle is signed" if total == 1 else "bundles are signed"
    advice = "Do not hand them over. Ask an administrator whether the key is right."
    if reader.may("orchestrator_site.view_settings"):
        advice = (
            "If the key is right, put its public half under ORCH_VERIFY_KEY_PATH. If it is not, or is revoked, bundle "
            "the incidents again."
        )
    return Row(
        key="keys",
        state="unsafe",
        word="Untrusted key",
        text=f"{number} {are_signed} by a key that is not trusted here.",
        advice=advice,
        button=Link(words="Open keys", href=reverse("keys-page")),
        members=[
            Member(
                words=Truncator(key.name).chars(LONGEST_NAME) or f"{key.key_id[:8]}…",
                href=f"{reverse('keys-page')}#key-{key.key_id}",
                note=f"{KEY_STATES[key.state]}; signed {key.bundles:,} bundle{'' if key.bundles == 1 else 's'}",
                at_words="the newest",
                at=key.last_at,
            )
            for key in keys[:MEMBERS]
        ],
    )


def unreadable_keys(reader: Principal, why: str) -> Row:
    """The trusted keys cannot be read, so that nothing can be verified."""
    fix = "Correct ORCH_VERIFY_KEY_PATH." if reader.may("orchestrator_site.view_settings") else f"{ASK_OPERATOR} look."
    return Row(
        key="keys",
        state="failed",
        word="Trusted keys",
        text="The trusted keys cannot be read: no bundle can be made or verified until they can.",
        advice=f"{why} {fix}",
        button=Link(words="Open keys", href=reverse("keys-page")),
    )


def restore_requests(asked: Sequence[RestoreRequest]) -> Row | None:
    """Requests for a restore, for those who may restore."""
    if not asked:
        return None
    return Row(
        key="asked",
        state="needs",
        word="Restore asked for",
        text=_many(asked, "request for a restore waits for you.", "requests for a restore wait for you."),
        button=Link(words="Open Restore", href=reverse("restore")),
        members=[
            Member(
                words=f"{one.asked_by} asks",
                href=reverse("restore-request", args=[one.request_id]),
                incident_id=one.incident_id,
                at=one.asked_at,
                note=one.note,
                button=Link(words="Open…", href=f"{reverse('restore')}?bundle_id={one.bundle_id}"),
            )
            for one in asked[:MEMBERS]
        ],
    )


def failed_jobs(reader: Principal, failures: Failures) -> Row | None:
    """Failed jobs: those since the reader's last visit as members, earlier ones counted."""
    if not failures.any:
        return None
    fresh = len(failures.fresh) + failures.more
    parts = []
    if fresh:
        since = " since your last visit" if failures.since else ""
        parts.append(f"{fresh} job{'' if fresh == 1 else 's'} failed{since}.")
    if failures.earlier:
        parts.append(f"{failures.earlier} failed before your last visit, not resolved yet.")
    return Row(
        key="failed",
        state="failed",
        word="Failed",
        text=" ".join(parts),
        advice="" if reader.may("jobs.retry_job") else f"{ASK_OPERATOR} retry what should run again.",
        button=Link(words="Failed jobs", href=f"{reverse('jobs-page')}?status=failed"),
        members=[
            Member(
                words=progress_view.title_of(job.job_type),
                href=reverse("job-page", args=[job.job_id]),
                incident_id=job.incident_id,
                at=job.completed_at,
                note=job.error_message[:160],
                button=Link(words="See why", href=reverse("job-page", args=[job.job_id])),
            )
            for job in failures.fresh
        ],
    )


def stuck_jobs(reader: Principal, stuck: Sequence[Job]) -> Row | None:
    """Jobs whose worker stopped responding."""
    if not stuck:
        return None
    may_free = reader.may("jobs.free_job")
    batch = f"{reverse('jobs-batch')}?action=free_stuck"
    button = Link(words="See it" if len(stuck) == 1 else "See them", href=f"{reverse('jobs-page')}?status=stuck")
    if may_free:
        button = Link(words="Free them…" if len(stuck) > 1 else "Free it…", href=f"{batch}&scope=matching&status=stuck")
    return Row(
        key="stuck",
        state="stuck",
        word="Stuck jobs" if len(stuck) > 1 else "Stuck job",
        text=_many(
            stuck,
            "job is stuck: its worker stopped responding. The evidence is untouched.",
            "jobs are stuck: their workers stopped responding. The evidence is untouched.",
        ),
        advice="" if may_free else f"{ASK_OPERATOR} free {'them' if len(stuck) > 1 else 'it'}.",
        button=button,
        members=[
            Member(
                words=progress_view.title_of(job.job_type),
                href=reverse("job-page", args=[job.job_id]),
                incident_id=job.incident_id,
                at_words="lease expired",
                at=job.lease_expires_at,
                button=Link(words="Free…", href=f"{batch}&job={job.job_id}") if may_free and len(stuck) > 1 else None,
            )
            for job in stuck[:MEMBERS]
        ],
    )


def no_workers(reader: Principal, queued: int, queued_words: str) -> Row:
    """No worker is alive."""
    waits = f"{queued_words} queued job{' waits' if queued == 1 else 's wait'}" if queued else "New jobs will wait"
    may = reader.may("jobs.drain_worker")
    return Row(
        key="workers",
        state="needs",
        word="No live worker",
        text=f"{waits}; nothing is lost.",
        advice="Start a worker:" if may else f"{ASK_OPERATOR} start a worker.",
        command="manage.py run_orch_worker" if may else "",
        button=_workers(),
    )


def restarts(reader: Principal, over_a_day: Mapping[str, int], lately: int) -> Row | None:
    """Workers that were replaced in the last day; said more plainly when it goes on."""
    words = worker_restarts.in_words(over_a_day)
    if not words:
        return None
    often = lately >= worker_restarts.OFTEN
    text = f"Worker processes restarted in the last 24 hours: {words}. Their jobs are retried."
    if often:
        text = f"Workers keep restarting ({lately:,} in {worker_restarts.LATELY_MINUTES} min). {text}"
    return Row(
        key="restarts",
        state="needs",
        word="Keep restarting" if often else "Restarted",
        text=text,
        advice="" if reader.may("jobs.drain_worker") or not often else f"{ASK_OPERATOR} look at the workers.",
        button=Link(words="See why", href=f"{reverse('workers-page')}#restarts"),
    )


def wrong_stores(reader: Principal, sentences: Sequence[str]) -> Row | None:
    """Hosts whose directory is not the registered store."""
    if not sentences:
        return None
    fix = "Mount the right directory there, or correct the variable."
    return Row(
        key="stores",
        state="needs",
        word="Wrong store",
        text="A host's directory is not the registered store. That host runs no job that needs it and marks nothing as "
        "lost; others keep working.",
        advice=fix if reader.may("orchestrator_site.view_settings") else f"{ASK_OPERATOR} mount the right directory.",
        button=_workers(),
        members=[Member(words=sentence) for sentence in sentences[:MEMBERS]],
    )


def sources_down(reader: Principal, down: Sequence[DependencyStatus]) -> Row | None:
    """Sources that did not answer."""
    if not down:
        return None
    names = " and ".join(filter(None, [", ".join(one.title for one in down[:-1]), down[-1].title]))
    return Row(
        key="sources",
        state="needs",
        word="Source down" if len(down) == 1 else "Sources down",
        text=f"{names} did not answer. Jobs that need {'it' if len(down) == 1 else 'them'} are retried; existing "
        "bundles are safe.",
        advice="" if reader.may("orchestrator_site.view_settings") else "If it stays so, tell an operator.",
        button=Link(words="Check now", href=reverse("sources-part")),
        members=[Member(words=one.title, at_words="last checked", at=one.seen_at, note=one.detail) for one in down],
    )


def disk(reader: Principal, storage: Mapping[str, Any], no_room: NoRoom | None) -> list[Row]:
    """A bundle store that cannot be read or has little room, and a queued job that fits nowhere."""
    rows = []
    free = "Free space in the bundle store." if reader.may("orchestrator_site.view_settings") else (
        f"{ASK_OPERATOR} free space in the bundle store."
    )  # fmt: skip
    to_storage = Link(words="Storage", href="#storage")
    if not storage["known"]:
        text = "The bundle store cannot be read. No bundle can be made or downloaded until it can; queued jobs wait."
        rows.append(Row(key="store", state="failed", word="Bundle store", text=text, button=_workers()))
    elif storage["low"]:
        text = f"{plain_size(storage['free'])} free in the bundle store"
        text += f"; the largest bundle takes {plain_size(storage['largest'])}." if storage["largest"] else "."
        rows.append(Row(key="disk", state="needs", word="Disk", text=text, advice=free, button=to_storage))
    if no_room:
        of = f" of {no_room.job.incident_id}" if no_room.job.incident_id else ""
        rows.append(
            Row(
                key="room",
                state="needs",
                word="Disk",
                text=f"A queued job{of} needs about {plain_size(no_room.needs)}; jobs can use "
                f"{plain_size(no_room.most)}. It waits, and nothing is lost.",
                advice=free,
                button=Link(words="See the job", href=reverse("job-page", args=[no_room.job.job_id])),
            )
        )
    return rows


def key_retirement(reader: Principal, days_left: int | None) -> Row | None:
    """The signing key is due to be retired."""
    if days_left is None:
        return None
    days = f"{abs(days_left)} day{'' if abs(days_left) == 1 else 's'}"
    when = f"was due to be retired {days} ago" if days_left < 0 else f"is due to be retired in {days}"
    may = reader.may("orchestrator_site.view_settings")
    return Row(
        key="retire",
        state="needs",
        word="Signing key",
        text=f"The signing key {when if days_left else 'is due to be retired today'}. Bundles signed earlier stay "
        "verifiable.",
        advice="Generate the next key, add it to the trusted keys, then sign with it."
        if may
        else "Tell an administrator.",
        button=Link(words="Open keys", href=reverse("keys-page")),
    )


def _bundles(found: Sequence[Bundle]) -> dict[str, Any]:
    """The members and the button of a row about bundles."""
    all_of_them = Link(words="See them", href=f"{reverse('bundles-page')}?verdict=failed")
    return {
        "button": all_of_them if len(found) > 1 else Link(words="See it", href=_bundle(found[0])),
        "members": [
            Member(
                words="Bundle",
                href=_bundle(bundle),
                incident_id=bundle.incident_id,
                at_words="made" if bundle.state == Bundle.State.LOST else "checked",
                at=bundle.created_at if bundle.state == Bundle.State.LOST else bundle.verified_at,
            )
            for bundle in found[:MEMBERS]
        ],
    }


def _bundle(bundle: Bundle) -> str:
    return reverse("bundle-page", args=[bundle.bundle_id])


def _workers() -> Link:
    return Link(words="Workers", href=reverse("workers-page"))


def _many(found: Sequence[object], one: str, many: str) -> str:
    """How many, in words: exact up to the counting limit."""
    number = len(found)
    if number == 1:
        return f"1 {one}"
    return f"{number} or more {many}" if number >= attention.COUNTED_UP_TO else f"{number} {many}"
