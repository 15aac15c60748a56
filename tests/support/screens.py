"""`make screens`: pictures of every page, light and dark, into docs/screens.

The product itself produces most of what they show: it bundles, verifies and restores the synthetic incident, and the
public ones where they are present. Only running jobs and their workers are inserted rows. States that this history does
not reach come from the catalogue. The file is not named like a test, so that `make test` does not take pictures.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from playwright.sync_api import BrowserContext, Page

from bundles import services as bundle_services
from bundles.models import Bundle
from bundles.samples import incident
from bundles.samples.services import FORENSIC, Exchange, SampleServices
from foundation.principal import Principal
from jobs.models import Job
from jobs.worker.worker import Worker
from orchestrator_site.configuration.env import BASE_DIR
from orchestrator_site.launch.preparation import SHARED_INCIDENTS
from rehydration import services as restore_services
from tests.support import console_rows as rows
from tests.support.browser import THEMES, point_at, sign_in_at_once
from tests.support.console_catalogue import CATALOGUE, Shown

PUBLIC = Path(os.environ.get("ORCH_SHARED_INCIDENTS") or SHARED_INCIDENTS)
FOLDER = BASE_DIR / "docs" / "screens"
WIDTH, TALLEST = 1280, 1200
MOST_BYTES = 150 * 1024
QUALITIES = (40, 25)
# Pages with the product's own history, at the address without arguments or at the one that `pictures` gives.
HISTORY = (
    "sign-in", "home", "incidents-page", "incident-page", "new-bundle", "sources-part", "bundles-page", "bundle-page",
    "bundle-certificate", "compare-bundles", "jobs-page", "job-page", "restore", "restore-preview", "custody-page",
    "workers-page", "verify-file", "help-page", "errors-page", "settings-page",
)  # fmt: skip
# States of the catalogue: name and state → name of the picture.
CATALOGUE_STATES = {
    ("home", "everything"): "home-everything",
    ("incident-page", "3,700 events"): "incident-3700-events",
    ("incident-record", "an event"): "incident-record",
    ("incidents-from-sources", "listed"): "incidents-from-sources",
    ("incident-elsewhere", "some"): "incident-elsewhere",
    ("find", "several groups"): "find",
    ("verify-file-result", "not verified"): "verify-file-result",
    ("import-page", "several"): "import",
    ("import-preview", "alerts"): "import-preview",
    ("import-preview", "table"): "import-table",
    ("jobs-batch", "cancel"): "jobs-batch",
    ("bundles-batch", "preview"): "bundles-batch",
    ("worker-drain", "busy"): "worker-drain",
    ("keys-page", "every state"): "keys",
    ("account-page", "several sessions"): "account",
    ("tokens-page", "some"): "tokens",
    ("restore-request", "open"): "restore-request",
    ("job-page", "tried again"): "job-tried-again",
    ("bundle-page", "not verified"): "bundle-not-verified",
    ("bundle-file-preview", "JSON"): "bundle-file-preview",
}
WALK = "walk"
ANALYST = Principal(name="analyst", authenticated_by="session", permissions=None)
OPERATOR = Principal(name="operator", authenticated_by="session", permissions=None)


class PartlyDown(SampleServices):
    """Sources whose Forensic service fails while `is_down` is set."""

    is_down = False

    def intercept(self, exchange: Exchange) -> bool:
        """Answer 503 while Forensic is down."""
        if not (self.is_down and exchange.service == FORENSIC and exchange.path != "/health"):
            return False
        exchange.send_json({"error": "the disk is being replaced"}, 503)
        return True


@pytest.fixture
def sources(tmp_path: Path, settings: Any) -> Iterator[PartlyDown]:
    """Sources with the synthetic incident, and the public ones where they are present."""
    incident.make(tmp_path / "data")
    folders = [tmp_path / "data", PUBLIC] if PUBLIC.is_dir() else [tmp_path / "data"]
    with PartlyDown(folders) as services:
        point_at(services, settings)
        yield services


def work() -> None:
    """Run every queued job."""
    Worker().drain()


def make_history(sources: PartlyDown) -> None:
    """Bundles, verifications, a failed job, a partial bundle, a preview and a restore, requested as by people."""
    for incident_id in sources.folders.incident_ids():
        bundle_services.request_bundle(ANALYST, incident_id=incident_id)
    work()
    for made in Bundle.objects.all():
        bundle_services.request_verification(ANALYST, made.bundle_id)
    bundle_services.request_bundle(ANALYST, incident_id="incident-124")  # no source knows it
    work()
    whole = Bundle.objects.get(incident_id=rows.INCIDENT)
    restore_services.request_restore(OPERATOR, bundle_id=str(whole.bundle_id), dry_run=True)
    other = Bundle.objects.exclude(pk=whole.pk).order_by("incident_id").first() or whole
    restore_services.request_restore(OPERATOR, bundle_id=str(other.bundle_id))
    sources.is_down = True
    bundle_services.request_bundle(ANALYST, incident_id=rows.INCIDENT, allow_partial=True)
    work()
    sources.is_down = False


def insert_active_jobs() -> None:
    """Insert two workers, a running job, a queued one, and a stuck one."""
    running = rows.job("processing", requested_by="analyst")
    rows.job("queued", incident_id="incident-125", priority=200)
    rows.job("processing", lease_s=-240, incident_id="incident-126")
    rows.worker(state="busy", current_job=running.job_id)
    rows.worker("host-b/7", host="host-b", pid=7)


def pictures() -> dict[str, str]:
    """Name of each picture → its address; `made` holds the arguments of pages that need some."""
    whole = Bundle.objects.filter(incident_id=rows.INCIDENT, complete=True).get()
    partial = Bundle.objects.filter(complete=False).get()
    preview = Job.objects.filter(job_type="rehydrate", payload__dry_run=True).get()
    made: dict[str, list[object]] = {
        "incident-page": [rows.INCIDENT],
        "compare-bundles": [rows.INCIDENT],
        "bundle-certificate": [whole.bundle_id],
        "bundle-page": [whole.bundle_id],
        "job-page": [
            Job.objects.filter(status="processing", worker_id="host-a/42").order_by("-lease_expires_at")[0].pk
        ],
        "restore-preview": [preview.pk],
    }
    found = {name.removesuffix("-page"): reverse(name, args=made.get(name)) for name in HISTORY}
    return found | {
        "bundle-partial": reverse("bundle-page", args=[partial.bundle_id]),
        "job-failed": reverse("job-page", args=[Job.objects.filter(status="failed").get().pk]),
        "jobs-stuck": reverse("jobs-page") + "?status=stuck",
    }


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("orch")
def test_draw_every_page(
    live_server: Any, operator: User, sources: PartlyDown, open_context: Callable[..., BrowserContext]
) -> None:
    make_history(sources)
    insert_active_jobs()
    FOLDER.mkdir(parents=True, exist_ok=True)
    addresses = pictures()
    kept = {*addresses, *CATALOGUE_STATES.values(), WALK}
    for old in FOLDER.glob("*.webp"):
        if old.stem.rpartition("-")[0] not in kept:
            old.unlink()
    for theme in THEMES:
        context = open_context(color_scheme=theme, viewport={"width": WIDTH, "height": 900}, reduced_motion="reduce")
        page = context.new_page()
        for name, address in addresses.items():
            context.clear_cookies()
            if name != "sign-in":
                sign_in_at_once(context, live_server.url, operator)
            page.goto(live_server.url + address)
            page.locator('[hx-trigger="load"]').wait_for(state="detached")
            (FOLDER / f"{name}-{theme}.webp").write_bytes(screenshot(page))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("shown", [one for one in CATALOGUE if (one.name, one.state) in CATALOGUE_STATES], ids=str)
def test_draw_a_state_of_the_catalogue(shown: Shown, visit: Callable[..., Page]) -> None:
    page = visit(shown, reduced_motion="reduce")
    for theme in THEMES:
        page.emulate_media(color_scheme=theme)
        (FOLDER / f"{CATALOGUE_STATES[shown.name, shown.state]}-{theme}.webp").write_bytes(screenshot(page))


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("orch", "sources")
def test_draw_one_walk(live_server: Any, operator: User, open_context: Callable[..., BrowserContext]) -> None:
    """Bundle, verify, hand over and restore one incident, with a still of each step and a page that shows them."""
    context = open_context(viewport={"width": WIDTH, "height": 900}, reduced_motion="reduce")
    sign_in_at_once(context, live_server.url, operator)
    page = context.new_page()
    stills: list[str] = []

    def still(words: str) -> None:
        page.locator('[hx-trigger="load"]').wait_for(state="detached")
        stills.append(words)
        (FOLDER / f"{WALK}-{len(stills)}.webp").write_bytes(screenshot(page))

    def wait_for_work() -> None:
        work()
        page.reload()

    page.goto(live_server.url + reverse("new-bundle"))
    page.get_by_label("Incident id").fill(rows.INCIDENT)
    still("*Bundle an incident*: its id, and whether the sources answer.")
    page.get_by_role("button", name="Create bundle").click()
    wait_for_work()
    still("The job has ended: the bundle is made and signed.")
    bundle = Bundle.objects.get()
    page.goto(live_server.url + reverse("bundle-page", args=[bundle.bundle_id]))
    page.get_by_role("button", name=re.compile("^Verify (now|again)$")).click()
    work()
    page.goto(live_server.url + reverse("bundle-page", args=[bundle.bundle_id]))
    still("The bundle is verified: every check by its name, and what was signed. Download it and the public key here.")
    page.goto(live_server.url + reverse("bundle-certificate", args=[bundle.bundle_id]))
    still("The certificate goes with the bundle and the key; it says how to check them without this server.")
    page.goto(live_server.url + reverse("restore"))
    page.get_by_label(rows.INCIDENT).check()
    page.get_by_role("button", name="Verify and preview", exact=True).click()
    wait_for_work()
    page.get_by_label("Type the incident id to restore it").fill(rows.INCIDENT)
    still("Restore: what would be written, and the incident's id as confirmation.")
    page.get_by_role("button", name="Restore", exact=False).filter(has_text="alerts").click()
    wait_for_work()
    still("Restored: what was written, and what was equal already.")
    parts = [
        f"## {number}\n\n{words}\n\n![{words}]({WALK}-{number}.webp)\n" for number, words in enumerate(stills, start=1)
    ]
    head = "# One walk through the console\n\nMade by `make screens`: bundle, verify, hand over, restore.\n"
    (FOLDER / f"{WALK}.md").write_text("\n".join([head, *parts]), encoding="utf-8")


def screenshot(page: Page) -> bytes:
    """The page from its top, as WebP of at most `MOST_BYTES`."""
    height = min(TALLEST, page.evaluate("document.documentElement.scrollHeight"))
    debugger = page.context.new_cdp_session(page)
    for quality in QUALITIES:
        answer = debugger.send(
            "Page.captureScreenshot",
            {
                "format": "webp",
                "quality": quality,
                "captureBeyondViewport": True,
                "clip": {"x": 0, "y": 0, "width": WIDTH, "height": height, "scale": 1},
            },
        )
        picture = base64.b64decode(answer["data"])
        if len(picture) <= MOST_BYTES:
            return picture
    raise AssertionError(f"{page.url} does not fit into {MOST_BYTES} bytes")
