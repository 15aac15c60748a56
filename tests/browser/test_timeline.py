"""An incident's page by keyboard alone, by dragging, and on a narrow screen."""

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
    expect(page).to_have_url(re.compile("#records$"))
    mark = page.get_by_role("link", name=re.compile(r"^\d+ events, impact")).first
    events = re.match(r"\d+", mark.get_attribute("aria-label") or "")
    assert events is not None
    mark.press("Enter")
    expect(page).to_have_url(re.compile(r"phase=impact&from=.*&to="))
    expect(page.locator("#kill-chain")).to_contain_text(f"{events[0]} of 700 events")
    page.get_by_role("link", name="Back to all 700 events").press("Enter")
    expect(page.locator("#kill-chain")).to_contain_text("700 of 700 events")
    page.get_by_role("combobox", name="Severity").select_option("Critical")
    page.get_by_role("button", name="Show records").press("Enter")
    expect(page.locator("#kill-chain")).to_contain_text("140 of 700 events, 560 hidden by the filter")
    page.set_viewport_size({"width": 320, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("orch")
def test_a_span_is_zoomed_by_keys_and_by_dragging_and_a_record_opens_beside_the_list(
    live_server: Any, page: Page, tmp_path: Path
) -> None:
    kept(tmp_path / "t", timelines.events(700))
    sign_in_at_once(page.context, live_server.url, rows.user("operator"))
    page.goto(live_server.url + PAGE)
    page.locator("#drawing").focus()
    for key in ("ArrowRight", "ArrowRight", "Shift+ArrowRight"):
        page.keyboard.press(key)
    expect(page.locator("#announce")).to_contain_text("2026-01-12")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"[?&]from=2026-01-12T08.*&to=2026-01-12T08"))
    expect(page.locator("#kill-chain")).to_contain_text("hidden by the filter")
    page.goto(live_server.url + PAGE)
    page.locator("#drawing svg").scroll_into_view_if_needed()
    box = page.locator("#drawing svg").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 12)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 12, steps=4)
    page.mouse.up()
    expect(page).to_have_url(re.compile(r"[?&]from=2026-01-12T08.*&to=2026-01-12T0"))
    opener = page.locator("td.at a").first
    opener.press("Enter")
    expect(page.locator("#drawer h2")).to_be_focused()
    expect(page.locator("#record-text")).to_contain_text('"alert_type"')
    page.keyboard.press("Escape")
    expect(page.locator("#drawer")).to_be_hidden()
    expect(opener).to_be_focused()
    page.set_viewport_size({"width": 390, "height": 800})
    opener.press("Enter")
    expect(page.locator("#drawer h2")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    expect(page.locator("#drawer")).to_be_hidden()
    assert page.evaluate("document.activeElement !== document.body"), "what the keyboard reached keeps the focus"
