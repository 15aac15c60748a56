"""Template tags and filters: sizes, times, digests, states, and untrusted names.

Every value is escaped here or by the template; nothing below marks a caller's text as safe.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime, timedelta

from django import template
from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.template import Context
from django.utils import timezone
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe

from bundles.format.model.errors import STEPS
from bundles.format.model.limits import DEFAULT_CHUNK_MIB
from foundation.invisible import is_invisible, marked
from incidents import known
from incidents.search.marking import parts
from jobs.console import attention
from jobs.models import Job
from orchestrator_site.accounts import time_zone
from orchestrator_site.accounts.roles import permissions_of
from orchestrator_site.configuration.env import ROLES
from orchestrator_site.errors.catalogue import Advice, advice_for

register = template.Library()

NOTHING = "\N{EN DASH}"
STATE_ICONS = {
    "verified": "check", "ok": "check", "running": "run", "queued": "clock", "needs": "alert", "stuck": "alert",
    "partial": "half", "failed": "cross", "unsafe": "cross", "unknown": "half", "cancelled": "dash",
    "trusted": "shield",
    "match": "equal",
}  # fmt: skip


@register.simple_tag
def icon(name: str) -> SafeString:
    """One symbol of the sprite in the page; decoration, hidden from assistive technology."""
    return format_html('<svg class="i" aria-hidden="true" focusable="false"><use href="#i-{}"/></svg>', name)


@register.simple_tag
def state(kind: str, word: str = "") -> SafeString:
    """A state as word, shape and colour together."""
    return format_html(
        '<span class="state" data-s="{}">{}{}</span>', kind, icon(STATE_ICONS.get(kind, "half")), word or kind.title()
    )


@register.filter
def visible(text: object) -> SafeString:
    """`text` with every character that hides or reorders others shown as a mark.

    Control, format and bidi-control characters become their number (⟨U+202E⟩), which every font can show; the rest is
    escaped and isolated from the direction of the text around it (Unicode UAX 9, `<bdi>`).
    """
    return format_html("<bdi>{}</bdi>", _shown(str(text)))


@register.filter
def highlight(text: object, pattern: re.Pattern[str]) -> SafeString:
    """As `visible`, with everything that matches `pattern` in `<mark>`."""
    pieces = [
        format_html("<mark>{}</mark>" if matches else "{}", _shown(part)) for matches, part in parts(str(text), pattern)
    ]
    return format_html("<bdi>{}</bdi>", mark_safe("".join(pieces)))  # noqa: S308 # each is escaped


@register.filter
def visible_lines(text: object) -> SafeString:
    """Text of several lines for a `<pre>`: as `visible`, but with its line feeds and tabs."""
    lines = [
        escape(line)
        if line.replace("\t", "").isprintable()
        else "".join(one if one == "\t" else _sign(one) for one in line)
        for line in str(text).split("\n")
    ]
    return mark_safe("\n".join(lines))  # noqa: S308 # each line is escaped


@register.filter
def visible_plain(text: object) -> str:
    """`text` with the marks of `visible` as plain characters, for places that allow no markup: titles and options."""
    return marked(str(text))


def _shown(plain: str) -> SafeString | str:
    if plain.isprintable():  # nothing invisible is in it: most names, and a page may show hundreds
        return plain  # escaped by whoever formats it
    return mark_safe("".join(_sign(character) for character in plain))  # noqa: S308 # each is escaped by _sign


def _sign(character: str) -> str:
    if not is_invisible(character):
        return escape(character)
    number = f"U+{ord(character):04X}"
    return f'<span class="sign" title="{unicodedata.name(character, "control character")}">⟨{number}⟩</span>'


@register.filter
def size(count: object) -> SafeString | str:
    """Bytes as KiB up to PiB, the exact number on hover."""
    if not isinstance(count, int):
        return NOTHING
    return format_html('<span title="{} bytes">{}</span>', f"{count:,}", plain_size(count))


@register.filter
def plain_size(count: int) -> str:
    """Bytes in the unit that a person would choose, without markup."""
    if count < 1024:
        return f"{count} B"
    amount = float(count)
    for unit in ("KiB", "MiB", "GiB", "TiB", "PiB"):
        amount /= 1024
        if amount < 1024 or unit == "PiB":
            break
    return f"{amount:.0f} {unit}" if amount >= 100 or unit == "KiB" else f"{amount:.1f} {unit}"


@register.filter
def count(number: object) -> str:
    """A whole number with thousands separated."""
    return f"{number:,}" if isinstance(number, int) else NOTHING


@register.filter
def when(moment: datetime | str | None) -> SafeString | str:
    """A time as "2 min ago"; on hover the exact time in UTC and in the reader's zone."""
    at = _moment(moment)
    if at is None:
        return NOTHING
    in_utc, in_zone = _in_utc(at), _in_zone(at)
    return format_html(
        '<time datetime="{}" title="{} UTC{}">{}</time>',
        in_utc.isoformat(timespec="seconds") + "Z",
        in_utc.isoformat(" ", "seconds"),
        f" ({in_zone})" if in_zone else "",
        _relative(timezone.now() - at, in_utc),
    )


