"""The main job as a person does it, in a real browser: sign in, bundle, watch, verify, download, restore.

The pages come from a live server, the work is done by a worker process of its own, the evidence by the sample
services over HTTP. Nothing may be said on the browser's console, and no Content-Security-Policy may be violated.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from bundles.format.model.errors import STEPS
from bundles.models import Bundle
from rehydration.models import RestoredIncident
from tests.support import console_rows as rows


def sign_in(page: Page, address: str) -> None:
    page.goto(address)
    page.get_by_label("User name").fill("operator")
    page.get_by_label("Password").fill("not the password")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("do not match")
    page.get_by_label("User name").fill("operator")
    page.get_by_label("Password").fill(rows.PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Home")


def ask_for_a_bundle(page: Page) -> None:
    page.get_by_role("link", name="Bundle an incident").click()
    expect(page.get_by_role("group", name="Sources", exact=True)).to_contain_text("Reachable")
    page.get_by_label("Incident id").fill(rows.INCIDENT)
    page.get_by_role("button", name="Create bundle").click()
    expect(page.locator("#state")).to_contain_text("Queued")


def watch_it_end(page: Page) -> None:
    """The page tells by itself, without being loaded again: its state, its title, and a word for screen readers."""
    page.evaluate("window.sameDocument = true")
    expect(page.locator("#state")).to_contain_text("Completed")
    expect(page).to_have_title(re.compile("^Completed"))
    expect(page.locator("#announce")).to_have_text("Completed")
    assert page.evaluate("window.sameDocument") is True


def wait_until_polling_has_stopped(page: Page) -> None:
    asked: list[str] = []
    page.on("response", lambda answer: asked.append(answer.url) if "/static/" not in answer.url else None)
    page.wait_for_timeout(2500)  # one interval of polling and a half: what still polls would be heard
    assert asked == []


def verify(page: Page) -> None:
    page.get_by_role("link", name="Open the bundle").click()
    page.get_by_role("button", name=re.compile("^Verify (now|again)$")).click()
    expect(page.locator("#state")).to_contain_text("Completed")
    page.get_by_role("link", name="Open the bundle").click()
    expect(page.locator("#verdict")).to_have_text(re.compile(r"^\s*Verified\s*$"))
    expect(page.get_by_text(STEPS["signature"])).to_be_visible()


def download(page: Page, to: Path) -> str:
    """Download the bundle; the SHA-256 of the bytes that arrived."""
    with page.expect_download() as started:
        page.get_by_role("link", name="Download", exact=True).click()
    started.value.save_as(to)
    return hashlib.sha256(to.read_bytes()).hexdigest()


def restore(page: Page) -> None:
    page.get_by_role("link", name="Restore…").click()
    page.get_by_role("button", name="Verify and preview").click()
    expect(page.get_by_role("heading", name="What a restore would do")).to_be_visible()
    assert not RestoredIncident.objects.exists(), "a preview writes nothing"
    confirm = page.get_by_label("Type the incident id to restore it")
    confirm.fill("another-incident")
    page.get_by_role("button", name=re.compile("^Restore .* alerts")).click()
    expect(page.get_by_role("alert")).to_contain_text("Nothing was restored")
    page.get_by_label("Type the incident id to restore it").fill(rows.INCIDENT)
    page.get_by_role("button", name=re.compile("^Restore .* alerts")).click()
    expect(page.locator("#outcome")).to_contain_text("Restored")


@pytest.mark.django_db(transaction=True)
def test_an_operator_bundles_verifies_downloads_and_restores_an_incident(
    live_server: Any,
    page: Page,
    start_worker: Callable[[], None],
    tmp_path: Path,
) -> None:
    rows.user("operator", "operator", rows.PASSWORD)

    sign_in(page, live_server.url)
    ask_for_a_bundle(page)
    start_worker()
    watch_it_end(page)
    wait_until_polling_has_stopped(page)
    verify(page)
    made = Bundle.objects.get()
    assert download(page, tmp_path / "downloaded.tar.zst") == made.sha256
    restore(page)
    assert RestoredIncident.objects.get().incident_id == rows.INCIDENT
    page.get_by_role("link", name="Open the incident").click()
    expect(page.get_by_role("heading", name="Restored here")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
