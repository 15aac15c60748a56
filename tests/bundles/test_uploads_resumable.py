"""Resumable uploads: only the owner adds to them, only at their end, and interrupted uploads continue."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from bundles.errors import StorageFullError, UploadNotFoundError, UploadOffsetError, UploadTooLargeError
from bundles.storage import bundle_files
from bundles.uploads import quarantine, resumable
from custody import chain
from custody.models import Event
from foundation.errors import AccessDeniedError
from foundation.principal import Principal
from jobs.models import Job
from tests.bundles.test_uploads import WEEK_S, grow_old
from tests.support.console_evidence import evidence, text_of
from tests.support.console_rows import signed_in
from tests.support.main_job import bundle, change_a_byte, files_of, finished, path_of, run_to_its_end

__all__ = ["evidence"]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("orch")]

RIGHT = frozenset({"bundles.verify_bundle"})
ANNA = Principal(name="anna", authenticated_by="session", permissions=RIGHT)
BERT = Principal(name="bert", authenticated_by="session", permissions=RIGHT)
CONTENT = bytes(range(256)) * 100


def send(ticket: str, raw: bytes, at: int = 0, who: Principal = ANNA) -> int:
    return resumable.append(who, ticket, at, io.BytesIO(raw))


class BreaksOff:
    """A body whose connection breaks after its first block."""

    def __init__(self, raw: bytes) -> None:
        self.blocks = [raw]

    def read(self, _size: int, /) -> bytes:
        if not self.blocks:
            raise ConnectionResetError
        return self.blocks.pop()


def in_quarantine(orch: Any) -> list[str]:
    return [Path(name).suffix for name in files_of(orch.output_dir)]


def test_pieces_become_one_file_that_a_job_verifies(orch) -> None:
    ticket = resumable.begin(ANNA, "case.tar.zst", len(CONTENT))
    assert resumable.offset(ANNA, ticket) == 0
    here = send(ticket, CONTENT[:1000])
    assert (here, resumable.offset(ANNA, ticket)) == (1000, 1000)
    assert send(ticket, CONTENT[1000:], 1000) == len(CONTENT)
    job = resumable.finish(ANNA, ticket)
    kept = bundle_files.output_dir() / job.payload["bundle_path"]
    assert kept.read_bytes() == CONTENT
    result = finished(job)
    assert result["report"]["verified"] is False
    assert result["report"]["error"]["code"] == "not_a_bundle"
    assert result["report"]["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    events = list(Event.objects.order_by("sequence").values_list("action", "outcome", "digest"))
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert events == [("bundle.upload", "ok", ""), ("upload.verify_failed", "not_a_bundle", digest)]
    assert chain.verify().intact


def test_a_sound_bundle_from_elsewhere_is_verified_and_known_when_we_hold_it(orch, evidence) -> None:
    made = bundle("plain")
    raw = path_of(made).read_bytes()
    ticket = resumable.begin(ANNA, "\u202ecopy\x00.tar.zst", len(raw))
    send(ticket, raw)
    result = finished(resumable.finish(ANNA, ticket))
    assert (result["report"]["verified"], result["held"]) == (True, str(made.bundle_id))
    assert result["report"]["incident_id"] == "plain"
    event = Event.objects.get(action="upload.verified")
    assert (event.incident_id, event.digest, event.actor) == ("plain", made.sha256, "anna")


def test_an_interrupted_upload_continues_where_it_stopped() -> None:
    ticket = resumable.begin(ANNA, "x", len(CONTENT))
    with pytest.raises(ConnectionResetError):
        resumable.append(ANNA, ticket, 0, BreaksOff(CONTENT[:700]))
    assert resumable.offset(ANNA, ticket) == 700
    assert send(ticket, CONTENT[700:], 700) == len(CONTENT)
    kept = bundle_files.output_dir() / resumable.finish(ANNA, ticket).payload["bundle_path"]
    assert kept.read_bytes() == CONTENT


@pytest.mark.parametrize("at", [0, 999, 1001, 2**52])
def test_a_piece_with_a_wrong_offset_changes_nothing(at: int) -> None:
    ticket = resumable.begin(ANNA, "x", len(CONTENT))
    send(ticket, CONTENT[:1000])
    with pytest.raises(UploadOffsetError) as refused:
        send(ticket, CONTENT[1000:2000], at)
    assert refused.value.offset == 1000
    assert resumable.offset(ANNA, ticket) == 1000


def test_more_than_was_announced_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    ticket = resumable.begin(ANNA, "x", 10)
    with pytest.raises(UploadOffsetError):
        send(ticket, b"eleven bytes")
    assert resumable.offset(ANNA, ticket) == 0
    monkeypatch.setattr(resumable, "PIECE_BYTES", 5)
    with pytest.raises(UploadOffsetError):
        send(ticket, b"sixsix")


def test_a_second_piece_waits_until_the_first_is_written() -> None:
    ticket = resumable.begin(ANNA, "x", 10)

    class Meanwhile:
        said = False

        def read(self, _size: int, /) -> bytes:
            if self.said:
                return b""
            self.said = True
            with pytest.raises(UploadOffsetError):
                send(ticket, b"other")
            return b"first"

    assert resumable.append(ANNA, ticket, 0, Meanwhile()) == 5


def test_only_the_owner_with_a_valid_ticket_sees_an_upload() -> None:
    ticket = resumable.begin(ANNA, "x", 10)
    for who, shown in ((BERT, ticket), (ANNA, ticket[:-1]), (ANNA, ""), (ANNA, "a:b:c")):
        with pytest.raises(UploadNotFoundError):
            resumable.offset(who, shown)
    with pytest.raises(AccessDeniedError):
        resumable.offset(Principal(name="anna", authenticated_by="session"), ticket)


def test_an_unfinished_upload_is_not_verified_and_a_finished_one_once() -> None:
    ticket = resumable.begin(ANNA, "x", 10)
    send(ticket, b"01234")
    with pytest.raises(UploadOffsetError) as refused:
        resumable.finish(ANNA, ticket)
    assert refused.value.offset == 5
    assert not Job.objects.exists()
    send(ticket, b"56789", 5)
    assert resumable.finish(ANNA, ticket) == resumable.finish(ANNA, ticket)
    assert resumable.offset(ANNA, ticket) == 10
    assert Event.objects.filter(action="bundle.upload").count() == 1


def test_an_upload_that_cannot_be_accepted_is_refused_at_its_beginning(orch, settings, monkeypatch) -> None:
    with pytest.raises(AccessDeniedError):
        resumable.begin(Principal(name="v", authenticated_by="session"), "x", 1)
    settings.ORCH_MAX_UPLOAD_BYTES = 100
    with pytest.raises(UploadTooLargeError):
        resumable.begin(ANNA, "x", 101)
    monkeypatch.setattr(bundle_files, "room", lambda: 50)
    with pytest.raises(StorageFullError):
        resumable.begin(ANNA, "x", 51)
    assert in_quarantine(orch) == []


def test_an_abandoned_upload_is_swept_and_one_that_a_job_needs_is_not(orch) -> None:
    abandoned = resumable.begin(ANNA, "x", 10)
    needed = resumable.begin(ANNA, "y", 2)
    send(needed, b"ab")
    resumable.finish(ANNA, needed)
    for file in (orch.output_dir / ".quarantine").iterdir():
        grow_old(file, WEEK_S + 60)
    assert quarantine.sweep() == 1
    assert in_quarantine(orch) == [".bundle"]
    with pytest.raises(UploadNotFoundError):
        resumable.offset(ANNA, abandoned)


def test_the_job_of_a_missing_upload_fails_with_an_explanation(orch) -> None:
    ticket = resumable.begin(ANNA, "x", 1)
    send(ticket, b"x")
    job = resumable.finish(ANNA, ticket)
    (bundle_files.output_dir() / job.payload["bundle_path"]).unlink()
    done = run_to_its_end(job)
    assert (done.status, done.error_code) == ("failed", "upload_gone")
    text = text_of(signed_in("analyst").get(reverse("verify-file-result", args=[job.job_id])))
    assert "The uploaded file is missing" in text


def begun(client: Client, size: int) -> dict[str, str]:
    answer = client.post(reverse("verify-file-begin"), {"name": "x.tar.zst", "size": str(size)})
    return {"Upload-Ticket": answer.json()["ticket"]}


def test_over_http_a_wrong_offset_is_409_and_returns_the_right_one() -> None:
    client, address = signed_in("analyst"), reverse("verify-file-upload")
    ticket = begun(client, 6)
    raw = "application/octet-stream"
    assert client.put(address, b"abc", raw, headers={**ticket, "Upload-Offset": "0"}).json() == {"offset": 3}
    wrong = client.put(address, b"abc", raw, headers={**ticket, "Upload-Offset": "0"})
    assert (wrong.status_code, wrong.json()["offset"], wrong.json()["code"]) == (409, 3, "upload_offset")
    assert client.get(address, headers=ticket).json() == {"offset": 3}
    early = client.post(address, headers=ticket)
    assert (early.status_code, early.json()["offset"]) == (409, 3)
    client.put(address, b"def", raw, headers={**ticket, "Upload-Offset": "3"})
    shown = client.post(address, headers=ticket).json()["address"]
    assert client.get(shown).status_code == 200


@pytest.mark.parametrize("name", ["verify-file-begin", "verify-file-upload", "verify-file-send"])
def test_a_viewer_and_a_forged_form_get_nowhere(name: str) -> None:
    assert signed_in("viewer").post(reverse(name)).status_code == 403
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = signed_in("analyst").cookies
    assert strict.post(reverse(name), {"name": "x", "size": "1"}).status_code == 403
    assert strict.put(reverse("verify-file-upload"), b"x").status_code == 403


def test_a_plain_form_is_verified_too(orch, evidence) -> None:
    made, client = bundle("plain"), signed_in("operator")
    change_a_byte(path_of(made))
    raw = path_of(made).read_bytes()
    given = SimpleUploadedFile("<b>\u202egnp.tar.zst", raw)
    answer = client.post(reverse("verify-file-send"), {"bundle_file": given})
    assert answer.status_code == 302
    before = text_of(client.get(answer["Location"]))
    assert "There is no verdict until that has ended" in before
    assert "hx-get" in before
    assert "<html" not in text_of(client.get(answer["Location"], headers={"HX-Request": "true"}))
    run_to_its_end(Job.objects.get(job_type="upload_verify"))
    text = text_of(client.get(answer["Location"]))
    assert "Not verified: do not use" in text
    assert "hx-get" not in text
    assert "\u202e" not in text
    assert "&lt;b&gt;" in text
    assert "Preview a restore" not in text
    assert json.loads(Event.objects.filter(action="bundle.upload").get().details)["size"] == len(raw)
