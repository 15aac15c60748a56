"""Every page of the console in every state that its data can have, against real rows."""

from __future__ import annotations

import json
import re
import time
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from bundles.format.model.errors import STEPS
from custody import chain
from foundation.principal import SYSTEM
from jobs.console import seen
from tests.support import console_rows as rows
from tests.support import console_scenes as scenes
from tests.support.console_rows import signed_in
from tests.support.console_scenes import with_files

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("orch")]

PAGES = (
    "home", "incidents-page", "jobs-page", "bundles-page", "custody-page", "workers-page", "new-bundle", "restore",
)  # fmt: skip
MOST_QUERIES = 12


@pytest.fixture
def operator() -> Client:
    return signed_in("operator")


class Inspector(HTMLParser):
    """Collects what a strict Content-Security-Policy forbids, ids, and labels."""

    def __init__(self) -> None:
        super().__init__()
        self.inline: list[str] = []
        self.foreign: list[str] = []
        self.ids: list[str] = []
        self.requests: list[str] = []
        self.headings: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "style" or "style" in given or (tag == "script" and "src" not in given):
            self.inline.append(tag)
        self.inline += [name for name in given if name.startswith("on")]
        for name in ("src", "href", "action", "hx-get"):
            address = given.get(name) or ""
            if address.startswith(("http:", "https:", "//", "javascript:", "data:")):
                self.foreign.append(address)
        if (tag == "link" and given.get("rel") in {"stylesheet", "icon"}) or tag in {"script", "img"}:
            self.requests.append(tag)
        if given.get("id"):
            self.ids.append(str(given["id"]))
        if tag == "h1":
            self.headings.append(tag)


def inspect(text: str) -> Inspector:
    found = Inspector()
    found.feed(text)
    return found


def shown(client: Client, address: str, status: int = 200) -> str:
    answer = client.get(address)
    text = answer.content.decode()
    assert answer.status_code == status, text
    assert answer["Cache-Control"] == "no-store"
    found = inspect(text)
    assert found.inline == []
    assert found.foreign == []
    assert sorted(found.ids) == sorted(set(found.ids)), "an id stands twice"
    assert len(found.requests) + 1 <= 6
    assert found.headings == ["h1"]
    return text


@pytest.mark.parametrize("name", PAGES)
def test_each_page_is_shown_without_any_row(operator: Client, name: str) -> None:
    text = shown(operator, reverse(name))
    assert 'aria-label="Main"' in text
    assert "Skip to the content" in text


@pytest.mark.parametrize("name", PAGES)
def test_each_page_needs_few_queries(operator: Client, name: str, django_assert_max_num_queries: Any) -> None:
    for _ in range(3):
        rows.verification(with_files(rows.bundle(), "timeline.json"))
        rows.job("failed")
        rows.job("processing")
    rows.worker()
    with django_assert_max_num_queries(MOST_QUERIES):
        shown(operator, reverse(name))


def test_job_and_bundle_pages_need_few_queries(operator: Client, django_assert_max_num_queries: Any) -> None:
    bundle = with_files(rows.bundle(), "timeline.json")
    rows.verification(bundle)
    restore = rows.restore_job()
    failed = rows.job("failed")
    for address in (
        reverse("bundle-page", args=[bundle.bundle_id]),
        reverse("job-page", args=[failed.job_id]),
        reverse("restore-preview", args=[restore.job_id]),
        reverse("incident-page", args=[rows.INCIDENT]),
    ):
        with django_assert_max_num_queries(MOST_QUERIES):
            shown(operator, address)


def test_home_names_what_needs_attention_first(operator: Client) -> None:
    rows.job("processing", lease_s=-240)
    rows.job("failed", incident_id="failed-one")
    rows.verification(rows.bundle("bad-one"), ok=False)
    text = shown(operator, reverse("home"))
    for words in ("Stuck job", "Forensic answered HTTP 503.", "Not verified", "No live worker", "Free it…"):
        assert words in text
    assert text.index("Needs attention") < text.index("Running") < text.index("Newest bundles")
    assert "need attention" in text


