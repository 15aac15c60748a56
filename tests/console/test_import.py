"""Import a collection in the console: choose, preview, bundle; and where its records came from."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from bundles.console.import_pages import DISCARDED, NOTHING_CHOSEN
from bundles.intake import store
from bundles.models import Bundle, Intake, IntakeMapping
from custody.models import Event
from jobs.models import Job
from tests.bundles.intake.test_archives_zip import aes_zip
from tests.bundles.intake.test_formats import EVE, lines
from tests.bundles.intake.test_import import zipped
from tests.support import console_rows as rows
from tests.support import main_job

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("orch")]

TABLE = b"When,What,Box\n2024-01-02 03:04:05Z,Opened,DC01\n"


@pytest.fixture
def analyst() -> Client:
    return rows.signed_in("analyst")


def text_of(answer: Any) -> str:
    """A page's text as a person reads it."""
    plain = re.sub(r"<(script|style)\b.*?</\1>|<[^>]+>", " ", answer.content.decode(), flags=re.DOTALL)
    return " ".join(html.unescape(plain).split())


def sent(client: Client, content: bytes, name: str) -> str:
    """Send a file by the plain form; the address of its preview."""
    answer = client.post(reverse("import-page"), {"file": SimpleUploadedFile(name, content)})
    assert answer.status_code == 302
    return str(answer["Location"])


def read(client: Client, content: bytes, name: str) -> str:
    """Send a file and have it read; the address of its preview."""
    address = sent(client, content, name)
    run(intake_of(address).preview_job_id)
    return address


def run(job_id: Any) -> Job:
    """Run a job to its end."""
    job = Job.objects.get(job_id=job_id)
    main_job.finished(job)
    job.refresh_from_db()
    return job


def intake_of(address: str) -> Intake:
    return Intake.objects.get(intake_id=address.rstrip("/").rsplit("/", 1)[-1])


def choice(client: Client, address: str, **chosen: str) -> dict[str, str]:
    """The fields of a choice of columns: ours → a column's name."""
    page = client.get(address).content.decode()
    places = {name: place for place, name in re.findall(r'<option value="(\d+)"[^>]*>([^<]+)</option>', page)}
    return {f"map-{ours}": places[column] for ours, column in chosen.items()}


def made(client: Client, address: str, **fields: str) -> Bundle:
    """Press *Make the bundle*; the bundle."""
    form = {"incident_id": "import-1", "action": "make", **fields}
    answer = client.post(address, form)
    assert answer.status_code == 302
    run(answer["Location"].rsplit("/", 1)[-1])
    bundle_id = intake_of(address).bundle_id
    assert bundle_id
    return Bundle.objects.get(bundle_id=bundle_id)


def test_without_javascript_a_file_is_sent_shown_and_bundled_in_two_forms(analyst: Client) -> None:
    assert reverse("import-page") in analyst.get(reverse("home")).content.decode()
    content = lines(EVE | {"alert": {"signature": "ET SCAN", "severity": 1}}, EVE)
    address = sent(analyst, content, "eve of host 3.json")
    assert "waits for a worker to read it" in text_of(analyst.get(address))
    run(intake_of(address).preview_job_id)
    page = analyst.get(address).content.decode()
    shown = text_of(analyst.get(address))
    for words in ("Suricata eve.json", "0 events, 2 alerts, 1 artifact", "ET SCAN", "Suricata 1", "line 2"):
        assert words in shown
    assert 'value="eve-of-host-3"' in page
    assert "hx-get" not in page
    bundle = made(analyst, address)
    assert (bundle.source, bundle.complete) == ("intake", True)
    assert "Imported file eve of host 3.json" in text_of(analyst.get(reverse("bundle-page", args=[bundle.bundle_id])))
    assert "Bundled as incident import-1" in text_of(analyst.get(address))


def test_the_script_sends_a_file_in_pieces_and_is_led_to_its_preview(analyst: Client) -> None:
    content = lines(EVE)
    begun = analyst.post(reverse("import-begin"), {"name": "eve.json", "size": len(content)}).json()
    ticket = {"Upload-Ticket": begun["ticket"]}
    piece = {**ticket, "Upload-Offset": "0"}
    upload = reverse("import-upload")
    answer = analyst.put(upload, content, content_type="application/octet-stream", headers=piece)
    assert answer.json() == {"offset": len(content)}
    first, again = (analyst.post(upload, headers=ticket).json()["address"] for _ in range(2))
    assert first == again
    assert intake_of(first).name == "eve.json"
    assert Intake.objects.count() == 1


def test_a_record_leads_to_the_member_that_it_was_read_from(analyst: Client) -> None:
    address = read(analyst, zipped(a__bin=b"x", logs__eve=b"", **{"logs__eve.json": lines(EVE, EVE)}), "c.zip")
    bundle = made(analyst, address)
    page = analyst.get(reverse("incident-record", args=["import-1", "alert", 1])).content.decode()
    found = re.search(r'line <bdi>2</bdi> of\s*<a href="([^"]+)"', page)
    assert found
    listed = text_of(analyst.get(html.unescape(found[1]).partition("#")[0]))
    assert str(bundle.bundle_id) in found[1]
    assert "Artifacts: 1 matching" in listed
    assert "logs/eve.json" in listed


def test_a_record_of_another_source_that_claims_to_be_imported_leads_nowhere(analyst: Client) -> None:
    from tests.support import console_scenes_evidence as evidence

    [incident_id, kind, position] = evidence.record(7)
    page = text_of(analyst.get(reverse("incident-record", args=[incident_id, kind, position])))
    assert "Read from" not in page


