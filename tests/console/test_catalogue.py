"""The catalogue names every page of the console; in each state it is what it says, in valid HTML, with few queries."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.support import console_rows as rows
from tests.support.browser import broken
from tests.support.console_catalogue import CATALOGUE, NO_PAGE, Shown, names, page_names

MOST_QUERIES = 12


def test_every_page_of_the_console_is_in_the_catalogue() -> None:
    assert page_names() - {shown.name for shown in CATALOGUE} == set()


def test_what_is_excused_from_the_catalogue_is_there() -> None:
    assert NO_PAGE.keys() - names() == set()


def test_no_two_lines_of_the_catalogue_are_the_same() -> None:
    names = [str(shown) for shown in CATALOGUE]
    assert sorted(names) == sorted(set(names))


@pytest.mark.django_db
@pytest.mark.usefixtures("orch")
@pytest.mark.parametrize("shown", CATALOGUE, ids=str)
def test_it_answers_with_its_heading_in_valid_html_after_at_most_12_queries(
    shown: Shown, monkeypatch: Any, settings: Any, validated: dict[str, str]
) -> None:
    client = Client(raise_request_exception=False)
    reader = rows.user(shown.role) if shown.role else None
    for name, value in shown.settings.items():
        setattr(settings, name, value)
    address = shown.address()
    if reader:
        reader.refresh_from_db()  # the rows may have given it a password
        client.force_login(reader)
    if shown.breaks:
        monkeypatch.setattr(shown.breaks, broken)
    with CaptureQueriesContext(connection) as asked:
        answer = client.get(address)
    assert answer.status_code == shown.status
    validated[str(shown)] = answer.content.decode()
    heading = validated[str(shown)].partition("<h1>")[2].partition("</h1>")[0]
    found = " ".join(heading.split())
    assert found[: len(shown.heading)] == shown.heading
    assert len(asked) <= MOST_QUERIES, "\n".join(query["sql"] for query in asked.captured_queries)
