"""Home: what needs attention, bounded and in a constant number of queries, and what has failed since the last visit."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from bundles.keys import signing_keys
from bundles.models import Bundle, DependencyStatus
from bundles.sources import dependency_status
from jobs import worker_restarts
from jobs.console import attention
from jobs.models import DepthSample, Job, RestartReason, Worker, WorkerRestart
from jobs.queue import queue_depth
from orchestrator_site.console import visits
from orchestrator_site.models import Visit
from tests.support import console_rows as rows

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("orch")]

LIVE = {"HX-Request": "true"}


def signed_in(role: str = "operator") -> Client:
    client = Client()
    client.force_login(rows.user(role, f"{role}-{uuid4().hex[:6]}"))
    return client


@pytest.fixture
def operator() -> Client:
    rows.worker()
    return signed_in()


def home(client: Client, **headers: str) -> str:
    answer = client.get(reverse("home"), headers=headers)
    assert answer.status_code == 200
    return str(answer.content.decode())


def was_here(client: Client, ago: timedelta) -> None:
    """Let the last page of this user have been so long ago."""
    Visit.objects.filter(user=client.session["_auth_user_id"]).update(seen_at=timezone.now() - ago)


def failed(incident_id: str, ago: timedelta) -> Job:
    return rows.job("failed", incident_id=incident_id, completed_at=timezone.now() - ago, error_message=incident_id)


def test_failures_since_the_last_visit_are_listed_and_earlier_ones_counted(operator: Client) -> None:
    home(operator)
    was_here(operator, timedelta(hours=2))
    failed("old-failure", timedelta(hours=5))
    failed("new-failure", timedelta(hours=1))
    for _ in range(2):  # loading it again is the same visit
        text = home(operator)
        assert ">new-failure</bdi>" in text
        assert "since your last visit" in text
        assert ">old-failure</bdi>" not in text
        assert "1 failed before your last visit" in text


def test_each_user_has_a_last_visit_of_their_own(operator: Client) -> None:
    other = signed_in("viewer")
    for client, hours in ((operator, 1), (other, 9)):
        home(client)
        was_here(client, timedelta(hours=hours))
    failed("at-night", timedelta(hours=5))
    assert ">at-night</bdi>" not in home(operator)
    assert ">at-night</bdi>" in home(other)


def test_at_the_first_visit_all_failures_of_the_week_are_listed(operator: Client) -> None:
    failed("first", timedelta(days=3))
    failed("too-old", timedelta(days=8))
    text = home(operator)
    assert ">first</bdi>" in text
    assert ">too-old</bdi>" not in text
    assert "since your last visit" not in text


def test_a_page_that_refreshes_itself_counts_as_no_visit(operator: Client) -> None:
    home(operator)
    was_here(operator, timedelta(hours=2))
    before = Visit.objects.get()
    home(operator, **LIVE)
    after = Visit.objects.get()
    assert (after.seen_at, after.before_at) == (before.seen_at, before.before_at)
    home(operator)
    assert Visit.objects.get().before_at == before.seen_at


def test_a_visit_is_not_written_at_every_page() -> None:
    person = User.objects.create_user("somebody")
    assert visits.begin(person.pk) is None
    seen = Visit.objects.get().seen_at
    assert visits.begin(person.pk) is None
    assert Visit.objects.get().seen_at == seen
    assert visits.last_visit(person.pk) is None


def test_a_source_that_is_down_needs_attention_until_it_answers(operator: Client) -> None:
    dependency_status.record("source.artifacts", "Forensic service", ok=False, detail="Not reachable: refused.")
    since = DependencyStatus.objects.get().since
    dependency_status.record("source.artifacts", "Forensic service", ok=False, detail="Not reachable: refused.")
    assert DependencyStatus.objects.get().since == since
    text = home(operator)
    assert "Source down" in text
    assert "Forensic service" in text
    dependency_status.record("source.artifacts", "Forensic service", ok=True, detail="Answers.")
    assert "Nothing needs attention" in home(operator)


def test_restarted_workers_need_attention_for_a_day_with_the_reasons(operator: Client) -> None:
    for reason in (RestartReason.SILENT, RestartReason.SILENT, RestartReason.CRASHED):
        worker_restarts.note(reason, "signal SIGKILL", host="host-a")
    assert "in the last 24 hours: 1 ended unexpectedly, 2 gave no sign of life." in home(operator)
    WorkerRestart.objects.update(last_at=timezone.now() - timedelta(hours=25))
    assert "Nothing needs attention" in home(operator)
    assert worker_restarts.forget() == 0
    WorkerRestart.objects.update(hour=1)
    assert worker_restarts.forget() == 2


def test_what_nobody_has_looked_at_for_long_is_not_told(operator: Client) -> None:
    dependency_status.record("source.artifacts", "Forensic service", ok=False, detail="HTTP 500.")
    DependencyStatus.objects.update(seen_at=timezone.now() - timedelta(hours=1))
    assert "Source down" not in home(operator)


def test_asking_the_sources_on_a_page_keeps_what_they_answered(operator: Client, settings: Any) -> None:
    settings.KILLCHAIN_API_URL = settings.DB_API_URL = settings.FORENSIC_API_URL = "http://127.0.0.1:9"
    settings.CORE_API_URL = "http://127.0.0.1:9"
    operator.get(reverse("sources-part"))
    assert set(DependencyStatus.objects.values_list("name", "ok")) == {
        ("source.timeline", False), ("source.alerts", False), ("source.artifacts", False),
    }  # fmt: skip


def test_a_queued_job_that_no_disk_has_room_for_needs_attention() -> None:
    rows.worker(room={"bundle_create": 12 << 30})
    client = signed_in()
    rows.job(needs_bytes=18 << 30)
    text = home(client)
    assert "18.0 GiB" in text
    assert "12.0 GiB" in text
    Job.objects.update(needs_bytes=1 << 30)
    assert "It waits, and nothing is lost. Free space" not in home(client)
    rows.worker("host-b/1", room={"bundle_create": 30 << 30})
    Job.objects.update(needs_bytes=18 << 30)
    assert "It waits, and nothing is lost. Free space" not in home(client), "another host has room"


@pytest.mark.parametrize(
    ("days", "words"),
    [(40, None), (30, "in 30 days"), (1, "in 1 day."), (0, "retired today"), (-3, "3 days ago")],
)
def test_a_key_that_is_about_to_be_retired_needs_attention(
    operator: Client, settings: Any, days: int, words: str | None
) -> None:
    settings.ORCH_SIGN_KEY_RETIRE_ON = datetime.now(UTC).date() + timedelta(days=days)
    text = home(operator)
    assert ("Signing key" in text) is (words is not None)
    assert (words or "Nothing needs attention") in text


def test_a_key_without_a_date_is_not_spoken_of(settings: Any) -> None:
    settings.ORCH_SIGN_KEY_RETIRE_ON = None
    assert signing_keys.days_until_retirement() is None
    settings.ORCH_SIGN_KEY_RETIRE_ON = date(2030, 1, 31)
    assert signing_keys.days_until_retirement(date(2030, 1, 30)) == 1


def test_a_bundle_whose_file_is_gone_needs_attention(operator: Client) -> None:
    bundle = rows.bundle("gone")
    Bundle.objects.filter(pk=bundle.pk).update(state="lost")
    text = home(operator)
    assert "File lost" in text
    assert "has lost its file" in text


def test_an_estimated_queue_is_said_to_be_about_so_long_everywhere(
    operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_depth, "EXACT_UP_TO", 2)
    for _ in range(3):
        rows.job()
    text = home(operator)
    assert 'data-announce="0 running, about 3 queued"' in text
    assert "<b>about 3</b>" in text
    assert "Queued now: about 3." in text
    assert "about 3 queued, none running" in text
    assert text.count("about 3") >= 4
    assert " 3 queued" not in text.replace("about 3 queued", "")


def test_the_curve_shows_nothing_where_nothing_was_measured(operator: Client) -> None:
    text = home(operator)
    assert 'class="chart"' not in text, "one value is no curve"
    assert "Nothing was measured in the 24 hours before." in text
    queue_depth.sample()
    now = DepthSample.objects.get().half_hour
    DepthSample.objects.create(half_hour=now - 3, queued=1)
    assert 'class="unknown"' in home(operator)
    DepthSample.objects.bulk_create(DepthSample(half_hour=now - ago, queued=1) for ago in range(1, 49) if ago != 3)
    text = home(operator)
    assert 'class="unknown"' not in text
    assert "Queued jobs over the last 24 hours: at most 1, now 0." in text


def test_the_badge_looks_at_a_bounded_number_of_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "CONSIDERED", 3)
    for at in range(5):
        failed(f"case-{at}", timedelta(hours=at))
    assert attention.waiting() == 3
    assert [job.incident_id for job in attention.failed()] == ["case-0", "case-1", "case-2"]


def test_home_needs_few_queries_with_everything_on_it(operator: Client, django_assert_max_num_queries: Any) -> None:
    rows.job("processing", lease_s=-60)
    rows.job("processing")
    failed("case", timedelta(hours=1))
    Worker.objects.update(room={"bundle_create": 1 << 30})
    rows.job(needs_bytes=1 << 60)
    rows.verification(rows.bundle("bad"), ok=False)
    dependency_status.record("source.alerts", "DB service", ok=False, detail="HTTP 500.")
    with django_assert_max_num_queries(12):
        text = home(operator)
    for words in ("Stuck job", "Failed", "Not verified", "Source down", "Disk"):
        assert words in text
