"""In a real browser: the keyboard shortcuts, and what the page's policy forbids is reported and counted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.urls import reverse
from playwright.sync_api import Browser, Page, expect

from orchestrator_site.console.help_pages import KEYS
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
    """Home, opened by an operator; what the browser's console says is not judged here."""
    context = browser.new_context()
    sign_in_at_once(context, live_server.url, rows.user("operator"))
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


def test_every_key_does_what_the_help_says_and_all_can_be_turned_off(page: Page, live_server: Any):
    failed = [rows.job("failed", incident_id=f"incident-{at}") for at in range(3)]
    page.keyboard.press("g")
    page.keyboard.press("j")
    expect(page.get_by_role("heading", level=1)).to_have_text("Jobs")
    links = [page.get_by_role("link", name=str(job.job_id)[:8]) for job in reversed(failed)]
    for key, at in (("j", 0), ("j", 1), ("j", 2), ("j", 2), ("k", 1)):
        page.keyboard.press(key)
        expect(links[at]).to_be_focused()
        assert links[at].evaluate("(link) => link.matches(':focus-visible')")
    mark = page.get_by_label(f"Mark job {str(failed[1].job_id)[:8]}")
    page.keyboard.press("x")
    expect(mark).to_be_checked()
    page.keyboard.press("x")
    expect(mark).not_to_be_checked()
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keyboard")
    for keys, act in KEYS:
        expect(dialog.get_by_role("term").filter(has_text=keys[0])).not_to_have_count(0)
        expect(dialog).to_contain_text(act)
    page.keyboard.press("g")
    page.keyboard.press("h")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(links[1]).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("incident-1")
    for key, _ in KEYS:
        if key.startswith("g") and key != "gs":
            page.keyboard.press("g")
            with page.expect_navigation():
                page.keyboard.press(key[1])
    assert page.url.endswith(reverse("account-page"))
    page.get_by_label("Keyboard shortcuts").uncheck()
    page.goto(live_server.url + reverse("jobs-page"))
    search = page.get_by_role("searchbox")
    assert search.get_attribute("aria-keyshortcuts") is None
    for key in ("/", "j", "?", "g", "h"):
        page.keyboard.press(key)
    expect(page.locator(":focus")).to_have_count(0)
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert page.url.endswith(reverse("jobs-page"))


def test_what_the_policy_forbids_does_not_run_and_is_counted(page: Page):
    before = counted()
    page.evaluate(INLINE)
    assert page.evaluate("window.ran") is None
    deadline = time.monotonic() + DEADLINE_S
    while not grown(before) and time.monotonic() < deadline:
        page.wait_for_timeout(50)
    assert grown(before) == {"script-src-elem": 1}
