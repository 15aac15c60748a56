"""Home: what needs attention, bounded and in a constant number of queries, and what has failed since the last visit."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models import F
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from bundles.keys import signing_keys, trusted_keys
from bundles.models import Bundle, DependencyStatus
from bundles.sources import dependency_status
from jobs import worker_restarts
from jobs.console import attention
from jobs.models import DepthSample, Job, RestartReason, Worker, WorkerRestart
from jobs.queue import queue_depth
from orchestrator_site.console import visits
from orchestrator_site.models import Visit
from orchestrator_site.templatetags.console import plain_size
from tests.support import console_rows as rows
from tests.support import console_scenes as scenes
from tests.support.console_rows import signed_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("orch")]

LIVE = {"HX-Request": "true"}


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
    text = home(operator)
    assert "Worker processes restarted in the last 24 hours: 1 ended unexpectedly, 2 gave no sign of life." in text
    assert "Workers keep restarting (3 in 30 min)" in text
    assert "Ask an operator to look at the workers." in home(signed_in("analyst"))
    WorkerRestart.objects.update(ten_minutes=F("ten_minutes") - 4)
    text = home(operator)
    assert "Worker processes restarted in the last 24 hours: 1 ended unexpectedly" in text
    assert "keep restarting" not in text
    WorkerRestart.objects.update(last_at=timezone.now() - timedelta(hours=25))
    assert "Nothing needs attention" in home(operator)
    assert worker_restarts.forget() == 0
    WorkerRestart.objects.update(ten_minutes=1)
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
    scenes.asked_restore()
    worker_restarts.note(RestartReason.SILENT, "signal SIGKILL", host="host-a")
    dependency_status.record("source.alerts", "DB service", ok=False, detail="HTTP 500.")
    with django_assert_max_num_queries(12):
        text = home(operator)
    for words in ("Stuck job", "Failed", "Not verified", "Source down", "Disk", "Untrusted key", "waits for you"):
        assert words in text


def test_threats_to_evidence_come_first_one_row_a_kind(operator: Client) -> None:
    failed("failed-job", timedelta(hours=1))
    for number in range(3):
        rows.verification(rows.bundle(f"refused-{number}"), ok=False)
    Bundle.objects.filter(pk=rows.bundle("gone").pk).update(state="lost")
    text = home(operator)
    order = ['id="kind-lost"', 'id="kind-refused"', 'id="kind-keys"', 'id="kind-failed"', 'id="running"']
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert "3 bundles failed their verification." in text
    assert "4 bundles are signed by a key that is not trusted here." in text
    for number in range(3):
        assert f">refused-{number}</a>" in text


def test_bundles_of_trusted_keys_are_no_threat_and_those_of_revoked_keys_are(
    operator: Client, orch: Any, settings: Any
) -> None:
    [key] = trusted_keys.trusted().keys
    rows.bundle(key_id=key.key_id)
    assert "Evidence at risk" not in home(operator)
    folder = orch.root / "keys-with-one-revoked"
    (folder / "revoked").mkdir(parents=True)
    (folder / "revoked" / "old.pem").write_bytes(key.pem())
    settings.ORCH_VERIFY_KEY_PATH = folder
    text = home(operator)
    assert "1 bundle is signed by a key that is not trusted here." in text
    assert "revoked; signed 1 bundle" in text
    settings.ORCH_VERIFY_KEY_PATH = orch.root / "nowhere"
    assert "The trusted keys cannot be read" in home(operator)


def test_each_role_is_told_what_it_can_do_or_whom_to_ask(operator: Client) -> None:
    Worker.objects.all().delete()
    rows.job("processing", lease_s=-60)
    failed("case", timedelta(hours=1))
    text = home(operator)
    assert "<code>manage.py run_orch_worker</code>" in text
    assert "Free it…" in text
    for role in ("analyst", "viewer"):
        text = home(signed_in(role))
        for words in ("start a worker.", "free it.", "retry what should run again."):
            assert f"Ask an operator to {words}" in text
        assert "manage.py" not in text
        assert "Free it…" not in text


def test_an_open_request_for_a_restore_waits_for_operators_and_its_asker_sees_the_answer(operator: Client) -> None:
    analyst = signed_in("analyst")
    name = User.objects.get(pk=analyst.session["_auth_user_id"]).username
    asked = scenes.asked_restore(asked_by=name)[0]
    scenes.asked_restore("declined", asked_by=name)
    scenes.asked_restore("done", asked_by="somebody else")
    text = home(operator)
    assert "1 request for a restore waits for you." in text
    assert reverse("restore-request", args=[asked]) in text
    text = home(analyst)
    assert "Your requests for a restore" in text
    assert "The disk is nearly full." in text
    assert "waits for you" not in text
    assert "somebody else" not in text


def test_sources_are_one_line_when_all_is_well(operator: Client) -> None:
    assert "Not checked in the last 20 minutes." in home(operator)
    for name in ("alerts", "artifacts", "timeline"):
        dependency_status.record(f"source.{name}", name, ok=True, detail="Answers.")
    assert "All 3 sources answered, checked" in home(operator)
    dependency_status.record("source.alerts", "DB service", ok=False, detail="HTTP 500.")
    text = home(operator)
    assert "2 of 3 sources answered" in text
    assert "DB service did not answer." in text


def test_sizes_go_up_to_pib() -> None:
    assert plain_size(3 << 50) == "3.0 PiB"
    assert plain_size(5000 << 50) == "5000 PiB"
