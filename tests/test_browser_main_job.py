"""The main job as a person does it, in a real browser: sign in, bundle, watch, verify, download, restore.

The pages come from a live server, the work is done by a worker process of its own, the evidence by the sample
services over HTTP. Nothing may be said on the browser's console, and no Content-Security-Policy may be violated.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from playwright.sync_api import ConsoleMessage, Page, expect, sync_playwright

from bundles.models import Bundle
from bundles.samples import incident
from bundles.samples.services import DB, FORENSIC, KILLCHAIN, SampleServices
from orchestrator_site.env import BASE_DIR
from rehydration.models import RestoredIncident
from tests import console_rows as rows
from tests.conftest import Orchestrator

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync",
]  # fmt: skip
PASSWORD = "a long enough password"
PATIENCE_MS = 60_000
expect.set_options(timeout=PATIENCE_MS)
REPORT_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) => console.error("CSP", event.violatedDirective, event.blockedURI));
"""


@pytest.fixture
def sources(tmp_path: Path, settings: Any) -> Iterator[SampleServices]:
    incident.make(tmp_path / "data")
    with SampleServices([tmp_path / "data"]) as services:
        settings.KILLCHAIN_API_URL = services.url(KILLCHAIN)
        settings.FORENSIC_API_URL = services.url(FORENSIC)
        settings.DB_API_URL = services.url(DB)
        yield services


@pytest.fixture
def start_worker(orch: Orchestrator, sources: SampleServices, transactional_db: None) -> Iterator[Callable[[], None]]:
    """Starts a worker process on the test's database, directories, keys and sources."""
    database = django_settings.DATABASES["default"]
    environment = {
        **os.environ,
        "DB_HOST": str(database["HOST"]),
        "DB_PORT": str(database["PORT"]),
        "DB_NAME": str(database["NAME"]),
        "DB_USER": str(database["USER"]),
        "OUTPUT_DIR": str(orch.output_dir),
        "FORENSIC_STORAGE_PATH": str(orch.forensic),
        "ORCH_SIGN_KEY_PATH": str(orch.sign_key),
        "ORCH_VERIFY_KEY_PATH": str(orch.trusted),
        "KILLCHAIN_API_URL": sources.url(KILLCHAIN),
        "FORENSIC_API_URL": sources.url(FORENSIC),
        "DB_API_URL": sources.url(DB),
    }
    command = [sys.executable, "manage.py", "run_orch_worker", "--concurrency", "1"]
    started: list[subprocess.Popen[bytes]] = []
    yield lambda: started.append(subprocess.Popen(command, cwd=BASE_DIR, env=environment))
    for process in started:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    """A page of the system's Chromium; fails when there is none, and when the console says anything is wrong."""
    # Playwright keeps an event loop in this thread, which Django would take for asynchronous code.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.fail(f"No browser: install one of {', '.join(BROWSERS)} (make setup does where it can).")
    said: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        context = browser.new_context(accept_downloads=True, viewport={"width": 1280, "height": 900})
        context.add_init_script(REPORT_VIOLATIONS)
        opened = context.new_page()
        opened.set_default_timeout(PATIENCE_MS)

        def heard(message: ConsoleMessage) -> None:
            if message.type in {"error", "warning"}:
                said.append(f"{opened.url}: {message.text}")

        opened.on("console", heard)
        opened.on("pageerror", lambda error: said.append(f"{opened.url}: {error}"))
        yield opened
        browser.close()
    assert said == []


def sign_in(page: Page, address: str) -> None:
    page.goto(address)
    page.get_by_label("User name").fill("operator")
    page.get_by_label("Password").fill("not the password")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("do not match")
    page.get_by_label("User name").fill("operator")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Home")


def ask_for_a_bundle(page: Page) -> None:
    page.get_by_role("link", name="Bundle an incident").click()
    expect(page.get_by_role("region", name="Sources", exact=True)).to_contain_text("Reachable")
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
    page.on("response", lambda answer: asked.append(answer.url))
    page.wait_for_timeout(2500)  # one interval of polling and a half: what still polls would be heard
    assert asked == []


def verify(page: Page) -> None:
    page.get_by_role("link", name="Open the bundle").click()
    expect(page.locator("#verdict")).to_contain_text("Not verified yet")
    page.get_by_role("button", name="Verify now").click()
    expect(page.locator("#state")).to_contain_text("Completed")
    page.get_by_role("link", name="Open the bundle").click()
    expect(page.locator("#verdict")).to_have_text(re.compile(r"^\s*Verified\s*$"))
    expect(page.get_by_text("Signed by a trusted key")).to_be_visible()


def download(page: Page, to: Path) -> str:
    """Download the bundle; the SHA-256 of the bytes that arrived."""
    with page.expect_download() as started:
        page.get_by_role("link", name="Download").click()
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
    rows.user("operator", "operator", PASSWORD)

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
    expect(page.get_by_role("heading", name="In our database")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
