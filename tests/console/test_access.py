"""Who may come into the console and do what: sign-in, roles, forged forms, and what browsers may keep and run."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import get_resolver, reverse

from bundles.models import Manifest
from bundles.uploads.upload_handler import QuarantineUploadHandler
from orchestrator_site.accounts.sign_in import REFUSED
from tests.support import console_rows as rows

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("orch")]

PASSWORD = "a long enough password"
OUTSIDE = {"sign-in", "sign-out"}


def client_of(role: str, **options: Any) -> Client:
    client = Client(**options)
    client.force_login(rows.user(role, f"{role or 'nobody'}-{uuid4().hex[:6]}"))
    return client


def console_addresses() -> dict[str, str]:
    """Every page of the console with some address of it."""
    some: dict[str, dict[str, Any]] = {
        "incident-page": {"incident_id": "x"},
        "incident-record": {"incident_id": "x", "kind": "event", "position": 0},
        "attack-layer": {"incident_id": "x"},
        "incident-views": {"incident_id": "x"},
        "incident-elsewhere": {"incident_id": "x"},
        "compare-bundles": {"incident_id": "x"},
        "bundle-page": {"bundle_id": uuid4()},
        "job-page": {"job_id": uuid4()},
        "restore-preview": {"job_id": uuid4()},
        "restore-request": {"request_id": uuid4()},
        "public-key": {"key_id": "0" * 64},
        "bundle-certificate": {"bundle_id": uuid4()},
        "bundle-file": {"bundle_id": uuid4(), "place": 0},
        "bundle-file-preview": {"bundle_id": uuid4(), "place": 0},
        "bundle-key": {"bundle_id": uuid4()},
        "verify-file-result": {"job_id": uuid4()},
        "import-preview": {"intake_id": uuid4()},
    }
    included: Any = next(
        part for part in get_resolver().url_patterns if "console.urls" in str(getattr(part, "urlconf_name", ""))
    )
    names = [str(pattern.name) for pattern in included.url_patterns]
    return {name: reverse(name, kwargs=some.get(name)) for name in names if name not in OUTSIDE}


def test_every_page_asks_strangers_to_sign_in_first() -> None:
    addresses = console_addresses()
    assert len(addresses) >= 15
    for address in addresses.values():
        for answer in (Client().get(address), Client().post(address)):
            assert answer.status_code == 302
            assert answer["Location"].startswith(reverse("sign-in"))
            assert answer["Cache-Control"] == "no-store"


def test_a_live_part_sends_its_whole_page_to_sign_in_when_the_session_has_ended() -> None:
    answer = Client().get(reverse("home"), headers={"HX-Request": "true"})
    assert answer.status_code == 204
    assert answer["HX-Refresh"] == "true"


def test_every_failure_to_sign_in_gives_the_same_message() -> None:
    rows.user("viewer", "present", PASSWORD)
    gone = rows.user("viewer", "gone", PASSWORD)
    gone.is_active = False
    gone.save()
    seen = set()
    for name, password in (("present", "wrong"), ("absent", PASSWORD), ("gone", PASSWORD)):
        text = Client().post(reverse("sign-in"), {"username": name, "password": password}).content.decode()
        assert REFUSED in text
        seen.add(text.count("notice bad"))
    assert seen == {1}


def test_sign_in_leads_to_the_page_that_was_wanted_and_to_no_other_site() -> None:
    rows.user("viewer", "present", PASSWORD)
    form = {"username": "present", "password": PASSWORD}
    wanted = reverse("jobs-page")
    assert Client().post(reverse("sign-in"), {**form, "next": wanted})["Location"] == wanted
    assert Client().post(reverse("sign-in"), {**form, "next": "https://evil.example/"})["Location"] == reverse("home")


def test_sign_in_names_the_environment(settings: Any) -> None:
    settings.ORCH_ENVIRONMENT_NAME = "training, host-b"
    assert "training, host-b" in Client().get(reverse("sign-in")).content.decode()


def test_signing_out_needs_a_form_not_a_link() -> None:
    client = client_of("viewer")
    assert client.get(reverse("sign-out")).status_code == 405
    assert client.post(reverse("sign-out")).status_code == 302
    assert client.get(reverse("home")).status_code == 302


def test_a_viewer_sees_everything_and_is_offered_nothing_to_change() -> None:
    bundle = rows.bundle()
    Manifest.objects.create(bundle=bundle, raw=b'{"files": []}')
    running, failed = rows.job("processing"), rows.job("failed")
    rows.job("processing", lease_s=-50)
    viewer = client_of("viewer")
    for address in (
        reverse("home"), reverse("jobs-page") + "?status=stuck", reverse("job-page", args=[running.job_id]),
        reverse("job-page", args=[failed.job_id]), reverse("bundle-page", args=[bundle.bundle_id]),
        reverse("bundles-page"), reverse("incident-page", args=[rows.INCIDENT]),
    ):  # fmt: skip
        answer = viewer.get(address)
        assert answer.status_code == 200
        text = answer.content.decode()
        for words in (
            "Bundle an incident",
            "Import a collection",
            "Cancel job",
            "Retry job",
            ">Free ",
            "Verify now",
            "Restore…",
            "Download</a>",
        ):
            assert words not in text, (address, words)


@pytest.mark.parametrize("role", ["viewer", "analyst"])
def test_what_a_role_may_not_do_is_refused_with_a_page(role: str) -> None:
    job, restore = rows.job(), rows.restore_job()
    client = client_of(role)
    posts: list[tuple[str, dict[str, Any]]] = [
        (reverse("job-page", args=[job.job_id]), {"action": "cancel"}),
        (reverse("jobs-batch"), {"action": "cancel", "job": f"{job.job_id}.queued.0"}),
        (reverse("worker-drain"), {"worker": "any"}),
        (reverse("restore"), {"bundle_id": str(uuid4())}),
        (reverse("restore-preview", args=[restore.job_id]), {"incident_id": rows.INCIDENT}),
    ]
    if role == "viewer":
        posts.append((reverse("new-bundle"), {"incident_id": "x"}))
        posts.append((reverse("import-page"), {}))
        posts.append((reverse("bundle-page", args=[rows.bundle().bundle_id]), {}))
        posts.append((reverse("bundles-batch"), {"bundle": str(rows.bundle("other").bundle_id)}))
    for_analysts = {address for address, _ in posts[5:]}
    for address, form in posts:
        answer = client.post(address, form)
        assert answer.status_code == 403
        assert "Your role does not allow this" in answer.content.decode()
        needed = "operator or admin" if address not in for_analysts else "analyst, operator or admin"
        assert f"({role}). This needs the role {needed}:" in answer.content.decode()
    job.refresh_from_db()
    assert job.status == "queued"


def test_someone_without_a_role_sees_no_evidence() -> None:
    job = rows.job("failed", error_message="secret evidence")
    nobody = client_of("")
    assert "secret evidence" not in nobody.get(reverse("home")).content.decode()
    for address in (reverse("jobs-page"), reverse("job-page", args=[job.job_id]), reverse("custody-page"),
                    reverse("bundles-page"), reverse("incidents-page"), reverse("workers-page")):  # fmt: skip
        assert nobody.get(address).status_code == 403


def test_a_form_from_elsewhere_is_refused_in_house_style() -> None:
    job = rows.job()
    operator = client_of("operator", enforce_csrf_checks=True)
    answer = operator.post(reverse("job-page", args=[job.job_id]), {"action": "cancel"})
    assert answer.status_code == 403
    assert "This form has expired" in answer.content.decode()
    job.refresh_from_db()
    assert job.status == "queued"


def test_an_upload_larger_than_allowed_is_not_even_read(settings: Any) -> None:
    settings.ORCH_MAX_UPLOAD_BYTES = 1000
    file = SimpleUploadedFile("big.tar.zst", b"x" * 5000)
    answer = client_of("operator").post(reverse("restore"), {"bundle_file": file})
    assert answer.status_code == 413
    assert "ORCH_MAX_UPLOAD_MB" in answer.content.decode()


def test_an_uploaded_bundle_goes_to_quarantine_and_to_a_preview(orch: Any) -> None:
    file = SimpleUploadedFile("from elsewhere.tar.zst", b"not a bundle, but that is for the job to find out")
    answer = client_of("operator").post(reverse("restore"), {"bundle_file": file}, follow=True)
    assert answer.redirect_chain
    text = answer.content.decode()
    assert "Preview of a restore" in text
    assert "Queued" in text


def test_choosing_nothing_to_restore_says_so() -> None:
    answer = client_of("operator").post(reverse("restore"), follow=True)
    assert "Choose a bundle from the list" in answer.content.decode()


def test_pages_carry_a_policy_that_forbids_inline_and_foreign_code() -> None:
    answer = client_of("viewer").get(reverse("home"))
    policy = answer["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["X-Content-Type-Options"] == "nosniff"


def test_an_error_page_stands_without_database_or_user() -> None:
    from django.template.loader import render_to_string

    for name in ("400.html", "403.html", "404.html", "500.html", "403_csrf.html"):
        text = render_to_string(name)
        assert "Is the evidence safe?" in text
        assert "style=" not in text


def test_while_a_form_uploads_its_file_grows_in_quarantine_and_nowhere_else(orch: Any) -> None:
    handler = QuarantineUploadHandler()
    handler.new_file("bundle_file", "../../evil.tar.zst", "application/zstd", 5)
    handler.receive_data_chunk(b"hello", 0)
    [part] = (orch.output_dir / ".quarantine").iterdir()
    assert part.suffix == ".part"
    assert "evil" not in part.name
    assert handler.file_complete(5).read() == b"hello"
    handler.upload_interrupted()
    assert not part.exists()
