"""One's own API tokens: made with a scope that is held to, shown once, revoked; also those from before names."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from knox.models import AuthToken

from custody.models import Event
from orchestrator_site.accounts import tokens
from orchestrator_site.accounts.roles import assign_role
from orchestrator_site.models import TokenDetails
from tests.support import console_rows as rows

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("orch")]


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def make(client: Client, **form: Any) -> Any:
    return client.post(reverse("tokens-page"), {"name": "nightly", "role": "", "days": "30", **form})


def call(secret: str, method: str = "get", path: str = "/jobs", **data: Any) -> int:
    client = Client(REMOTE_ADDR="192.0.2.9", headers={"Authorization": f"Token {secret}"})
    if method == "get":
        return client.get(path).status_code
    return client.post(path, data, content_type="application/json").status_code


def test_a_token_is_shown_once_and_works():
    client = client_of(rows.user("analyst"))
    page = make(client)
    secret = page.context["secret"]
    assert page.content.decode().count(secret) == 2  # to read and to copy
    assert page["Cache-Control"] == "no-store"
    assert call(secret) == 200
    again = client.get(reverse("tokens-page")).content.decode()
    assert "nightly" in again
    assert secret not in again
    assert secret not in str(list(TokenDetails.objects.values())) + str(list(AuthToken.objects.values()))


def test_custody_tells_of_a_token_without_its_secret():
    page = make(client_of(rows.user("analyst")), role="viewer")
    event = Event.objects.get(action="token.create")
    assert event.object_id == page.context["made"].key
    assert '"name":"nightly"' in event.details
    assert '"scope":"viewer"' in event.details
    assert page.context["secret"] not in str(vars(event))


def test_a_token_may_do_no_more_than_its_scope():
    client = client_of(rows.user("analyst"))
    reading = make(client, role="viewer").context["secret"]
    full = make(client, name="full").context["secret"]
    body = {"incident_id": rows.INCIDENT}
    assert call(reading) == 200
    assert call(reading, "post", "/bundle/create", **body) == 403
    assert call(full, "post", "/bundle/create", **body) == 202


def test_a_scope_gives_nothing_that_its_user_has_not():
    user = rows.user("operator")
    secret = make(client_of(user), role="operator").context["secret"]
    job = rows.job()
    assign_role(user, "viewer")
    assert call(secret, "post", f"/jobs/{job.job_id}/cancel") == 403
    assert call(secret) == 200


@pytest.mark.parametrize("wanted", ["operator", "admin", "root"])
def test_a_scope_above_ones_own_role_is_not_to_be_had(wanted):
    answer = make(client_of(rows.user("analyst")), role=wanted)
    assert "No token was created" in answer.content.decode()
    assert not AuthToken.objects.exists()


def test_a_scope_that_is_no_role_any_more_allows_nothing():
    secret = make(client_of(rows.user("analyst")), role="viewer").context["secret"]
    TokenDetails.objects.update(role="reader")
    assert call(secret) == 403


def test_last_use_is_shown_with_its_address():
    client = client_of(rows.user("viewer"))
    secret = make(client).context["secret"]
    assert "not yet" in client.get(reverse("tokens-page")).content.decode()
    assert call(secret) == 200
    text = client.get(reverse("tokens-page")).content.decode()
    assert "not yet" not in text
    assert "192.0.2.9" in text


def test_a_use_is_noted_once_a_minute_at_most():
    secret = make(client_of(rows.user("viewer"))).context["secret"]
    assert call(secret) == 200
    first = TokenDetails.objects.get().last_used_at
    assert call(secret) == 200
    assert TokenDetails.objects.get().last_used_at == first
    TokenDetails.objects.update(last_used_at=timezone.now() - timedelta(minutes=2))
    assert call(secret) == 200
    noted = TokenDetails.objects.get().last_used_at
    assert noted is not None
    assert first is not None
    assert noted > first


def test_a_revoked_token_opens_nothing_and_custody_knows():
    client = client_of(rows.user("analyst"))
    made = make(client)
    answer = client.post(reverse("revoke-token"), {"token": made.context["made"].key}, follow=True)
    assert "The token is revoked" in answer.content.decode()
    assert call(made.context["secret"]) == 401
    assert Event.objects.filter(action="token.revoke", object_id=made.context["made"].key).count() == 1


def test_nobody_sees_or_revokes_the_token_of_another():
    mine = make(client_of(rows.user("analyst")), name="mine-alone")
    other = client_of(rows.user("admin"))
    assert "mine-alone" not in other.get(reverse("tokens-page")).content.decode()
    answer = other.post(reverse("revoke-token"), {"token": mine.context["made"].key}, follow=True)
    assert "You no longer have this token" in answer.content.decode()
    assert call(mine.context["secret"]) == 200


def test_a_token_made_before_there_were_names_works_is_listed_and_can_be_revoked():
    user = rows.user("analyst")
    old, secret = AuthToken.objects.create(user=user)
    client = client_of(user)
    assert "unnamed" in client.get(reverse("tokens-page")).content.decode()
    assert call(secret, "post", "/bundle/create", incident_id=rows.INCIDENT) == 202
    assert TokenDetails.objects.get(token=old).last_used_at is not None
    client.post(reverse("revoke-token"), {"token": old.token_key})
    assert call(secret) == 401


def test_two_live_tokens_of_one_name_are_refused_so_that_a_form_sent_twice_makes_one():
    client = client_of(rows.user("viewer"))
    make(client)
    answer = make(client)
    assert "You already have a token named nightly" in answer.content.decode()
    assert AuthToken.objects.count() == 1
    AuthToken.objects.update(expiry=timezone.now() - timedelta(days=1))
    assert make(client).context["secret"]


def test_there_are_not_endless_tokens(monkeypatch):
    monkeypatch.setattr(tokens, "MAX_TOKENS", 2)
    client = client_of(rows.user("viewer"))
    for name in ("one", "two"):
        assert make(client, name=name).context["secret"]
    assert "Revoke one that is no longer needed" in make(client, name="three").content.decode()


def test_a_tokens_name_is_shown_as_text():
    client = client_of(rows.user("viewer"))
    make(client, name="<script>\u202egnp")
    text = client.get(reverse("tokens-page")).content.decode()
    assert "<script>\u202e" not in text
    assert "&lt;script&gt;" in text
    assert "U+202E" in text


def test_expired_tokens_are_gone_from_the_page_and_those_about_to_be_are_marked():
    client = client_of(rows.user("viewer"))
    make(client, name="short", days="1")
    text = client.get(reverse("tokens-page")).content.decode()
    assert "soon" in text
    AuthToken.objects.update(expiry=timezone.now() - timedelta(seconds=1))
    assert "short</bdi>" not in client.get(reverse("tokens-page")).content.decode()


def test_the_command_makes_a_bounded_token_of_that_name():
    rows.user("operator", "olga")
    out = StringIO()
    call_command("create_api_token", "olga", "--name", "sync", "--scope", "viewer", stdout=out, stderr=StringIO())
    assert call(out.getvalue().strip(), "post", f"/jobs/{rows.job().job_id}/cancel") == 403
    assert TokenDetails.objects.get().name == "sync"
    with pytest.raises(CommandError, match="already"):
        call_command("create_api_token", "olga", "--name", "sync", stdout=out)
