"""The API's page in a real browser: it draws every call under our own policy and makes calls that succeed."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import expect, sync_playwright

from jobs.models import Job
from tests.support.api_deployment import Api, api

__all__ = ["api"]

BROWSER = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this system")
def test_the_page_draws_every_call_and_can_make_one(api: Api, settings: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")  # Playwright's loop runs in this thread; the ORM minds
    client = Client()
    client.force_login(User.objects.get(username="operator"))
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        context = browser.new_context()
        session = client.cookies[settings.SESSION_COOKIE_NAME].value
        context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": api.url}])
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: complaints.append(request.url) if not is_ours(request.url, api) else None)
        page.goto(f"{api.url}/docs")
        calls = sum(map(len, api.get("/schema", role="viewer").json()["paths"].values()))
        expect(page.locator(".opblock")).to_have_count(calls)
        create = page.locator("#operations-Bundles-create_bundle")
        create.locator(".opblock-summary-control").click()
        create.get_by_role("button", name="Try it out").click()
        create.locator("textarea").fill('{"incident_id": "from-the-page"}')
        create.get_by_role("button", name="Execute").click()
        expect(create.locator(".live-responses-table .response-col_status").last).to_contain_text("202")
        browser.close()
    assert complaints == []
    assert Job.objects.get().incident_id == "from-the-page"


def is_ours(url: str, api: Api) -> bool:
    return url.startswith((api.url, "data:"))
