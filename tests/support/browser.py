"""Fixtures of the browser tests: one Chromium per process, pages that record errors, sources and a real worker.

A test fails when a page's console shows an error or warning or its Content-Security-Policy is violated.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Page,
    Playwright,
    Request,
    ViewportSize,
    expect,
    sync_playwright,
)

from bundles.samples import incident
from bundles.samples.services import DB, FORENSIC, KILLCHAIN, SampleServices
from orchestrator_site.configuration.env import BASE_DIR
from tests.conftest import Orchestrator
from tests.support import console_rows as rows
from tests.support.console_catalogue import Shown

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-gpu", "--disable-extensions", "--process-per-site",
    "--disable-features=Translate,BackForwardCache,site-per-process",
]  # fmt: skip
PATIENCE_MS = 240_000
expect.set_options(timeout=PATIENCE_MS)
REPORT_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) => console.error("CSP", event.violatedDirective, event.blockedURI));
"""
WIDE: ViewportSize = {"width": 1280, "height": 900}
NARROW: ViewportSize = {"width": 320, "height": 800}
Theme = Literal["light", "dark"]
THEMES: tuple[Theme, ...] = ("light", "dark")


@dataclass
class Heard:
    """What a browser did: every request, and every error or warning of its console."""

    requests: list[Request] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def listen(self, page: Page) -> None:
        """Record the events of `page` from now on."""

        def on_console(message: ConsoleMessage) -> None:
            # The test that requested the page checks a status of 400 or more itself.
            refused = message.text.startswith("Failed to load resource") and message.location["url"] == page.url
            if message.type in {"error", "warning"} and not refused:
                self.wrong.append(f"{page.url}: {message.text}")

        def on_dialog(dialog: Dialog) -> None:
            self.wrong.append(f"{page.url}: a dialog: {dialog.message}")
            dialog.dismiss()

        def on_request(request: Request) -> None:
            self.requests.append(request)

        page.on("console", on_console)
        page.on("dialog", on_dialog)
        page.on("pageerror", lambda error: self.wrong.append(f"{page.url}: {error}"))
        page.on("request", on_request)


def executable() -> str:
    """Where the system's Chromium is."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.fail(f"No browser: install one of {', '.join(BROWSERS)} (make setup does where it can).")
    return found


@dataclass
class Chromium:
    """One browser, started when first needed, and again if it has ended."""

    playwright: Playwright
    opened: Browser | None = None

    def get(self) -> Browser:
        """The browser."""
        if self.opened is None or not self.opened.is_connected():
            self.opened = self.playwright.chromium.launch(executable_path=executable(), args=ARGUMENTS)
        return self.opened


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    """The browser of this process, shared because starting one takes longer than most tests."""
    with pytest.MonkeyPatch.context() as patch:
        # Playwright runs an event loop in this thread, so Django would refuse synchronous code here.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        with sync_playwright() as playwright:
            made = Chromium(playwright)
            yield made
            if made.opened is not None:
                made.opened.close()


@pytest.fixture
def browser(chromium: Chromium) -> Browser:
    """Chromium; fails when there is none."""
    return chromium.get()


@pytest.fixture
def heard() -> Iterator[Heard]:
    """The requests and errors of this test's pages; the test fails if there was an error."""
    recorded = Heard()
    yield recorded
    assert recorded.wrong == []


@pytest.fixture
def open_context(browser: Browser, heard: Heard) -> Iterator[Callable[..., BrowserContext]]:
    """Opens a context (options as for `Browser.new_context`) whose pages are recorded; all are closed at the end."""
    opened: list[BrowserContext] = []

    def make(**options: Any) -> BrowserContext:
        context = browser.new_context(**{"accept_downloads": True, "viewport": WIDE, **options})
        context.set_default_timeout(PATIENCE_MS)
        context.add_init_script(REPORT_VIOLATIONS)
        context.on("page", heard.listen)
        opened.append(context)
        return context

    yield make
    for context in opened:
        context.close()


@pytest.fixture
def page(open_context: Callable[..., BrowserContext]) -> Page:
    """An empty page of 1280 pixels, not signed in."""
    return open_context().new_page()


@pytest.fixture
def visit(
    live_server: Any,
    orch: Orchestrator,
    open_context: Callable[..., BrowserContext],
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Page]:
    """Opens a page of the catalogue in its state, with no source reachable (options as for `open_context`)."""
    for name in ("KILLCHAIN_API_URL", "FORENSIC_API_URL", "DB_API_URL"):
        setattr(settings, name, "http://127.0.0.1:9")

    def to(shown: Shown, **options: Any) -> Page:
        context = open_context(**options)
        reader = rows.user(shown.role) if shown.role else None
        for name, value in shown.settings.items():
            setattr(settings, name, value)
        address = shown.address()
        if reader:
            reader.refresh_from_db()  # the rows may have given it a password
            sign_in_at_once(context, live_server.url, reader)
        if shown.breaks:
            monkeypatch.setattr(shown.breaks, broken)
        page = context.new_page()
        answer = page.goto(live_server.url + address)
        assert answer is not None
        assert answer.status == shown.status
        page.locator('[hx-trigger="load"]').wait_for(state="detached")
        expect(page.locator("h1")).to_contain_text(shown.heading)
        if shown.does:
            shown.does(page)
        return page

    return to


def broken(*_args: object, **_named: object) -> None:
    """Replaces a function by one that fails."""
    raise RuntimeError("broken on purpose")


def sign_in_at_once(context: BrowserContext, address: str, user: User) -> None:
    """Give `context` a session of `user` at the site `address`, without the sign-in page."""
    client = Client()
    client.force_login(user)
    cookie = client.cookies[django_settings.SESSION_COOKIE_NAME]
    context.add_cookies([{"name": cookie.key, "value": cookie.value, "url": address}])


@pytest.fixture
def sources(tmp_path: Path, settings: Any) -> Iterator[SampleServices]:
    """The three sources over HTTP, with the synthetic incident."""
    incident.make(tmp_path / "data")
    with SampleServices([tmp_path / "data"]) as services:
        point_at(services, settings)
        yield services


def point_at(services: SampleServices, settings: Any) -> None:
    """Make `services` the sources of this process's site."""
    settings.KILLCHAIN_API_URL = services.url(KILLCHAIN)
    settings.FORENSIC_API_URL = services.url(FORENSIC)
    settings.DB_API_URL = services.url(DB)


@pytest.fixture
def start_worker(orch: Orchestrator, sources: SampleServices, transactional_db: None) -> Iterator[Callable[[], None]]:
    """Starts a worker process on the test's database, directories, keys and sources."""
    command = [sys.executable, "manage.py", "run_orch_worker", "--concurrency", "1"]
    environment = worker_environment(orch, sources)
    started: list[subprocess.Popen[bytes]] = []
    yield lambda: started.append(subprocess.Popen(command, cwd=BASE_DIR, env=environment))
    for process in started:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=240) == 0


def worker_environment(orch: Orchestrator, sources: SampleServices) -> dict[str, str]:
    """The variables of a process that works for this test's deployment."""
    database = django_settings.DATABASES["default"]
    return {
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


@pytest.fixture
def operator(transactional_db: None) -> User:
    """An operator with a password."""
    return rows.user("operator", "operator", rows.PASSWORD)