@register.filter
def exact(moment: datetime | str | None) -> SafeString | str:
    """A time to the second in UTC, and beside it in the reader's zone, for records that are read side by side."""
    at = _moment(moment)
    if at is None:
        return NOTHING
    in_utc, in_zone = _in_utc(at), _in_zone(at)
    shown = format_html(
        '<time class="nowrap" datetime="{}">{} UTC</time>',
        in_utc.isoformat(timespec="seconds") + "Z",
        in_utc.isoformat(" ", "seconds"),
    )
    return format_html('{} <span class="zone">{}</span>', shown, in_zone) if in_zone else shown


def _in_utc(at: datetime) -> datetime:
    """Without its zone: `isoformat` writes the year 1 as 0001, which strftime does not."""
    return at.astimezone(UTC).replace(tzinfo=None)


def _in_zone(at: datetime) -> str:
    """In the zone that the reader chose, with its offset; empty where UTC is enough."""
    zone = time_zone.current()
    try:
        return at.astimezone(zone).isoformat(" ", "seconds") if zone else ""
    except OverflowError:  # the first or last hours of the calendar
        return ""


def _moment(moment: datetime | str | None) -> datetime | None:
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment)
        except ValueError:
            return None
    return moment


def _relative(age: timedelta, at: datetime) -> str:
    if age < timedelta(0):
        return f"in {spoken_duration(-age.total_seconds())}"
    if age < timedelta(seconds=2):
        return "now"
    if age < timedelta(days=7):
        return f"{spoken_duration(age.total_seconds())} ago"
    return at.date().isoformat()


@register.filter
def spoken_duration(seconds: object) -> str:
    """Seconds in the largest unit that fits: 9 s, 4 min, 2 h, 3 days."""
    if not isinstance(seconds, int | float):
        return NOTHING
    whole = max(0, round(seconds))
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{whole // 60} min"
    if whole < 48 * 3600:
        return f"{whole // 3600} h"
    return f"{whole // 86400} days"


@register.filter
def short(identifier: object) -> str:
    """A long id cut short, a UUID to its first eight digits, for a link whose title has the full id."""
    text = str(identifier)
    if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text):
        return f"{text[:8]}…"
    return text if len(text) <= 32 else f"{text[:28]}…"


@register.simple_tag
def digest(value: str, *, copy: bool = True) -> SafeString | str:
    """A digest in full, in groups of eight, with a button that copies it where JavaScript runs."""
    if not value:
        return NOTHING
    groups = " ".join(value[start : start + 8] for start in range(0, len(value), 8))
    shown = format_html('<span class="digest">{}</span>', groups)
    if not copy:
        return shown
    return format_html(
        '{} <button type="button" class="copy" data-copy="{}">{}<span>Copy</span></button>', shown, value, icon("copy")
    )


@register.filter
def role(user: User | AnonymousUser) -> str:
    """The highest role of a signed-in user in one word."""
    held = user.get_all_permissions()  # kept on the user by Django, so that no page asks the database again
    return next((name for name in reversed(ROLES) if permissions_of(name) <= held), "no role")


@register.simple_tag(takes_context=True)
def waiting_jobs(context: Context) -> str:
    """How many jobs wait for a person, for the rail: empty when none does. A page may pass its count as `waiting`."""
    number = context.get("waiting")
    if number is None:
        number = attention.waiting()
    return "" if not number else str(number) if number < attention.COUNTED_UP_TO else f"{attention.COUNTED_UP_TO - 1}+"


@register.simple_tag
def advice(job: Job) -> Advice:
    """What happened, is the evidence safe, what to do: for a job that failed."""
    return advice_for(job)


@register.simple_tag
def near_incidents(job: Job) -> list[str]:
    """Known incidents whose ids are like that of the job, the most similar first."""
    return known.near(job.incident_id, limit=5)


@register.simple_tag
def environment() -> str:
    """Where this is and what runs here: the environment's name and the version."""
    return f"{settings.ORCH_ENVIRONMENT_NAME} · {settings.VERSION}"


@register.simple_tag(takes_context=True)
def absolute(context: Context) -> str:
    """This site's address without a trailing slash, for lines that are run elsewhere."""
    return str(context["request"].build_absolute_uri("/")).rstrip("/")


@register.filter
def whole(number: object) -> int | None:
    """A rate as a whole number."""
    return round(number) if isinstance(number, int | float) else None


@register.simple_tag
def default_chunk_mib() -> int:
    """The chunk size in MiB of a bundle whose request does not state one."""
    return DEFAULT_CHUNK_MIB


@register.filter
def check_words(step: str) -> str:
    """A step of the reading plan in words; its own name when it is not one we know."""
    return STEPS.get(step, step)