def test_the_contents_of_a_bundle_state_what_is_odd_about_a_member(analyst: Client) -> None:
    bundle = made(analyst, read(analyst, zipped(**{"../out.txt": b"x"}), "odd.zip"))
    odd = bundle.artifacts.get(artifact_id="m000001").faults
    assert odd
    assert odd.splitlines()[0] in text_of(analyst.get(reverse("bundle-page", args=[bundle.bundle_id])))


def test_columns_are_chosen_previewed_saved_and_used_again(analyst: Client) -> None:
    address = read(analyst, TABLE, "table.csv")
    assert "of no known kind" in text_of(analyst.get(address))
    columns = choice(analyst, address, timestamp="When", title="What", host="Box")
    answer = analyst.post(address, {"incident_id": "x", "action": "save", "save_as": "ours", **columns}, follow=True)
    assert "Saved as ours." in text_of(answer)
    assert IntakeMapping.objects.get().mapping == {"timestamp": "When", "title": "What", "host": "Box"}
    run(intake_of(address).preview_job_id)
    shown = text_of(analyst.get(address))
    assert "1 event, 0 alerts" in shown
    assert "When : 2024-01-02 03:04:05Z" in shown
    other = read(analyst, TABLE, "other.csv")
    assert analyst.post(other, {"incident_id": "x", "action": "use", "saved": "ours"}).status_code == 302
    run(intake_of(other).preview_job_id)
    assert "dc01" in text_of(analyst.get(other)).lower()
    made(analyst, other)
    job_id = intake_of(other).job_id
    assert job_id
    asked = Job.objects.get(job_id=job_id).payload["intake"]
    assert (asked["mapping_name"], asked["mapping"]["title"]) == ("ours", "What")


def test_a_choice_is_not_saved_under_a_name_that_is_none(analyst: Client) -> None:
    address = read(analyst, TABLE, "table.csv")
    form = {"incident_id": "kept as typed", "action": "save", "save_as": "../x"}
    answer = analyst.post(address, {**form, **choice(analyst, address, title="What")})
    assert answer.status_code == 400
    page = answer.content.decode()
    assert 'value="kept as typed"' in page
    assert re.search(r'<option value="1" selected>\s*What', page)
    assert not IntakeMapping.objects.exists()


def test_an_invalid_incident_id_starts_nothing(analyst: Client) -> None:
    address = read(analyst, TABLE, "table.csv")
    answer = analyst.post(address, {"incident_id": "../etc", "action": "make"})
    assert answer.status_code == 400
    assert "Nothing was started" in text_of(answer)
    assert intake_of(address).job_id is None


def test_an_encrypted_archive_is_read_with_a_password_that_no_page_shows(analyst: Client) -> None:
    address = read(analyst, aes_zip(b"hello", b"secret evidence"), "sealed.zip")
    page = analyst.get(address).content.decode()
    assert re.search(r'<input id="id_password"[^>]*type="password"[^>]*autocomplete="off"', page)
    for password, words in (
        ("wrong", "The password that was given did not work."),
        ("hello", "read with the password"),
    ):
        analyst.post(address, {"incident_id": "x", "action": "preview", "password": password})
        run(intake_of(address).preview_job_id)
        answer = analyst.get(address)
        assert words in text_of(answer)
        assert f'value="{password}"' not in answer.content.decode()
    refused = analyst.post(address, {"incident_id": "../etc", "action": "make", "password": "hello"})
    assert 'value="hello"' not in refused.content.decode()
    assert made(analyst, address, password="hello").complete  # of a test


def test_an_archive_that_is_refused_says_why_and_can_be_bundled_all_the_same(analyst: Client) -> None:
    address = read(analyst, zipped(a=b"x" * 100)[:-30], "cut.zip")
    shown = text_of(analyst.get(address))
    assert "Not opened as an archive" in shown
    assert "archive_damaged" in shown
    assert made(analyst, address).files


def test_a_discarded_file_is_gone_and_stays_in_custody(analyst: Client) -> None:
    address = read(analyst, TABLE, "table.csv")
    intake = intake_of(address)
    assert DISCARDED in text_of(analyst.post(address, {"action": "discard"}, follow=True))
    assert analyst.get(address).status_code == 404
    assert not store.folder_of(intake.intake_id).exists()
    assert Event.objects.filter(action="intake.discard", digest=intake.sha256).count() == 1


def test_choosing_nothing_says_so(analyst: Client) -> None:
    assert NOTHING_CHOSEN in text_of(analyst.post(reverse("import-page"), follow=True))


def test_a_viewer_is_refused_every_page_of_imports() -> None:
    viewer = rows.signed_in("viewer")
    address = read(rows.signed_in("analyst"), TABLE, "table.csv")
    for name in ("import-page", "imports-csv", "import-begin", "import-upload"):
        assert viewer.get(reverse(name)).status_code == 403
    assert viewer.get(address).status_code == 403
    assert viewer.post(address, {"action": "discard"}).status_code == 403
    assert intake_of(address).state == "received"


def test_the_list_as_csv_has_no_formula(analyst: Client) -> None:
    sent(analyst, b"x", "=cmd().csv")
    body = b"".join(analyst.get(reverse("imports-csv")).streaming_content).decode()  # type: ignore[attr-defined]
    assert "'=cmd().csv" in body


def test_the_job_that_reads_and_the_job_that_bundles_lead_back_to_the_import(analyst: Client) -> None:
    address = read(analyst, TABLE, "table.csv")
    made(analyst, address)
    intake = intake_of(address)
    for job_id in (intake.preview_job_id, intake.job_id):
        assert address in analyst.get(reverse("job-page", args=[job_id])).content.decode()
