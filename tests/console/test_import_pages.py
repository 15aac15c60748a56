"""The pages of a job and a bundle that come from an imported file, whatever the file is called."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse

from bundles.intake import services
from bundles.models import Bundle
from foundation.principal import SYSTEM
from jobs.models import Job
from tests.bundles.intake.test_import import delivered
from tests.support.console_rows import signed_in
from tests.support.main_job import finished

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("orch")]

HOSTILE = "<script>alert(1)</script>\u202egpj.csv"


def text_of(answer: Any) -> str:
    assert answer.status_code == 200
    text = answer.content.decode()
    assert "<script>alert" not in text
    assert "\u202e" not in text
    return str(text)


def test_a_job_and_a_bundle_of_an_import_name_the_file_and_the_job_is_copied_while_the_file_is_there():
    operator = signed_in("operator")
    intake = delivered(b"a,b\n1,2\n", HOSTILE)
    job = services.request_bundle(SYSTEM, intake.intake_id, incident_id="import-1").job
    made = Bundle.objects.get(bundle_id=finished(job)["bundle_id"])
    page = reverse("job-page", args=[job.job_id])
    shown = text_of(operator.get(page))
    assert "Imported file" in shown
    assert "&lt;script&gt;" in shown
    assert 'name="action" value="copy"' in " ".join(shown.split())
    text_of(operator.get(reverse("job-page", args=[intake.preview_job_id])))
    text_of(operator.get(reverse("jobs-page")))
    assert "an imported file" in text_of(operator.get(reverse("bundle-page", args=[made.bundle_id])))
    text_of(operator.get(reverse("incident-page", args=["import-1"])))
    copied = operator.post(page, {"action": "copy"})
    assert copied.status_code == 302
    again = Job.objects.filter(job_type="bundle_create").latest("created_at")
    assert (copied["Location"], again.payload) == (reverse("job-page", args=[again.job_id]), job.payload)
    finished(again)
    services.discard(SYSTEM, intake.intake_id)
    gone = operator.post(page, {"action": "copy"})
    assert gone.status_code == 404
    assert "There is no such delivered file here." in gone.content.decode(), gone.content.decode()[-1500:]
    assert "an imported file" in text_of(operator.get(reverse("bundle-page", args=[made.bundle_id])))
