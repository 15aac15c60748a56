"""The progress of a real, long job as its page shows it: never backwards, and never older than one poll.

A large artifact comes from a slow source. Each time the database holds new progress, the first poll that begins after
that must show it. The page polls every two seconds: what it shows is older by no more than the answer takes.
"""

from __future__ import annotations

import io
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from playwright.sync_api import BrowserContext, Page, expect

from bundles import services
from bundles.samples.folder import Folders
from bundles.samples.services import SampleServices
from foundation.principal import SYSTEM
from jobs.console import progress_view
from jobs.models import ENDED, Job
from tests.support.browser import point_at, sign_in_at_once
from tests.support.main_job import INCIDENT, write_incident

MIB = 1 << 20
ARTIFACT_BYTES = 96 * MIB
BYTES_A_SECOND = 6 * MIB  # the job lasts some 16 seconds
COUNT_POLLS = """
window.begun = 0; window.shown = 0;
document.addEventListener("htmx:beforeRequest", () => { window.begun += 1; });
document.addEventListener("htmx:afterSettle", () => { window.shown = window.begun; window.sample?.(); });
"""
WATCH = """
() => {
  window.samples = [];
  window.sample = () => {
    const bar = document.querySelector("main progress");
    const now = document.querySelector(".steps [aria-current]");
    const bytes = document.querySelector(".figures [title$=' bytes']");
    const ended = document.querySelector("#state").textContent.includes("Completed");
    window.samples.push({
      percent: ended ? 100 : bar ? bar.value : 0,
      phase: now ? now.textContent.trim().toLowerCase() : "",
      bytes: bytes ? Number(bytes.title.replace(/[^0-9]/g, "")) : 0,
      title: document.title,
    });
  };
  window.sample();
}
"""


class SlowFile(io.FileIO):
    """A file that is read no faster than `BYTES_A_SECOND`."""

    def read(self, size: int | None = -1, /) -> bytes:
        """As from a slow disk."""
        block = super().read(-1 if size is None else size) or b""
        time.sleep(len(block) / BYTES_A_SECOND)
        return block


class SlowFolders(Folders):
    """Folders of incidents whose artifacts come slowly."""

    def artifact(self, artifact_id: str) -> BinaryIO | None:
        """The content of an artifact, slowly."""
        found = super().artifact(artifact_id)
        if found is None:
            return None
        with found:
            return SlowFile(os.dup(found.fileno()), "rb")


@pytest.fixture
def sources(tmp_path: Path, settings: Any) -> Iterator[SampleServices]:
    """Sources with one incident, whose one large artifact comes slowly."""
    content = os.urandom(MIB) * (ARTIFACT_BYTES // MIB)
    write_incident(tmp_path / "data", files={"large": ("memory of host 3.bin", content)})
    services = SampleServices([tmp_path / "data"])
    services.folders = SlowFolders([tmp_path / "data"])
    with services:
        point_at(services, settings)
        yield services


@dataclass(frozen=True)
class Sample:
    """What the page showed at one moment."""

    percent: float
    phase: str
    bytes: int
    title: str


@pytest.mark.django_db(transaction=True)
def test_what_is_shown_never_goes_back_and_is_at_most_one_poll_old(
    live_server: Any,
    operator: User,
    open_context: Callable[..., BrowserContext],
    start_worker: Callable[[], None],
) -> None:
    job = services.request_bundle(SYSTEM, incident_id=INCIDENT).job
    context = open_context()
    sign_in_at_once(context, live_server.url, operator)
    context.add_init_script(COUNT_POLLS)
    page = context.new_page()
    page.goto(live_server.url + reverse("job-page", args=[job.job_id]))
    page.evaluate(WATCH)
    assert page.locator("#live").get_attribute("hx-trigger") == "every 2s"
    start_worker()

    compared = follow(page, job, until=lambda: samples(page)[-1].bytes >= ARTIFACT_BYTES // 3)
    seen = samples(page)
    page.reload()  # a reload loses nothing
    page.evaluate(WATCH)
    compared += follow(page, job, until=lambda: ended(job))
    expect(page.locator("#state")).to_contain_text("Completed")
    expect(page).to_have_title(re.compile("^Completed"))
    seen += samples(page)

    assert compared >= 4, "the job was over before anything could be seen of it"
    assert len({(sample.phase, sample.bytes) for sample in seen}) >= 4
    assert [sample.percent for sample in seen] == sorted(sample.percent for sample in seen)
    for phase in ("fetching", "packing"):
        received = [sample.bytes for sample in seen if sample.phase.startswith(phase)]
        assert received == sorted(received)
    assert [sample.title for sample in seen if sample.percent not in {0, 100} and "%" not in sample.title] == []


def follow(page: Page, job: Job, *, until: Callable[[], bool]) -> int:
    """Compare page and database until `until`; how often they could be compared."""
    compared = 0
    while not until():
        stored = Job.objects.get(pk=job.pk)
        begun = page.evaluate("window.begun")
        if stored.status in ENDED:
            break
        # The first poll that begins from here on must show what the database held before.
        page.wait_for_function("(begun) => window.shown > begun", arg=begun)
        told = progress_view.view_of(stored)
        sample = samples(page)[-1]
        assert sample.percent >= (told.percent or 0)
        if sample.phase.startswith("packing") and told.phase == "packing":
            assert sample.bytes >= told.done
        compared += 1
    return compared


def ended(job: Job) -> bool:
    return Job.objects.get(pk=job.pk).status in ENDED


def samples(page: Page) -> list[Sample]:
    """Everything that the page has shown since it was watched."""
    return [Sample(**sample) for sample in page.evaluate("window.samples")]
