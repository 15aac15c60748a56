"""An incident's kill chain by keyboard alone, and on a narrow screen."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.support import console_rows as rows
from tests.support import timeline_rows as timelines
from tests.support.browser import sign_in_at_once
from tests.support.timeline_rows import kept

PAGE = f"/console/incidents/{rows.INCIDENT}"


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("orch")
def test_a_cluster_is_opened_by_keyboard_and_the_page_fits_a_narrow_screen(
    live_server: Any, page: Page, tmp_path: Path
) -> None:
    kept(tmp_path / "t", timelines.events(700), artifacts=["x" * 200])
    sign_in_at_once(page.context, live_server.url, rows.user("operator"))
    page.goto(live_server.url + PAGE)
    page.get_by_role("link", name="Skip the drawing").press("Enter")
    expect(page).to_have_url(re.compile("#events$"))
    mark = page.get_by_role("link", name=re.compile(r"^\d+ events, impact")).first
    events = re.match(r"\d+", mark.get_attribute("aria-label") or "")
    assert events is not None
    mark.press("Enter")
    expect(page).to_have_url(re.compile(r"phase=impact&since=.*&until="))
    expect(page.locator("#kill-chain")).to_contain_text(f"{events[0]} of 700 events")
    page.get_by_role("link", name="Back to all 700 events").press("Enter")
    expect(page.locator("#kill-chain")).to_contain_text("700 of 700 events")
    page.get_by_label("Severity", exact=True).select_option("Critical")
    page.get_by_role("button", name="Show events").press("Enter")
    expect(page.locator("#kill-chain")).to_contain_text("140 of 700 events, 560 hidden by the filter")
    page.set_viewport_size({"width": 320, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
