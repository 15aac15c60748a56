"""Live pages in a real browser: fresh, never backwards, honest when the server is away, and usable by keyboard alone.

The test plays the worker: it writes what a worker would write to the job's row, and watches what the page makes of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Browser, BrowserContext, Page, expect

from jobs.models import Attempt, Job
from tests.support import console_rows as rows

PATIENCE_MS = 240_000
expect.set_options(timeout=PATIENCE_MS)
# Every value that the bar ever shows, and every request for the live part.
OBSERVE = """
window.shown = [];
const look = () => {
  const bar = document.querySelector("#live progress");
  if (bar) window.shown.push([bar.id, bar.value]);
};
addEventListener("DOMContentLoaded", () => {
  look();
  new MutationObserver(look).observe(document.getElementById("content"), { childList: true, subtree: true });
});
let hidden = false;
Object.defineProperty(document, "hidden", { get: () => hidden });
window.hide = (value) => { hidden = value; document.dispatchEvent(new Event("visibilitychange")); };
"""
# Whether an element equal to the focused one has the focus once a live update has replaced that.
OUTLIVES_A_SWAP = """
async (patience) => {
  const before = document.activeElement, giveUpAt = Date.now() + patience;
  const sign = (part) => part.id || part.textContent.trim();
  const isBack = () => !before.isConnected && document.activeElement.localName === before.localName
    && sign(document.activeElement) === sign(before);
  while (!isBack() && Date.now() < giveUpAt) await new Promise((wake) => { setTimeout(wake, 50); });
  return isBack();
}
"""
# A headless Chromium grants the permission and then says that it is denied. What it would show is recorded.
NOTIFICATIONS = """
window.told = [];
window.Notification = class extends Notification {
  static get permission() { return "granted"; }
  constructor(title, options) { super(title, options); window.told.push(title); }
};
"""

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("orch")]


@pytest.fixture
def enter(browser: Browser, live_server: Any) -> Iterator[Callable[..., Page]]:
    """Opens a page of the console, signed in as an operator."""
    contexts: list[BrowserContext] = []
    client = Client()
    client.force_login(rows.user("operator"))
    session = client.cookies[settings.SESSION_COOKIE_NAME].value

    def open_page(path: str, **options: Any) -> Page:
        context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)
        contexts.append(context)
        context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}])
        context.add_init_script(OBSERVE)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(live_server.url + path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    connection.close()  # inside the event loop Django has one of its own, which nobody else would close


def write(job: Job, **fields: Any) -> None:
    """Write to the job's row as a worker would."""
    Job.objects.filter(job_id=job.job_id).update(lease_expires_at=timezone.now() + timedelta(minutes=5), **fields)


def progress(done: int, phase: str = "packing") -> dict[str, Any]:
    return {
        "phase": phase,
        "done": done << 20,
        "total": 100 << 20,
        "unit": "bytes",
        "rate": 1 << 20,
        "share": done / 100,
    }


def end(job: Job, outcome: str, **fields: Any) -> None:
    unleased = {"lease_token": None, "lease_expires_at": None, "worker_id": "", "completed_at": timezone.now()}
    Job.objects.filter(job_id=job.job_id).update(**{"status": outcome, **unleased, **fields})


def bar(page: Page) -> Any:
    return page.locator("#live progress")


