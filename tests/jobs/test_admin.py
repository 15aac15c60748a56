"""Jobs in the Django admin: all can be viewed, none edited, and each action first shows what it will do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.utils import timezone

from custody.models import Event
from foundation.principal import SYSTEM
from jobs.admin import paging
from jobs.models import Job
from jobs.queue import queue, registry
from jobs.queue.claim_request import ClaimRequest
from jobs.queue.job_result import JobResult

pytestmark = pytest.mark.django_db

LIST = "/admin/jobs/job/"


@pytest.fixture(autouse=True)
def _type() -> Iterator[None]:
    registry.register(registry.JobType(name="t", title="T", phases=("one",), handler=lambda _: JobResult({})))
    yield
    registry.unregister("t")


def signed_in(*permissions: str) -> Client:
    user = User.objects.create_user("olga", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions, content_type__app_label="jobs"))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def operator() -> Client:
    return signed_in("view_job", "view_worker", "cancel_job", "retry_job", "free_job")


def stuck_job() -> Job:
    queue.enqueue("t", {}, principal=SYSTEM, operation="test", incident_id="incident-1", priority=500)
    job = queue.claim(ClaimRequest("worker", ("t",)))
    assert job is not None
    Job.objects.filter(job_id=job.job_id).update(lease_expires_at=timezone.now() - timedelta(hours=1))
    return job


def running_job() -> Job:
    queue.enqueue("t", {}, principal=SYSTEM, operation="test")
    job = queue.claim(ClaimRequest("worker", ("t",)))
    assert job is not None
    return job


def state(job: Job) -> str:
    return str(Job.objects.get(job_id=job.job_id).status)


def test_the_list_filters_by_state_type_and_stuck_without_counting_the_table(operator, django_assert_max_num_queries):
    stuck, running = stuck_job(), running_job()
    for filters, shown in (
        ("", {stuck, running}),
        ("?status__exact=processing", {stuck, running}),
        ("?status__exact=failed", set()),
        ("?job_type=t", {stuck, running}),
        ("?stuck=yes", {stuck}),
        (f"?q={running.job_id}", {running}),
        ("?q=incident-1", {stuck}),
        ("?q=nothing%00", {stuck, running}),
    ):
        with django_assert_max_num_queries(8):
            page = operator.get(LIST + filters).content.decode()
        assert {job for job in (stuck, running) if str(job.job_id) in page} == shown


def test_each_state_is_shown_with_its_number_and_an_unknown_state_finds_nothing(operator, monkeypatch):
    jobs = [stuck_job(), running_job()]
    page = operator.get(LIST).content.decode()
    assert "Processing (2)" in page
    assert "Failed (0)" in page
    assert not any(str(job.job_id) in operator.get(f"{LIST}?status__exact=odd").content.decode() for job in jobs)
    monkeypatch.setattr(paging, "COUNT_UP_TO", 2)
    assert "Processing (2+)" in operator.get(LIST).content.decode()


def test_a_list_ends_at_its_bound_and_says_so(operator, monkeypatch):
    running_job()
    newest = [running_job() for _ in range(2)]
    assert "only the newest are listed" not in operator.get(LIST).content.decode()
    monkeypatch.setattr(paging.BoundedPaginator, "most", 2)
    for filters in ("", "?status__exact=processing"):
        page = operator.get(LIST + filters).content.decode()
        assert "only the newest are listed" in page
        assert all(str(job.job_id) in page for job in newest)


def test_no_facets_are_offered_as_they_would_count_the_table(operator):
    running_job()
    for page in (operator.get(LIST), operator.get(f"{LIST}?_facets=True")):
        assert "Show counts" not in page.content.decode()
        assert "Hide counts" not in page.content.decode()


def test_a_job_is_shown_with_its_attempts_and_no_field_to_edit(operator):
    job = stuck_job()
    page = operator.get(f"{LIST}{job.job_id}/change/").content.decode()
    assert "attempt 1 by worker" in page
    assert 'name="status"' not in page
    assert 'name="_save"' not in page


def test_not_even_a_superuser_can_add_change_or_delete_a_row():
    User.objects.create_superuser("root")
    client = Client()
    client.force_login(User.objects.get(username="root"))
    job = stuck_job()
    assert client.get(f"{LIST}add/").status_code == 403
    assert client.post(f"{LIST}{job.job_id}/change/", {"status": "completed"}).status_code == 403
    assert client.post(f"{LIST}{job.job_id}/delete/", {"post": "yes"}).status_code == 403
    assert state(job) == "processing"


def test_freeing_shows_what_will_change_and_changes_it_only_when_confirmed(operator):
    stuck, running = stuck_job(), running_job()
    chosen = [str(stuck.job_id), str(running.job_id)]
    page = operator.post(LIST, {"action": "free_stuck", "_selected_action": chosen}).content.decode()
    assert f'name="job" value="{stuck.job_id}"' in page
    assert f'name="job" value="{running.job_id}"' not in page
    assert "1 will stay as it is" in page
    assert (state(stuck), Event.objects.count()) == ("processing", 0)
    operator.post(f"{LIST}free_stuck/confirm/", {"job": [str(stuck.job_id)]})
    assert state(stuck) == "queued"
    event = Event.objects.get()
    assert (event.actor, event.action, event.object_id) == ("olga", "job.free", str(stuck.job_id))


def test_a_running_job_is_not_freed_even_when_the_confirmation_names_it(operator):
    running = running_job()
    answer = operator.post(f"{LIST}free_stuck/confirm/", {"job": [str(running.job_id)]}, follow=True)
    assert "state_conflict" in answer.content.decode()
    assert state(running) == "processing"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("action", ["free_stuck", "retry"])
def test_a_job_that_another_connection_holds_with_a_running_lease_is_neither_freed_nor_retried(operator, action):
    """Its holder renews on a connection of its own, before the confirmation and after it, and still completes."""
    queue.enqueue("t", {}, principal=SYSTEM, operation="test")
    claimed, answered = threading.Event(), threading.Event()
    held: list[Job] = []

    def hold() -> None:
        try:
            job = queue.claim(ClaimRequest("elsewhere", ("t",)))
            assert job is not None
            held.append(queue.heartbeat(job))
            claimed.set()
            assert answered.wait(timeout=240)
            queue.complete(queue.heartbeat(job), JobResult({}))
        finally:
            claimed.set()
            connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    assert claimed.wait(timeout=240)
    answer = operator.post(f"{LIST}{action}/confirm/", {"job": [str(held[0].job_id)]}, follow=True)
    assert "state_conflict" in answer.content.decode()
    assert Job.objects.get().lease_token == held[0].lease_token
    answered.set()
    thread.join(timeout=240)
    assert state(held[0]) == "completed"
    assert not Event.objects.exists()


def test_each_action_is_recorded_in_custody(operator):
    job = queue.enqueue("t", {}, principal=SYSTEM, operation="test").job
    for action in ("cancel", "retry", "cancel"):
        operator.post(f"{LIST}{action}/confirm/", {"job": [str(job.job_id)]})
    events = Event.objects.order_by("sequence").values_list("actor", "action", "object_id")
    assert list(events) == [("olga", f"job.{action}", str(job.job_id)) for action in ("cancel", "retry", "cancel")]


def test_cancel_and_retry_go_through_their_confirmations(operator):
    job = queue.enqueue("t", {}, principal=SYSTEM, operation="test").job
    for action, wanted in (("cancel", "cancelled"), ("retry", "queued")):
        page = operator.post(LIST, {"action": action, "_selected_action": [str(job.job_id)]}).content.decode()
        assert str(job.job_id) in page
        operator.post(f"{LIST}{action}/confirm/", {"job": [str(job.job_id)]})
        assert state(job) == wanted


def test_a_viewer_is_offered_no_action_and_refused_one():
    viewer = signed_in("view_job")
    job = stuck_job()
    assert "Free stuck" not in viewer.get(LIST).content.decode()
    answer = viewer.post(f"{LIST}free_stuck/confirm/", {"job": [str(job.job_id)]}, follow=True)
    assert "permission_denied" in answer.content.decode()
    assert state(job) == "processing"


@pytest.mark.parametrize(("action", "job"), [("drop", ""), ("retry", "no-uuid"), ("retry", "\x00")])
def test_a_forged_confirmation_is_a_bad_request(operator, action, job):
    assert operator.post(f"{LIST}{action}/confirm/", {"job": [job]}).status_code == 400
    assert operator.get(f"{LIST}retry/confirm/").status_code == 400


def test_workers_are_listed(operator):
    from jobs.worker_registration import WorkerRegistration

    registration = WorkerRegistration()
    registration.announce()
    assert registration.worker_id in operator.get("/admin/jobs/worker/").content.decode()