def test_home_is_calm_when_nothing_needs_a_person(operator: Client) -> None:
    scenes.calm()
    text = shown(operator, reverse("home"))
    assert "Nothing needs attention" in text
    assert 'hx-trigger="every 2s"' not in text


def test_a_failure_that_was_made_good_needs_nobody(operator: Client) -> None:
    rows.worker()
    rows.job("failed", created_at=timezone.now() - timedelta(hours=2))
    rows.job("completed", result={"bundle_id": str(uuid4()), "complete": True})
    assert "Nothing needs attention" in shown(operator, reverse("home"))


def test_home_polls_only_while_something_runs_or_waits(operator: Client) -> None:
    rows.job("processing")
    text = shown(operator, reverse("home"))
    assert 'hx-trigger="every 2s"' in text
    part = operator.get(reverse("home"), headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in part
    assert 'id="live"' in part


@pytest.mark.parametrize(
    ("status", "word", "live"),
    [
        ("queued", "Queued", True),
        ("processing", "Running", True),
        ("completed", "Completed", False),
        ("failed", "Failed", False),
        ("cancelled", "Cancelled", False),
    ],
)
def test_a_job_is_shown_in_each_state(operator: Client, status: str, word: str, live: bool) -> None:
    result = {"bundle_id": str(uuid4()), "complete": True, "name": "x.tar.zst", "size": 5, "files": 3}
    job = rows.job(status, result=result if status == "completed" else None)
    text = shown(operator, reverse("job-page", args=[job.job_id]))
    assert word in text
    assert ('hx-trigger="every 2s"' in text) is live
    assert ("htmx-2.min.js" in text) is live
    assert str(job.job_id) in text


def test_a_running_job_shows_phase_amount_rate_and_time_left(operator: Client) -> None:
    job = rows.job("processing")
    text = shown(operator, reverse("job-page", args=[job.job_id]))
    assert 'aria-current="step"' in text
    assert "3.0 MiB" in text
    assert "5.0 MiB" in text
    assert "1.0 MiB</span>/s" in text
    assert "2 s" in text
    assert "40 %" in text


def test_time_left_is_not_claimed_without_a_total(operator: Client) -> None:
    progress = {"phase": "fetching", "done": 10, "total": None, "unit": "records", "rate": 5.0, "note": ""}
    job = rows.job("processing", progress=progress)
    text = shown(operator, reverse("job-page", args=[job.job_id]))
    assert "left in this phase" not in text
    assert "10 records" in text


def test_a_failed_job_says_what_happened_whether_evidence_is_safe_and_what_to_do(operator: Client) -> None:
    job = rows.job("failed")
    text = shown(operator, reverse("job-page", args=[job.job_id]))
    for words in ("What happened", "Forensic answered HTTP 503.", "Is the evidence safe?", "no bundle of this attempt",
                  "What to do", "source_unavailable", "Retry job", "Make a partial bundle"):  # fmt: skip
        assert words in text


def test_the_live_part_of_an_ended_job_asks_for_nothing_more(operator: Client) -> None:
    job = rows.job("failed")
    part = operator.get(reverse("job-page", args=[job.job_id]), headers={"HX-Request": "true"}).content.decode()
    assert "hx-get" not in part
    assert "<title>Failed" in part.replace("\n", "").replace("  ", "")


def test_a_live_part_that_did_not_change_is_not_made_again(
    operator: Client, django_assert_num_queries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [time.time()]
    monkeypatch.setattr(time, "time", lambda: clock[0])
    job = rows.job()
    address = reverse("job-page", args=[job.job_id])

    def part(asks: str, reader: Client = operator) -> tuple[int, str]:
        answer = reader.get(asks, headers={"HX-Request": "true"})
        found = re.search(r'hx-get="([^"]+)"', answer.content.decode())
        return answer.status_code, found[1] if found else ""

    _, asks = part(address)
    with django_assert_num_queries(1):
        assert part(asks) == (204, "")
    assert operator.get(asks).status_code == 200, "a page that a person opens is always made"
    assert part(asks, signed_in("operator"))[0] == 200, "the tag is of another session"
    assert part(address + "?seen=" + "0" * 32)[0] == 200
    clock[0] += seen.LASTS_S
    assert part(asks)[0] == 200, "what follows from the time is at most so old"
    clock[0] -= seen.LASTS_S
    job.priority = 7
    job.save()
    status, now = part(asks)
    assert (status, now != asks) == (200, True)
    assert part(now)[0] == 204


def test_stuck_jobs_are_listed_with_the_way_to_free_them(operator: Client) -> None:
    job = rows.job("processing", lease_s=-60)
    running = rows.job("processing")
    text = shown(operator, reverse("jobs-page") + "?status=stuck")
    assert "Free stuck jobs…" in text
    assert str(job.job_id) in text
    assert str(running.job_id) not in text


def test_cancel_and_retry_work_by_plain_forms(operator: Client) -> None:
    job = rows.job()
    address = reverse("job-page", args=[job.job_id])
    assert "asked to stop" in operator.post(address, {"action": "cancel"}, follow=True).content.decode()
    job.refresh_from_db()
    assert job.status == "cancelled"
    operator.post(address, {"action": "retry"})
    job.refresh_from_db()
    assert job.status == "queued"


def test_an_action_that_the_state_forbids_is_explained(operator: Client) -> None:
    job = rows.job("completed")
    answer = operator.post(reverse("job-page", args=[job.job_id]), {"action": "cancel"})
    assert answer.status_code == 409
    assert "state_conflict" in answer.content.decode()


def test_jobs_are_filtered_and_paged_by_the_address(operator: Client) -> None:
    now = timezone.now()
    jobs = [rows.job(incident_id="many", created_at=now - timedelta(minutes=at)) for at in range(53)]
    rows.job(incident_id="other")
    text = shown(operator, reverse("jobs-page") + "?incident_id=many&status=queued")
    assert str(jobs[0].job_id) in text
    assert str(jobs[52].job_id) not in text
    assert "Older jobs" in text
    following = next(part.split('"')[0] for part in text.split('href="') if "cursor=" in part)
    second = shown(operator, reverse("jobs-page") + following.replace("&amp;", "&"))
    assert str(jobs[52].job_id) in second
    assert "Newest jobs" in second
    assert "No job matches" in shown(operator, reverse("jobs-page") + "?incident_id=none")


def test_a_forged_cursor_is_refused_in_words(operator: Client) -> None:
    assert "cursor_invalid" in shown(operator, reverse("jobs-page") + "?cursor=!!", status=400)


def test_a_bundle_is_verified_only_when_a_verification_ran(operator: Client) -> None:
    bundle = with_files(rows.bundle(), "timeline.json", "alerts.json")
    address = reverse("bundle-page", args=[bundle.bundle_id])
    text = shown(operator, address)
    assert "Not yet verified" in text
    assert 'data-s="verified"' not in text
    assert "Verify now" in text
    rows.verification(bundle)
    text = shown(operator, address)
    assert 'class="verdict" data-s="verified"' in " ".join(text.split())
    assert STEPS["signature"] in text
    assert "by <bdi>analyst</bdi>" in text
    assert "Verify again" in text


def test_a_bundle_that_failed_its_check_says_which_and_offers_no_restore(operator: Client) -> None:
    bundle = with_files(rows.bundle(), "alerts.json")
    rows.verification(bundle, ok=False)
    text = shown(operator, reverse("bundle-page", args=[bundle.bundle_id]))
    assert "Not verified: do not use" in text
    assert "file_hash_mismatch" in text
    assert "(not reached)" in text
    assert "Restore…" not in text


def test_a_partial_bundle_carries_its_warning_everywhere(operator: Client) -> None:
    missing = [{"source": "artifacts", "reason": "Forensic answered HTTP 503"}]
    bundle = with_files(rows.bundle(complete=False, missing=missing), "alerts.json")
    for address in (
        reverse("bundle-page", args=[bundle.bundle_id]), reverse("bundles-page"), reverse("home"),
        reverse("restore"), reverse("incidents-page"), reverse("incident-page", args=[rows.INCIDENT]),
    ):  # fmt: skip
        assert "Partial" in shown(operator, address)
    rows.verification(bundle)
    text = shown(operator, reverse("bundle-page", args=[bundle.bundle_id]))
    assert "Verified, but partial" in text
    assert "Missing from this bundle" in text
    assert "Forensic answered HTTP 503" in text


def test_digests_are_shown_in_full(operator: Client) -> None:
    bundle = with_files(rows.bundle(), "alerts.json")
    text = shown(operator, reverse("bundle-page", args=[bundle.bundle_id]))
    for digest in (bundle.sha256, bundle.content_digest, bundle.manifest_hash, bundle.key_id):
        assert f'data-copy="{digest}"' in text
        assert " ".join(digest[at : at + 8] for at in range(0, 64, 8)) in text


def test_the_contents_are_searched_and_paged(operator: Client) -> None:
    bundle = with_files(rows.bundle(), *[f"artifacts/{at:04}/log.txt" for at in range(250)], "alerts.json")
    address = reverse("bundle-page", args=[bundle.bundle_id])
    text = shown(operator, address)
    assert "1 to 25 of 250," in text
    assert "More artifacts" in text
    assert "artifacts/0110/" in shown(operator, address + "?from=100")
    found = shown(operator, address + "?find=ALERTS")
    assert "alerts.json" in found
    assert "log.txt" not in found
    assert "Nothing in this bundle matches" in shown(operator, address + "?find=nothing")


def test_names_that_evidence_chose_are_escaped_and_marked(operator: Client) -> None:
    bundle = with_files(rows.bundle(), f"artifacts/1/{rows.HOSTILE}")
    job = rows.job("failed", error_message=rows.HOSTILE, requested_by=rows.HOSTILE)
    restore = rows.restore_job()
    chain.record(SYSTEM, "job.cancel", "job", rows.HOSTILE, incident_id=rows.HOSTILE)
    for address in (
        reverse("bundle-page", args=[bundle.bundle_id]), reverse("job-page", args=[job.job_id]), reverse("home"),
        reverse("jobs-page"), reverse("custody-page"), reverse("restore-preview", args=[restore.job_id]),
    ):  # fmt: skip
        text = shown(operator, address)
        assert "<script>alert" not in text
        assert "\u202e" not in text
        assert "\x1b" not in text
        assert "⟨U+202E⟩" in text
        assert "⟨U+001B⟩" in text


def test_new_bundle_goes_to_its_job_and_says_when_one_was_active(operator: Client) -> None:
    form = {"incident_id": "incident-9", "priority": "100", "chunk_size_mb": "256", "source": "live"}
    first = operator.post(reverse("new-bundle"), form)
    assert first.status_code == 302
    again = operator.post(reverse("new-bundle"), form, follow=True)
    assert again.redirect_chain[0][0] == first["Location"]
    assert "no second one was started" in again.content.decode()


def test_new_bundle_keeps_what_was_typed_and_says_what_is_wrong(operator: Client) -> None:
    form = {"incident_id": "../etc", "priority": "5000", "chunk_size_mb": "256", "source": "live"}
    answer = operator.post(reverse("new-bundle"), form)
    text = answer.content.decode()
    assert answer.status_code == 200
    assert 'value="../etc"' in text
    assert 'aria-invalid="true"' in text
    assert "Nothing was started" in text
    assert inspect(text).inline == []


def test_new_bundle_suggests_known_incidents_and_takes_them_from_the_address(operator: Client) -> None:
    rows.job(incident_id="known-1")
    text = shown(operator, reverse("new-bundle") + "?incident_id=asked-2&allow_partial=on")
    assert '<option value="known-1">' in text
    assert 'value="asked-2"' in text
    assert "open>" in " ".join(text.split())


def test_a_preview_lists_what_would_change_and_asks_for_the_incident_id(operator: Client) -> None:
    job = rows.restore_job()
    address = reverse("restore-preview", args=[job.job_id])
    text = shown(operator, address)
    assert "nothing has been written" in text
    assert "Restore 3 alerts, 3 events, 3 artifacts" in text
    assert rows.sha("plan") in text
    wrong = operator.post(address, {"incident_id": "another", "plan_digest": rows.sha("plan")})
    assert wrong.status_code == 200
    assert "Nothing was restored" in wrong.content.decode()


def test_a_preview_without_news_offers_no_restore(operator: Client) -> None:
    equal = {"new": 0, "equal": 2, "conflict": 0}
    plan = dict.fromkeys(("timeline", "events", "alerts", "artifacts", "files"), equal)
    job = rows.restore_job(result=rows.restore_result(plan=plan, conflicts=[], conflict_total=0))
    text = shown(operator, reverse("restore-preview", args=[job.job_id]))
    assert "Nothing to restore" in text
    assert "confirm-id" not in text


def test_a_restore_tells_its_outcome(operator: Client) -> None:
    done = rows.restore_job(dry_run=False, result=rows.restore_result(dry_run=False, changed=True))
    assert "Reconciled" in shown(operator, reverse("restore-preview", args=[done.job_id]))
    failed = rows.restore_job("failed", dry_run=False, error_code="plan_changed", error_message="The plan changed.")
    text = shown(operator, reverse("restore-preview", args=[failed.job_id]))
    assert "The database changed after the preview" in text
    assert "Make a new preview" in text
    running = rows.restore_job("processing")
    assert 'hx-trigger="every 2s"' in shown(operator, reverse("restore-preview", args=[running.job_id]))


def test_custody_is_filtered_checked_and_exported(operator: Client) -> None:
    for at in range(3):
        chain.record(SYSTEM, "bundle.create", "job", str(uuid4()), incident_id=f"case-{at}")
    text = shown(operator, reverse("custody-page") + "?incident=case-1")
    assert "case-1" in text
    assert "case-2" not in text
    assert "Chain not verified yet" in text
    checked = operator.post(reverse("custody-page"), follow=True).content.decode()
    assert "Chain verified" in checked
    assert "Up to event #3" in checked
    export = operator.get(reverse("custody-export"))
    lines = export.getvalue().decode().splitlines()
    assert chain.verify_exported(json.loads(line) for line in lines).intact
    assert len(lines) == 4


def test_workers_are_listed_with_the_silent_marked(operator: Client) -> None:
    rows.worker()
    rows.worker("host-b/7", host="host-b", pid=7, silent_s=45, state="busy")
    text = shown(operator, reverse("workers-page"))
    assert "host-b" in text
    assert "Not responding" in text
    assert "96.0 MiB" in text


def test_the_search_leads_to_job_bundle_or_incidents(operator: Client) -> None:
    job, bundle = rows.job(), rows.bundle()
    found = {
        str(job.job_id): reverse("job-page", args=[job.job_id]),
        str(bundle.bundle_id): reverse("bundle-page", args=[bundle.bundle_id]),
        bundle.sha256.upper(): reverse("bundle-page", args=[bundle.bundle_id]),
        "incident": reverse("incident-page", args=[rows.INCIDENT]),
    }
    for wanted, address in found.items():
        assert operator.get(reverse("find"), {"q": wanted})["Location"] == address


def test_what_is_not_there_is_a_page_too(operator: Client) -> None:
    for name in ("job-page", "bundle-page"):
        assert "Not found" in shown(operator, reverse(name, args=[uuid4()]), status=404)
    assert "Not found" in shown(operator, reverse("incident-page", args=["never-seen"]), status=404)
    answer = operator.get("/console/nowhere")
    assert answer.status_code == 404
    assert "Is the evidence safe?" in answer.content.decode()