def heard(page: Page) -> list[str]:
    """The addresses that the page asks for from now on."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    return asked


def test_progress_only_grows_and_the_end_is_told_in_title_icon_and_word(enter: Callable[..., Page]) -> None:
    job = rows.job("processing", lease_s=300, progress=progress(10))
    page = enter(f"/console/jobs/{job.job_id}")
    page.evaluate("window.sameDocument = true")
    for done in (20, 35, 60, 90):
        write(job, progress=progress(done))
        expect(page.locator("#live")).to_contain_text(f"{done}.0 MiB")
        expect(page).to_have_title(re.compile(r"^\d+ %"))
    values = [value for _, value in page.evaluate("window.shown")]
    assert values == sorted(values)
    assert len(set(values)) >= 5
    end(job, "completed", result={"bundle_id": str(rows.bundle().bundle_id), "complete": True})
    expect(page.locator("#state")).to_contain_text("Completed")
    expect(page).to_have_title(re.compile("^Completed"))
    expect(page.locator("#announce")).to_have_text("Completed")
    expect(page.locator('link[rel="icon"]')).to_have_attribute("href", re.compile("favicon-done"))
    expect(page.locator("#freshness")).to_be_hidden()
    asked = heard(page)
    page.wait_for_timeout(5000)  # more than two intervals: what still polls would be heard
    assert [url for url in asked if "/console/jobs/" in url] == []
    assert page.evaluate("window.sameDocument") is True


def test_a_failure_is_told_in_title_and_icon_also_after_a_reload(enter: Callable[..., Page]) -> None:
    job = rows.job("processing", lease_s=300, progress=progress(10))
    page = enter(f"/console/jobs/{job.job_id}")
    expect(page.locator('link[rel="icon"]')).to_have_attribute("href", re.compile("favicon.svg"))
    end(job, "failed", error_code="poison", error_message="Its worker died three times.", retry_count=1)
    expect(page).to_have_title(re.compile(r"^Failed \(poison\)"))
    expect(page.locator("#state")).to_contain_text("Failed (poison)")
    for _ in range(2):
        expect(page.locator('link[rel="icon"]')).to_have_attribute("href", re.compile("favicon-failed"))
        page.reload()


def test_a_new_attempt_begins_a_new_bar_and_says_so(enter: Callable[..., Page]) -> None:
    job = rows.job("processing", lease_s=300, progress=progress(70))
    page = enter(f"/console/jobs/{job.job_id}")
    first = bar(page).get_attribute("id")
    Attempt.objects.filter(job=job).update(outcome="lost", error_code="lease_expired", ended_at=timezone.now())
    Attempt.objects.create(
        job=job, number=2, worker_id="host-b/7", lease_token=job.job_id, started_at=timezone.now(), outcome="running"
    )
    write(job, attempts=2, retry_count=1, started_at=timezone.now(), progress=progress(5, "fetching"))
    told = page.locator("#new-attempt")
    expect(told).to_contain_text("Attempt 2 began")
    expect(told).to_contain_text("Attempt 1 ended: lost lease_expired")
    expect(page.locator("#announce")).to_contain_text("attempt 2")
    assert bar(page).get_attribute("id") != first
    page.reload()
    expect(told).to_contain_text("Attempt 2 began")


def test_focus_and_what_was_open_outlive_live_swaps(enter: Callable[..., Page]) -> None:
    job = rows.job("processing", lease_s=300, progress=progress(10))
    page = enter(f"/console/jobs/{job.job_id}")
    # Some have an id, some only an address, a name or words; the last two are put there, as no page has them yet.
    page.evaluate("""() => {
      const more = '<details><summary>Fold</summary>Inside</details><input aria-label="Note" name="note">';
      const add = () => document.querySelector("#live h2#facts").insertAdjacentHTML("afterend", more);
      add();
      document.addEventListener("htmx:beforeSwap", (event) => {
        event.detail.serverResponse = event.detail.serverResponse.replace(/(<h2 id="facts">[^<]*<.h2>)/, "$1" + more);
      });
    }""")
    page.get_by_text("Fold").click()
    page.get_by_label("Note").fill("half written")
    stops: set[str] = set()
    page.locator("#content").focus()
    for stop in range(14):
        page.keyboard.press("Tab")
        focused = page.evaluate("document.activeElement.outerHTML")
        if not page.evaluate("document.getElementById('live').contains(document.activeElement)"):
            continue
        stops.add(re.sub(r"<(\w+).*", r"\1", focused, flags=re.DOTALL))
        write(job, progress=progress(11 + stop))  # an unchanged part would not be replaced
        assert page.evaluate(OUTLIVES_A_SWAP, PATIENCE_MS), focused
        assert page.evaluate("document.activeElement.matches(':focus-visible')"), focused
    assert stops >= {"button", "a", "summary", "input", "div"}
    expect(page.get_by_text("Inside")).to_be_visible()
    expect(page.get_by_label("Note")).to_have_value("half written")
    page.locator("#do-cancel").focus()
    end(job, "cancelled")
    expect(page.locator("#state")).to_contain_text("Cancelled")
    expect(page.locator("#content")).to_be_focused()


def test_a_hidden_page_asks_seldom_and_at_once_when_the_reader_is_back(enter: Callable[..., Page]) -> None:
    job = rows.job("processing", lease_s=300, progress=progress(10))
    page = enter(f"/console/jobs/{job.job_id}")
    with page.expect_response(re.compile("/console/jobs/")):
        pass
    page.evaluate("hide(true)")
    asked = heard(page)
    page.wait_for_timeout(5500)
    assert len(asked) <= 1, "one may have been under way"
    write(job, progress=progress(50))
    with page.expect_response(re.compile("/console/jobs/")):
        page.evaluate("hide(false)")
    expect(page.locator("#live")).to_contain_text("50.0 MiB")


def test_a_page_on_which_nothing_changes_asks_less_and_less_often(enter: Callable[..., Page]) -> None:
    job = rows.job()
    page = enter(f"/console/jobs/{job.job_id}")
    statuses: list[int] = []
    page.on("response", lambda answer: statuses.append(answer.status) if "seen=" in answer.url else None)
    asked = heard(page)
    page.wait_for_timeout(15_000)
    assert len(asked) <= 5, "every two seconds would be 7"
    assert 204 in statuses
    expect(page.locator("#freshness [data-lost]")).to_be_hidden()
    Job.objects.filter(job_id=job.job_id).update(status="cancelled", completed_at=timezone.now())
    expect(page.locator("#state")).to_contain_text("Cancelled")


def test_a_tab_in_the_background_notifies_once_its_job_has_ended_if_the_person_allowed_it(
    enter: Callable[..., Page], live_server: Any
) -> None:
    job = rows.job("processing", lease_s=300, progress=progress(10))
    page = enter("/console/account", permissions=["notifications"])
    page.context.add_init_script(NOTIFICATIONS)
    page.reload()
    notify = page.get_by_label("Notify me when a job ends")
    expect(notify).not_to_be_checked()
    notify.check()
    page.reload()
    expect(notify).to_be_checked()
    page.goto(f"{live_server.url}/console/jobs/{job.job_id}")
    page.evaluate("hide(true)")
    end(job, "completed", result={"bundle_id": str(rows.bundle().bundle_id), "complete": True})
    expect(page).to_have_title(re.compile("^Completed"))
    expect(page.locator("#freshness")).to_be_hidden()
    assert page.evaluate("window.told") == [page.title()]


def test_a_server_that_is_away_is_told_with_the_age_of_what_is_shown(enter: Callable[..., Page]) -> None:
    job = rows.job("processing", lease_s=300, progress=progress(10))
    page = enter(f"/console/jobs/{job.job_id}")
    loaded = timezone.now()
    expect(page.locator("#freshness")).to_contain_text(re.compile(r"Last update \d+ s ago"))
    lost = page.locator("#freshness [data-lost]")
    expect(lost).to_be_hidden()
    page.route("**/console/jobs/**", lambda route: route.abort())
    expect(lost).to_be_visible()
    refreshed = datetime.fromisoformat(str(lost.locator("time").get_attribute("datetime")))
    assert loaded - timedelta(seconds=1) <= refreshed <= timezone.now()
    expect(lost).to_have_text(f"Could not refresh since {refreshed:%H:%M} UTC")
    expect(page.locator("#announce")).to_have_text(str(lost.text_content()))
    expect(page.locator("#live")).to_contain_text("10.0 MiB")
    asked = heard(page)
    page.wait_for_timeout(4000)
    assert len(asked) <= 3, "it backs off"
    write(job, progress=progress(40))
    page.unroute("**/console/jobs/**")
    page.evaluate('window.dispatchEvent(new Event("online"))')
    expect(page.locator("#live")).to_contain_text("40.0 MiB")
    expect(page.locator("#freshness [data-lost]")).to_be_hidden()


def test_home_counts_what_runs_by_itself_and_stops_when_nothing_does(enter: Callable[..., Page]) -> None:
    job = rows.job("processing", lease_s=300, progress=progress(10))
    rows.worker()
    page = enter("/")
    expect(page.locator("#live")).to_contain_text("10.0 MiB")
    write(job, progress=progress(80))
    expect(page.locator("#live")).to_contain_text("80.0 MiB")
    end(job, "completed", result={})
    expect(page.locator("#live")).to_contain_text("No job is running or queued.")
    expect(page.locator("#freshness")).to_be_hidden()


def test_without_javascript_there_is_a_link_to_refresh(enter: Callable[..., Page]) -> None:
    job = rows.job("processing", lease_s=300, progress=progress(10))
    page = enter(f"/console/jobs/{job.job_id}", java_script_enabled=False)
    write(job, progress=progress(30))
    page.locator("#freshness").get_by_role("link", name="Refresh").click()
    expect(page.locator("#live")).to_contain_text("30.0 MiB")


def test_stuck_jobs_are_freed_from_home_by_keyboard_alone_and_without_javascript(enter: Callable[..., Page]) -> None:
    stuck = rows.job("processing", lease_s=-60)
    page = enter("/", java_script_enabled=False)
    for name in ("Free it…", re.compile("^Free these jobs")):
        for _ in range(40):
            page.keyboard.press("Tab")
            focused = page.locator(":focus")
            text = focused.inner_text().strip() if focused.count() else ""
            if re.search(name, text):
                break
        page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("1 done, 0 refused")
    assert Job.objects.get(job_id=stuck.job_id).status == "queued"


def test_jobs_are_marked_and_retried_by_mouse(enter: Callable[..., Page]) -> None:
    failed, left = rows.job("failed", incident_id="again"), rows.job("failed", incident_id="not-this")
    page = enter("/console/jobs?status=failed")
    page.get_by_label(f"Mark job {str(failed.job_id)[:8]}").check()
    page.get_by_role("button", name="Retry jobs…").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Retry jobs: preview")
    expect(page.locator("#will")).to_have_text("1 job will change")
    page.get_by_role("button", name="Retry these jobs (1)").click()
    expect(page.get_by_role("status")).to_contain_text("1 done, 0 refused")
    assert Job.objects.get(job_id=failed.job_id).status == "queued"
    assert Job.objects.get(job_id=left.job_id).status == "failed"


def test_a_queued_job_says_what_it_waits_for(enter: Callable[..., Page]) -> None:
    job = rows.job()
    page = enter(f"/console/jobs/{job.job_id}")
    expect(page.locator("#live")).to_contain_text("No worker is alive. Nothing is lost; it starts when one is.")
    rows.worker(room={"bundle_create": 1 << 20})
    Job.objects.filter(job_id=job.job_id).update(needs_bytes=5 << 30)
    expect(page.locator("#live")).to_contain_text("No worker has room on its disk: it is expected to need 5.00 GiB")
