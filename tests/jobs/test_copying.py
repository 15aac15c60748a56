"""A copy of a job: a new request for the same work, by the same service, with all its checks."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from uuid import uuid4

import pytest
from django.urls import reverse

from custody.models import Event
from foundation.principal import SYSTEM
from jobs import duplicate
from jobs.errors import StateConflictError
from jobs.models import Job
from jobs.queue import registry
from jobs.queue.job_result import JobResult
from tests.support import console_rows as rows
from tests.support.console_rows import signed_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("orch")]


@pytest.fixture
def _plain_type() -> Iterator[None]:
    registry.register(registry.JobType(name="plain", title="Plain", phases=("one",), handler=lambda _: JobResult({})))
    yield
    registry.unregister("plain")


def test_the_page_of_an_ended_job_makes_a_copy_and_goes_to_it() -> None:
    analyst = signed_in("analyst")
    payload = {"incident_id": "case-1", "allow_partial": True, "chunk_size_mb": 7, "source": "restored",
               "compression": "gzip"}  # fmt: skip
    job = rows.job("failed", incident_id="case-1", payload=payload, priority=333)
    address = reverse("job-page", args=[job.job_id])
    link = re.search(r'id="do-copy"[^>]*href="([^"]+)"', analyst.get(address).content.decode())
    assert link
    form = analyst.get(html.unescape(link[1])).context["form"]
    assert {name: form[name].value() for name in form.fields} == {
        **{name: str(value) for name, value in payload.items()}, "priority": "333", "allow_partial": "on",
    }  # fmt: skip
    answer = analyst.post(address, {"action": "copy"})
    copy = Job.objects.exclude(job_id=job.job_id).get()
    assert answer["Location"] == reverse("job-page", args=[copy.job_id])
    assert (copy.payload, copy.priority, copy.incident_id, copy.status) == (payload, 333, "case-1", "queued")
    assert copy.requested_by.startswith("analyst-")
    job.refresh_from_db()
    assert job.status == "failed"
    assert list(Event.objects.order_by("sequence").values_list("action", "object_id")) == [
        ("bundle.create", str(copy.job_id)),
        ("job.copy", str(job.job_id)),
    ]


def test_a_second_copy_while_the_first_is_active_is_the_first() -> None:
    analyst = signed_in("analyst")
    job = rows.job("completed", result={"bundle_id": str(uuid4()), "complete": True})
    address = reverse("job-page", args=[job.job_id])
    first = analyst.post(address, {"action": "copy"})
    again = analyst.post(address, {"action": "copy"}, follow=True)
    assert again.redirect_chain[0][0] == first["Location"]
    assert "no second one was started" in again.content.decode()
    assert Event.objects.filter(action="job.copy").count() == 1


def test_a_verification_is_copied_and_a_restore_becomes_a_preview() -> None:
    bundle = rows.bundle()
    checked = rows.job("completed", job_type="bundle_verify", payload={"bundle_id": str(bundle.bundle_id)}, result={})
    assert Job.objects.get(job_id=duplicate.copy(SYSTEM, checked.job_id).job_id).payload == checked.payload
    job_type = registry.get("rehydrate")
    assert job_type.resubmit is not None
    assert job_type.resubmit_needs == "rehydration.restore_bundle"


def test_a_copy_needs_the_permission_for_the_work() -> None:
    job = rows.job("failed")
    viewer = signed_in("viewer")
    address = reverse("job-page", args=[job.job_id])
    assert "do-copy" not in viewer.get(address).content.decode()
    assert viewer.post(address, {"action": "copy"}).status_code == 403
    assert Job.objects.count() == 1


@pytest.mark.usefixtures("_plain_type")
def test_a_type_that_cannot_be_copied_says_so() -> None:
    job = rows.job("completed", job_type="plain")
    assert not duplicate.can_copy(SYSTEM, job)
    with pytest.raises(StateConflictError, match="cannot be copied"):
        duplicate.copy(SYSTEM, job.job_id)


def test_a_job_that_is_still_active_offers_no_copy() -> None:
    assert "do-copy" not in signed_in("analyst").get(
        reverse("job-page", args=[rows.job("processing").job_id])
    ).content.decode()  # fmt: skip
