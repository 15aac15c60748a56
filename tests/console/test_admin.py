"""The Django admin: titled and coloured as ours, stuck jobs first, links to the console, users with one role each."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from custody.models import Event
from orchestrator_site.accounts import roles
from orchestrator_site.configuration.env import ROLES
from tests.support import console_rows as rows

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("orch")]


def client_of(role: str) -> Client:
    client = Client()
    client.force_login(rows.user(role))
    return client


def shown(client: Client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return str(answer.content.decode())


def test_it_is_titled_and_coloured_as_ours_and_leads_back_to_the_console() -> None:
    text = shown(client_of("admin"), reverse("admin:index"))
    assert "Django" not in text
    assert "RansomEye Orchestrator: admin" in text
    assert "admin.css" in text
    for name in ("home", "account-page", "sign-out"):
        assert f'"{reverse(name)}"' in text


def test_stuck_jobs_come_first_with_what_frees_them_and_every_row_links_to_the_console() -> None:
    stuck = rows.job("processing", lease_s=-60, incident_id="stuck-one")
    failed = rows.job("failed", incident_id="i" * 60)
    listed = reverse("admin:jobs_job_changelist")
    text = shown(client_of("operator"), listed)
    free = f"{reverse('jobs-batch')}?action=free_stuck&amp;job={stuck.job_id}"
    assert text.index(free) < text.index('id="result_list"')
    for job in (stuck, failed):
        assert f'href="{reverse("job-page", args=[job.job_id])}">Open</a>' in text
        assert f">{str(job.job_id)[:8]}…</span>" in text
    assert f">{'i' * 24}…</a>" in text
    assert ">Stuck</td>" in text
    assert f"{failed.created_at:%Y-%m-%d %H:%M:%S}" in text
    assert free not in shown(client_of("admin"), f"{listed}?status__exact=failed")


def test_workers_link_to_the_console_and_to_their_job() -> None:
    job = rows.job("processing")
    rows.worker("host a&b/1", host="host a&b", current_job=job.job_id)
    text = shown(client_of("operator"), reverse("admin:jobs_worker_changelist"))
    assert f'href="{reverse("workers-page")}?host=host+a%26b">' in text
    assert reverse("job-page", args=[job.job_id]) in text


def test_the_roles_are_explained_where_one_is_chosen() -> None:
    admin = client_of("admin")
    for address in (reverse("admin:auth_user_add"), reverse("admin:auth_user_change", args=[rows.user("viewer").pk])):
        text = shown(admin, address)
        for role in ROLES:
            assert f"{role}: {roles.ABOUT[role]}" in text
        assert "is_superuser" not in text
        assert "user_permissions" not in text
    assert roles.ABOUT["viewer"] in shown(admin, reverse("admin:auth_user_changelist"))


def test_a_user_is_made_and_changed_with_one_role_and_both_are_in_custody() -> None:
    admin = client_of("admin")
    form: dict[str, Any] = {
        "username": "nina", "usable_password": "true", "password1": rows.PASSWORD, "password2": rows.PASSWORD,
        "role": "operator",
    }  # fmt: skip
    assert admin.post(reverse("admin:auth_user_add"), form).status_code == 302
    nina = User.objects.get(username="nina")
    assert (roles.role_of(nina), nina.is_staff) == ("operator", True)
    address = reverse("admin:auth_user_change", args=[nina.pk])
    assert admin.post(address, {"username": "nina", "is_active": "on", "role": "viewer"}).status_code == 302
    nina = User.objects.get(username="nina")
    assert (roles.role_of(nina), nina.is_staff, nina.is_active) == ("viewer", False, True)
    assert admin.post(address, {"username": "nina", "role": ""}).status_code == 302
    nina = User.objects.get(username="nina")
    assert (roles.role_of(nina), nina.is_active) == ("", False)
    events = Event.objects.filter(object_type="user", object_id="nina").order_by("sequence")
    assert [event.action for event in events] == ["user.create", "user.change", "user.change"]
    assert '"before":"operator"' in events[1].details


def test_a_superuser_keeps_every_right_whatever_role_is_chosen() -> None:
    root = User.objects.create_superuser("root")
    address = reverse("admin:auth_user_change", args=[root.pk])
    assert client_of("admin").post(address, {"username": "root", "is_active": "on", "role": ""}).status_code == 302
    root.refresh_from_db()
    assert (root.is_superuser, root.is_staff) == (True, True)


def test_only_admins_change_users() -> None:
    nina = rows.user("viewer", "nina")
    operator = client_of("operator")
    for address in (reverse("admin:auth_user_changelist"), reverse("admin:auth_user_change", args=[nina.pk])):
        assert operator.get(address).status_code == 403
        assert operator.post(address, {"username": "nina", "role": "admin"}).status_code == 403
    assert roles.role_of(nina) == "viewer"
