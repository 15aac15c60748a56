"""`manage.py orch_intake` copies files in and queues their bundles; it names what it cannot take."""

from __future__ import annotations

import os
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from bundles.intake import mappings, store
from bundles.models import Bundle, Intake
from foundation.principal import SYSTEM
from jobs.models import Job
from jobs.queue import queue
from tests.support import main_job

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("orch")]


def intake(*arguments: str) -> tuple[int, str, str]:
    """The command's exit code, what it prints, and its complaints."""
    out, errors = StringIO(), StringIO()
    try:
        call_command("orch_intake", *arguments, stdout=out, stderr=errors)
    except SystemExit as left:
        return int(str(left.code)), out.getvalue(), errors.getvalue()
    return 0, out.getvalue(), errors.getvalue()


def file_at(path: Path, content: bytes = b"a,b\n1,2\n") -> Path:
    path.write_bytes(content)
    return path


def test_each_file_is_copied_and_queued_under_an_id_made_from_its_name(tmp_path):
    files = [file_at(tmp_path / "Host 7.zip"), file_at(tmp_path / "\u202eevil\n.csv")]
    before = [(file.read_bytes(), file.stat()[:7]) for file in files]
    code, said, complaints = intake(*map(str, files))
    first, second = Job.objects.filter(job_type="bundle_create").order_by("created_at")
    assert (code, complaints) == (0, "")
    assert said.splitlines() == [
        f"{files[0]}: incident Host-7, job {first.job_id} queued",
        f"{tmp_path}/\\u202eevil\\n.csv: incident evil, job {second.job_id} queued",
    ]
    assert [(file.read_bytes(), file.stat()[:7]) for file in files] == before
    main_job.finished(first)
    assert Bundle.objects.get().incident_id == "Host-7"


def test_what_cannot_be_taken_is_named_and_the_rest_is(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    good, nameless = file_at(tmp_path / "good.csv"), file_at(tmp_path / "!!!.csv")
    code, said, complaints = intake(*map(str, (tmp_path / "missing", tmp_path / "pipe", tmp_path, nameless, good)))
    assert (code, said.count("queued")) == (1, 1)
    assert [line.rsplit(": ", 1)[1] for line in complaints.splitlines()] == [
        "No such file or directory",
        "It is not a regular file.",
        "It is not a regular file.",
        "No incident id can be made from its name. Give one with --incident-id. (incident_id_invalid)",
    ]
    assert Intake.objects.get().name == "good.csv"


def test_a_refused_bundle_leaves_no_delivered_file(tmp_path):
    code, said, complaints = intake(str(file_at(tmp_path / "a.csv")), "--incident-id", "../x")
    assert (code, said) == (1, "")
    assert "(incident_id_invalid)" in complaints
    made = Intake.objects.get()
    assert (made.state, store.folder_of(made.intake_id).exists()) == ("discarded", False)


def test_kind_mapping_and_password_reach_the_job_and_the_password_only_its_file(tmp_path):
    mappings.save(SYSTEM, "siem", {"title": "a"})
    secret = file_at(tmp_path / "pw", b"s3cret words\r\nsecond line\n")
    code, *_ = intake(
        str(file_at(tmp_path / "a.csv")), "--incident-id", "case-1", "--mapping", "siem", "--password-file", str(secret)
    )
    asked: dict[str, Any] = Job.objects.get(job_type="bundle_create").payload
    assert (code, asked["incident_id"], asked["intake"]["mapping"]) == (0, "case-1", {"title": "a"})
    assert "s3cret" not in str(list(Job.objects.values_list("payload", flat=True)))
    assert (store.folder_of(Intake.objects.get().intake_id) / "password").read_text() == "s3cret words"
    for wrong in (["--mapping", "nope"], ["--password-file", str(tmp_path / "none")], ["--kind", "nope"]):
        with pytest.raises(CommandError):
            intake(str(tmp_path / "a.csv"), *wrong)
    assert Intake.objects.count() == 1


def test_waiting_says_what_became_of_each_bundle(tmp_path, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: [main_job.run_to_its_end(job) for job in waiting()])
    code, said, _ = intake(str(file_at(tmp_path / "a.csv")), "--wait")
    made = Bundle.objects.get()
    assert (code, said.splitlines()[1]) == (0, f"{tmp_path}/a.csv: bundle {made.bundle_id}, {made.name}")
    monkeypatch.setattr("time.sleep", lambda _: [queue.cancel(job.job_id) for job in waiting()])
    code, _, complaints = intake(str(file_at(tmp_path / "b.csv")), "--wait")
    assert (code, complaints) == (1, f"{tmp_path}/b.csv: cancelled\n")


def waiting() -> list[Job]:
    return list(Job.objects.filter(job_type="bundle_create", status="queued"))
