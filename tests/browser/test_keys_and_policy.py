"""In a real browser: `/` goes to the search, and what the page's policy forbids is reported and counted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.urls import reverse
from playwright.sync_api import Browser, Page, expect

from tests.console.test_csp import counted, grown
from tests.support import console_rows as rows
from tests.support.browser import sign_in_at_once

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("orch")]

DEADLINE_S = 240
INLINE = (
    "const made = document.createElement('script'); made.textContent = 'window.ran = true'; document.body.append(made)"
)


@pytest.fixture
def page(live_server: Any, browser: Browser) -> Iterator[Page]:
    """Home, opened by an analyst; what the browser's console says is not judged here."""
    context = browser.new_context()
    sign_in_at_once(context, live_server.url, rows.user("analyst"))
    opened = context.new_page()
    opened.goto(live_server.url)
    yield opened
    context.close()


def test_a_slash_goes_to_the_search_unless_something_is_being_typed(page: Page, live_server: Any):
    page.goto(live_server.url + reverse("new-bundle"))
    incident = page.get_by_label("Incident id")
    incident.press("/")
    expect(incident).to_have_value("/")
    page.get_by_role("heading", level=1).click()
    page.keyboard.press("/")
    search = page.get_by_role("searchbox")
    expect(search).to_be_focused()
    expect(search).to_have_value("")
    page.keyboard.type("a/b")
    expect(search).to_have_value("a/b")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("a/b")


def test_the_slash_can_be_turned_off_for_good(page: Page, live_server: Any):
    page.goto(live_server.url + reverse("help-page"))
    page.get_by_label("Use / for the search").uncheck()
    page.goto(live_server.url)
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).not_to_be_focused()


def test_what_the_policy_forbids_does_not_run_and_is_counted(page: Page):
    before = counted()
    page.evaluate(INLINE)
    assert page.evaluate("window.ran") is None
    deadline = time.monotonic() + DEADLINE_S
    while not grown(before) and time.monotonic() < deadline:
        page.wait_for_timeout(50)
    assert grown(before) == {"script-src-elem": 1}
