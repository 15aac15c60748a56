"""Each main task as a person does it from Home, in few clicks: by mouse, by keyboard alone, and with JavaScript off.

The work is done by a worker process, on evidence that the sample services serve over HTTP.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import BrowserContext, expect

from bundles.models import Bundle, KeptTimeline
from incidents.timeline.filters import moment_at
from jobs.models import Job
from rehydration.models import RestoredIncident
from tests.support import console_rows as rows
from tests.support.browser import sign_in_at_once
from tests.support.hands import Hand, Keyboard, Mouse, WithoutScript, counted

WAYS: dict[str, type[Mouse | Keyboard | WithoutScript]] = {
    "mouse": Mouse,
    "keyboard alone": Keyboard,
    "JavaScript off": WithoutScript,
}


@pytest.fixture(params=WAYS)
def hand(request: Any, live_server: Any, operator: User, open_context: Callable[..., BrowserContext]) -> Hand:
    """An operator who is signed in, and works in each of the three ways."""
    context = open_context(java_script_enabled=request.param != "JavaScript off")
    sign_in_at_once(context, live_server.url, operator)
    return WAYS[request.param](context.new_page())


@pytest.mark.django_db(transaction=True)
def test_each_task_takes_few_clicks_from_home(
    hand: Hand, live_server: Any, start_worker: Callable[[], None], tmp_path: Path
) -> None:
    stuck = rows.job("processing", lease_s=-240, incident_id="incident-of-yesterday")

    assert clicks_from_home(hand, live_server.url, partial(free, stuck)) <= 3
    start_worker()
    assert clicks_from_home(hand, live_server.url, bundle) <= 3
    assert clicks_from_home(hand, live_server.url, find_every_incident_with_a_host) <= 2
    assert clicks_from_home(hand, f"{live_server.url}/console/incidents/{rows.INCIDENT}", see_what_happened_first) == 0
    assert clicks_from_home(hand, live_server.url, understand_a_failure) <= 2
    assert clicks_from_home(hand, live_server.url, verify) <= 2
    assert clicks_from_home(hand, live_server.url, partial(download, tmp_path / "downloaded")) <= 2
    assert clicks_from_home(hand, live_server.url, hand_over) <= 3
    assert clicks_from_home(hand, live_server.url, restore) <= 5
    assert clicks_from_home(hand, live_server.url, import_a_file) <= (4 if isinstance(hand, WithoutScript) else 3)


def clicks_from_home(hand: Hand, address: str, task: Callable[[Hand], None]) -> int:
    hand.page.goto(address)
    return counted(hand, task)


def free(stuck: Job, hand: Hand) -> None:
    hand.press(hand.page.get_by_role("link", name="Free it…"))
    hand.press(hand.page.get_by_role("button", name="Free these jobs (1)"))
    hand.see(hand.page.get_by_role("status"), "1 done, 0 refused")
    stuck.refresh_from_db()
    assert stuck.status == "queued"


def bundle(hand: Hand) -> None:
    hand.press(hand.page.get_by_role("link", name="Bundle an incident"))
    hand.write(hand.page.get_by_label("Incident id"), rows.INCIDENT)
    hand.press(hand.page.get_by_role("button", name="Create bundle"))
    hand.see(hand.page.locator("#state"), "Completed")
    made = Bundle.objects.get()
    assert (made.incident_id, made.complete) == (rows.INCIDENT, True)


def find_every_incident_with_a_host(hand: Hand) -> None:
    host = KeptTimeline.objects.get().facts["hosts"]["top"][0][0]
    hand.write(hand.page.locator("#q"), host)
    with hand.page.expect_navigation():  # a reload before the answer would interrupt it
        hand.page.keyboard.press("Enter")
    hand.clicks += 1
    hand.see(hand.page.get_by_role("main"), rows.INCIDENT)
    expect(hand.page.locator("mark").first).to_have_text(host, ignore_case=True)


def see_what_happened_first(hand: Hand) -> None:
    first = moment_at(KeptTimeline.objects.get().facts["first"]["at_us"])
    hand.see(hand.page.get_by_role("region", name="What happened"), f"{first:%Y-%m-%d %H:%M:%S} UTC")


def understand_a_failure(hand: Hand) -> None:
    failed = rows.job("failed", incident_id="incident-never-seen")
    hand.page.reload()
    link = hand.page.get_by_role("main").locator(f"a[href$='{failed.job_id}']").first
    if not link.is_visible():  # one of several, which are folded
        hand.press(link.locator("xpath=ancestor::details[1]/summary"))
    hand.press(link)
    advice = hand.page.get_by_role("main")
    for question in ("What happened", "Is the evidence safe?", "What to do"):
        hand.see(advice, question)
    Job.objects.filter(pk=failed.pk).delete()


def verify(hand: Hand) -> None:
    hand.press(newest(hand))
    hand.press(hand.page.get_by_role("button", name=re.compile("^Verify (now|again)$")))
    hand.see(hand.page.locator("#state"), "Completed")
    assert Bundle.objects.get().verified_ok is True


def download(to: Path, hand: Hand) -> None:
    hand.press(newest(hand))
    with hand.page.expect_download() as started:
        hand.press(hand.page.get_by_role("link", name="Download", exact=True))
    started.value.save_as(to)
    assert hashlib.sha256(to.read_bytes()).hexdigest() == Bundle.objects.get().sha256


def hand_over(hand: Hand) -> None:
    hand.press(newest(hand))
    hand.press(hand.page.get_by_role("link", name="Hand over", exact=True))
    section = hand.page.get_by_role("region", name="Hand over")
    for name in ("Download the bundle", "Download the public key", "Open to print the certificate"):
        assert section.get_by_role("link", name=name).is_visible()
    with hand.page.expect_download() as started:
        hand.press(section.get_by_role("link", name="Download the public key"))
    assert started.value.suggested_filename.endswith(f"{Bundle.objects.get().key_id[:16]}.pem")


def restore(hand: Hand) -> None:
    page = hand.page
    hand.press(page.get_by_role("link", name="Restore a bundle"))
    hand.press(page.get_by_label(rows.INCIDENT))
    hand.press(page.get_by_role("button", name="Verify and preview", exact=True))
    hand.see(page.locator("#plan"), "What a restore would do")
    assert not RestoredIncident.objects.exists(), "a preview writes nothing"
    hand.write(page.get_by_label("Type the incident id to restore it"), rows.INCIDENT)
    hand.press(page.get_by_role("button", name="Restore", exact=False).filter(has_text="alerts"))
    hand.see(page.locator("#outcome"), "Restored")
    assert RestoredIncident.objects.get().incident_id == rows.INCIDENT


def import_a_file(hand: Hand) -> None:
    """Without JavaScript one more button sends the file."""
    page = hand.page
    hand.press(page.get_by_role("link", name="Import a collection"))
    page.locator("#file").set_input_files({"name": "tool.bin", "mimeType": "", "buffer": b"\x7fELF"})
    hand.clicks += 1  # the choice of the file
    if isinstance(hand, WithoutScript):
        hand.press(page.get_by_role("button", name="Upload and read"))
    hand.see(page.locator("#what"), "What it is")
    hand.press(page.get_by_role("button", name="Make the bundle"))
    hand.see(page.locator("#state"), "Completed")
    assert Bundle.objects.get(source="intake").incident_id == "tool.bin"


def newest(hand: Hand) -> Any:
    """The newest bundle in Home's list."""
    return hand.page.get_by_role("group", name="Newest bundles").get_by_role("link", name=rows.INCIDENT).first
