"""Keyset pages: nothing twice, nothing left out while rows arrive, and a forged cursor is refused, never an error."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from bundles.models import Bundle
from custody import chain
from custody.models import Event
from foundation import keyset
from foundation.keyset import CursorInvalidError
from foundation.principal import SYSTEM

pytestmark = pytest.mark.django_db

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
NEWEST = ("-created_at", "-bundle_id")


def make(number: int, at: datetime = MOMENT) -> Bundle:
    return Bundle.objects.create(
        bundle_id=UUID(int=number), incident_id="i", name=f"n-{number}", size=1, sha256="0" * 64, created_at=at,
        created_by="t", source="live", compression="zstd", key_id="0" * 64, content_digest="0" * 64,
        manifest_hash="0" * 64, complete=True, files=0, total_bytes=0,
    )  # fmt: skip


def leaf(order: tuple[str, ...], limit: int = 2) -> list[int]:
    """All rows in order, page by page."""
    seen, cursor = [], ""
    while True:
        page = keyset.page(Bundle.objects.all(), order=order, cursor=cursor, limit=limit)
        assert len(page.items) <= limit
        seen += [row.bundle_id.int for row in page.items]
        cursor = page.next
        if not cursor:
            return seen


@pytest.mark.parametrize("order", [NEWEST, ("created_at", "bundle_id"), ("-bundle_id",), ("name",)])
@pytest.mark.parametrize("limit", [1, 2, 3, 7, 50])
def test_pages_give_every_row_once_in_order_though_times_are_equal(order, limit):
    for number in range(1, 8):
        make(number, MOMENT + timedelta(microseconds=number // 3))
    expected = sorted(range(1, 8), reverse=order[0].startswith("-"))
    assert leaf(order, limit) == expected


def test_rows_that_arrive_meanwhile_neither_repeat_nor_hide_others():
    for number in range(1, 5):
        make(number, MOMENT + timedelta(seconds=number))
    first = keyset.page(Bundle.objects.all(), order=NEWEST, limit=2)
    make(9, MOMENT + timedelta(seconds=9))
    rest = keyset.page(Bundle.objects.all(), order=NEWEST, cursor=first.next, limit=2)
    assert [row.bundle_id.int for row in [*first.items, *rest.items]] == [4, 3, 2, 1]
    assert rest.next == ""


@pytest.mark.parametrize(("asked", "given"), [(-5, 1), (0, 1), (1, 1), (10_000, 500)])
def test_the_limit_stays_within_bounds(asked, given):
    for number in range(502):
        make(number)
    assert len(keyset.page(Bundle.objects.all(), order=NEWEST, limit=asked).items) == given


def forged(*values: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(list(values)).encode()).decode().rstrip("=")


TIME, KEY = MOMENT.isoformat(), str(UUID(int=1))
FORGED = {
    "no base64": "%%%",
    "other letters": "é",
    "surrogates": "\ud800",
    "no JSON": base64.urlsafe_b64encode(b"{").decode(),
    "not UTF-8": base64.urlsafe_b64encode(b"\xff\xfe\xfd").decode(),
    "too few": forged(TIME),
    "too many": forged(TIME, KEY, 1),
    "an object": base64.urlsafe_b64encode(b'{"a": 1}').decode(),
    "null": forged(None, KEY),
    "truth": forged(TIME, True),
    "fraction": forged(1.5, KEY),
    "list inside": forged([TIME], KEY),
    "no time": forged("yesterday", KEY),
    "impossible time": forged("2026-02-31T00:00:00Z", KEY),
    "a number for a time": forged(5, KEY),
    "no uuid": forged(TIME, "x"),
    "deep": base64.urlsafe_b64encode(b"[" * 100_000).decode(),
    "huge number": forged(TIME, 10**40),
    "very huge number": base64.urlsafe_b64encode(b"[" + b"9" * 5000 + b"]").decode(),
}


@pytest.mark.parametrize("cursor", FORGED.values(), ids=FORGED)
def test_a_forged_cursor_is_refused(cursor):
    make(1)
    with pytest.raises(CursorInvalidError):
        keyset.page(Bundle.objects.all(), order=NEWEST, cursor=cursor)


@pytest.mark.parametrize("text", ["a\x00b", "a\ud800b"])
def test_a_text_that_cannot_be_stored_is_no_cursor(text):
    with pytest.raises(CursorInvalidError):
        keyset.page(Bundle.objects.all(), order=("name",), cursor=forged(text))


@pytest.mark.parametrize("when", ["2026-01-01T00:00:00", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_a_time_at_the_edge_or_without_a_zone_is_a_page_or_refused(when):
    make(1)
    try:
        page = keyset.page(Bundle.objects.all(), order=NEWEST, cursor=forged(when, KEY))
    except CursorInvalidError:
        return
    assert len(page.items) <= 1


@pytest.mark.parametrize(("number", "found"), [(10**30, 2), (-(10**30), 0), (2, 1), (0, 0)])
def test_a_number_beyond_the_column_is_still_a_page(number, found):
    for _ in range(2):
        chain.record(SYSTEM, "a", "b", "c")
    assert len(keyset.page(Event.objects.all(), order=("-sequence",), cursor=forged(number)).items) == found


def test_a_forged_cursor_holds_values_and_no_sql():
    make(1)
    assert keyset.page(Bundle.objects.all(), order=("name",), cursor=forged("' OR 1=1 --")).items[0].name == "n-1"
