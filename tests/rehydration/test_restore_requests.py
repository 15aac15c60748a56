"""Who may not restore asks an operator: the request, its states, who sees it, and its lines in custody."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.timezone import now
from knox.models import AuthToken

from bundles.errors import BundleNotFoundError
from bundles.models import Bundle
from custody.models import Event
from foundation.errors import AccessDeniedError, InvalidRequestError
from foundation.principal import SYSTEM, Principal
from jobs.models import Job
from orchestrator_site.accounts.roles import permissions_of
from rehydration import restore_requests, services
from rehydration.errors import RestoreRequestDecidedError, RestoreRequestError, RestoreRequestNotFoundError
from rehydration.models import RestoreRequest
from tests.support import console_rows as rows
from tests.support import console_scenes as scenes
from tests.support.rehydration_incident import INCIDENT, Incident, run

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("orch")]


def person(role: str, name: str = "") -> Principal:
    return Principal(name=name or role, authenticated_by="session", permissions=permissions_of(role))


ANALYST, OPERATOR, VIEWER = person("analyst"), person("operator"), person("viewer")


def client_of(role: str, name: str = "") -> Client:
    client = Client()
    client.force_login(rows.user(role, name or role))
    return client


def test_asking_twice_is_one_request_with_one_line_in_custody() -> None:
    bundle = rows.bundle()
    first = restore_requests.ask(ANALYST, bundle_id=bundle.bundle_id, note=" for the drill ")
    again = restore_requests.ask(ANALYST, bundle_id=bundle.bundle_id)
    assert (first.created, again.created) == (True, False)
    assert first.request.pk == again.request.pk
    assert (first.request.incident_id, first.request.note) == (bundle.incident_id, "for the drill")
    event = Event.objects.get()
    assert (event.action, event.actor, event.object_id) == ("restore_request.ask", "analyst", str(bundle.bundle_id))
    assert not Job.objects.exists(), "asking restores nothing"


def test_what_cannot_be_asked_leaves_nothing() -> None:
    bundle, lost = rows.bundle(), rows.bundle(state="lost")
    refused: list[tuple[type[Exception], Principal, Any, str]] = [
        (AccessDeniedError, VIEWER, bundle.bundle_id, ""),
        (BundleNotFoundError, ANALYST, uuid4(), ""),
        (RestoreRequestError, ANALYST, lost.bundle_id, ""),
        (RestoreRequestError, ANALYST, bundle.bundle_id, "x" * (restore_requests.MAX_TEXT_CHARS + 1)),
        (InvalidRequestError, ANALYST, bundle.bundle_id, "\x00"),
    ]
    for kind, principal, bundle_id, note in refused:
        with pytest.raises(kind):
            restore_requests.ask(principal, bundle_id=bundle_id, note=note)
    assert not RestoreRequest.objects.exists()
    assert not Event.objects.exists()


def test_each_sees_their_own_and_those_who_may_restore_see_all() -> None:
    bundle = rows.bundle()
    mine = restore_requests.ask(ANALYST, bundle_id=bundle.bundle_id).request
    other = restore_requests.ask(person("analyst", "other"), bundle_id=bundle.bundle_id).request
    assert [one.pk for one in restore_requests.page(ANALYST).items] == [mine.pk]
    assert {one.pk for one in restore_requests.page(OPERATOR, state="open").items} == {mine.pk, other.pk}
    with pytest.raises(RestoreRequestNotFoundError):
        restore_requests.get(ANALYST, other.pk)
    for call in (restore_requests.page, lambda who: restore_requests.get(who, mine.pk)):
        with pytest.raises(AccessDeniedError):
            call(VIEWER)


def test_a_request_is_declined_once_and_with_a_reason() -> None:
    asked = restore_requests.ask(ANALYST, bundle_id=rows.bundle().bundle_id).request
    with pytest.raises(AccessDeniedError):
        restore_requests.decline(ANALYST, asked.pk, reason="no")
    with pytest.raises(RestoreRequestError):
        restore_requests.decline(OPERATOR, asked.pk, reason="  ")
    declined = restore_requests.decline(OPERATOR, asked.pk, reason="The disk is full.")
    assert (declined.state, declined.decided_by, declined.reason) == ("declined", "operator", "The disk is full.")
    with pytest.raises(RestoreRequestDecidedError):
        restore_requests.decline(OPERATOR, asked.pk, reason="again")
    actions = list(Event.objects.order_by("sequence").values_list("action", flat=True))
    assert actions == ["restore_request.ask", "restore_request.decline"]
    assert restore_requests.ask(ANALYST, bundle_id=asked.bundle_id).created, "asking again is a new request"


def test_a_restore_of_the_bundle_makes_its_requests_done_and_a_preview_does_not(orch: Any) -> None:
    written = Incident().bundle(orch, "b.tar.zst")
    bundle = Bundle.objects.create(
        incident_id=INCIDENT, name="b.tar.zst", size=written.size, sha256=written.sha256, created_at=now(),
        created_by="x", source="live", compression="zstd", key_id=written.key_id, complete=True, files=1, total_bytes=1,
        content_digest=written.manifest.content_digest, manifest_hash=written.manifest.manifest_hash,
    )  # fmt: skip
    asked = restore_requests.ask(ANALYST, bundle_id=bundle.bundle_id).request
    other = restore_requests.ask(ANALYST, bundle_id=rows.bundle().bundle_id).request
    services.request_restore(OPERATOR, bundle_id=str(bundle.bundle_id), dry_run=True)
    assert run().status == "completed"
    asked.refresh_from_db()
    assert asked.is_open
    services.request_restore(OPERATOR, bundle_path="b.tar.zst")  # the same bundle, named by its path
    assert run().status == "completed"
    asked.refresh_from_db()
    other.refresh_from_db()
    assert (asked.state, asked.decided_by) == ("done", "operator")
    assert other.is_open
    assert Event.objects.filter(action="restore_request.done").count() == 1
    assert restore_requests.close_restored(SYSTEM, "") == 0


def test_the_restore_page_explains_and_lets_an_analyst_ask() -> None:
    scenes.bundle(verified=True)
    bundle = Bundle.objects.get()
    analyst, address = client_of("analyst"), reverse("restore")
    page = analyst.get(reverse("bundle-page", args=[bundle.bundle_id])).content.decode()
    assert f'href="{address}?bundle_id={bundle.bundle_id}"' in page
    assert "Ask for a restore…" in page
    text = analyst.get(address, {"bundle_id": str(bundle.bundle_id)}).content.decode()
    assert "Restoring needs the role operator or admin" in text
    assert "Verify and preview" not in text
    answer = analyst.post(reverse("restore-ask"), {"bundle_id": bundle.bundle_id, "note": rows.HOSTILE}, follow=True)
    assert "An operator sees your request on Home" in answer.content.decode()
    assert "None yet" in answer.content.decode()
    again = analyst.post(reverse("restore-ask"), {"bundle_id": bundle.bundle_id}, follow=True)
    assert "No second request was made" in again.content.decode()
    nothing = analyst.post(reverse("restore-ask"), follow=True)
    assert "Choose the bundle" in nothing.content.decode()
    assert RestoreRequest.objects.count() == 1


def test_a_viewer_is_told_whom_to_ask_and_offered_no_form() -> None:
    scenes.bundle(verified=True)
    bundle = Bundle.objects.get()
    viewer = client_of("viewer")
    page = viewer.get(reverse("bundle-page", args=[bundle.bundle_id])).content.decode()
    assert "bundle_id=" not in page
    text = viewer.get(reverse("restore")).content.decode()
    assert "ask an operator directly" in text
    assert reverse("restore-ask") not in text
    refused = viewer.post(reverse("restore-ask"), {"bundle_id": str(uuid4())})
    assert refused.status_code == 403
    assert "analyst, operator or admin" in refused.content.decode()


def test_an_operator_opens_a_request_and_declines_it_and_the_asker_reads_why() -> None:
    bundle = rows.bundle()
    asked = restore_requests.ask(ANALYST, bundle_id=bundle.bundle_id, note="For the drill.").request
    operator, address = client_of("operator"), reverse("restore-request", args=[asked.pk])
    assert "For the drill." in operator.get(reverse("restore")).content.decode()
    assert f"{reverse('restore')}?bundle_id={bundle.bundle_id}" in operator.get(address).content.decode()
    assert "Say why" in operator.post(address, {"reason": " "}).content.decode()
    assert "Declined" in operator.post(address, {"reason": "Not this week."}, follow=True).content.decode()
    analyst = client_of("analyst")
    assert "Not this week." in analyst.get(reverse("restore")).content.decode()
    assert analyst.post(address, {"reason": "x"}).status_code == 403
    assert client_of("analyst", "other").get(address).status_code == 404


def test_the_api_asks_lists_and_declines() -> None:
    bundle = rows.bundle()
    analyst, operator = (
        Client(headers={"Authorization": f"Token {AuthToken.objects.create(rows.user(role))[1]}"})
        for role in ("analyst", "operator")
    )
    asked = analyst.post("/rehydrate/requests", {"bundle_id": str(bundle.bundle_id)}, content_type="application/json")
    assert asked.status_code == 201
    address = asked["Location"]
    assert analyst.get(address).json() == asked.json()
    assert analyst.get("/rehydrate/requests?state=open").json() == {"requests": [asked.json()], "next": None}
    wrong = operator.post(f"{address}/decline", {"reason": ""}, content_type="application/json")
    assert (wrong.status_code, "reason" in wrong.json()["errors"]) == (400, True)
    declined = operator.post(f"{address}/decline", {"reason": "No."}, content_type="application/json")
    assert (declined.status_code, declined.json()["state"], declined.json()["reason"]) == (200, "declined", "No.")
    again = operator.post(f"{address}/decline", {"reason": "No."}, content_type="application/json")
    assert (again.status_code, again.json()["code"]) == (409, "restore_request_decided")
    assert analyst.get(f"/rehydrate/requests/{uuid4()}").json()["code"] == "restore_request_not_found"
