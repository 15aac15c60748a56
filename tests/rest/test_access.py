"""Who may call what: roles, tokens, sessions, certificates and callers on this host; refusals tell nothing."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core.management import CommandError, call_command
from django.test import Client
from knox.models import AuthToken

from custody.models import Event
from jobs.models import Job
from orchestrator_site.accounts import roles
from tests.support.api_deployment import INCIDENT, ROLES, Api, Traces, api, is_problem, make_bundle, make_callers

__all__ = ["api"]

pytestmark = pytest.mark.django_db

# Which role each call needs; the roles after it may too.
NEEDS = {
    ("GET", "/jobs"): "viewer",
    ("GET", "/jobs/{job}"): "viewer",
    ("GET", "/bundles"): "viewer",
    ("GET", "/bundles/{bundle}"): "viewer",
    ("GET", "/bundles/{bundle}/manifest"): "viewer",
    ("GET", "/incidents"): "viewer",
    ("GET", "/incidents/{incident}"): "viewer",
    ("GET", "/incidents/{incident}/elsewhere"): "viewer",
    ("GET", "/search?q=incident-123"): "viewer",
    ("GET", "/schema"): "viewer",
    ("GET", "/docs"): "viewer",
    ("GET", "/intake"): "analyst",
    ("GET", "/intake/mappings"): "analyst",
    ("POST", "/intake/uploads"): "analyst",
    ("POST", "/bundle/create"): "analyst",
    ("GET", "/bundles/{bundle}/artifacts"): "viewer",
    ("GET", "/bundles/{bundle}/download"): "analyst",
    ("GET", "/bundles/{bundle}/files/0"): "analyst",
    ("POST", "/bundles/{bundle}/verify"): "analyst",
    ("POST", "/rehydrate/start"): "operator",
    ("GET", "/rehydrate/requests"): "analyst",
    ("GET", "/rehydrate/requests/{request}"): "analyst",
    ("POST", "/rehydrate/requests"): "analyst",
    ("POST", "/rehydrate/requests/{request}/decline"): "operator",
    ("POST", "/jobs/{job}/cancel"): "operator",
    ("POST", "/jobs/{job}/retry"): "operator",
}
CREATE: dict[str, Any] = {"path": "/bundle/create", "data": {"incident_id": "a"}, "content_type": "application/json"}
# A browser on this machine that shows a page of another site, and one whose name server lies.
FOREIGN: list[dict[str, str]] = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost:1"},
    {"Origin": "https://localhost"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none", "Referer": "https://evil.example/x"},
    {"Referer": "http://["},
]


def body_for(path: str, bundle: Any) -> dict[str, Any] | None:
    bodies: dict[str, dict[str, Any]] = {
        "/bundle/create": {"incident_id": "new"},
        "/intake/uploads": {"name": "a.zip", "size": 1},
        "/rehydrate/start": {"bundle_id": str(bundle.bundle_id)},
        "/rehydrate/requests": {"bundle_id": str(bundle.bundle_id)},
        "/rehydrate/requests/{request}/decline": {"reason": "not now"},
    }
    return bodies.get(path)


def test_each_role_may_make_its_calls_and_no_other(api: Api, orch):
    bundle = make_bundle(orch)
    job_id = api.post("/bundle/create", {"incident_id": INCIDENT}).json()["job_id"]
    api.post(f"/jobs/{job_id}/cancel")
    asked = api.post("/rehydrate/requests", {"bundle_id": str(bundle.bundle_id)}, role="analyst").json()["request_id"]
    for (method, path), needed in NEEDS.items():
        address = path.format(job=job_id, bundle=bundle.bundle_id, incident=INCIDENT, request=asked)
        body = body_for(path, bundle) if method == "POST" else None
        for role in ROLES:
            before = Traces.now(orch)
            answer = api.call(method, address, role=role, json=body)
            if ROLES.index(role) >= ROLES.index(needed):
                assert answer.status_code in {200, 201, 202, 409}, (role, path, answer.text)
            else:
                detail = is_problem(answer, 403, "permission_denied")["detail"]
                assert all(name in detail for name in ROLES[ROLES.index(needed) :])
                assert Traces.now(orch) == before


def test_without_identity_or_role_every_call_is_refused_alike_whatever_exists(api: Api, orch):
    bundle = make_bundle(orch)
    for method, path in NEEDS:
        details = set()
        for there in (bundle.bundle_id, uuid4()):
            address = path.format(job=there, bundle=there, incident=INCIDENT, request=there)
            answer = api.call(method, address, role="", json=body_for(path, bundle))
            details.add(is_problem(answer, 401, "not_authenticated")["detail"])
            assert answer.headers["WWW-Authenticate"] == "Token"
            unable = api.call(method, address, role="nothing", json=body_for(path, bundle))
            details.add(is_problem(unable, 403, "permission_denied")["detail"])
        assert len(details) == 2
    assert Traces.now(orch).jobs == Traces.now(orch).events == 0


def test_a_refused_caller_learns_nothing_from_what_is_wrong_with_the_body(api: Api):
    is_problem(api.post("/bundle/create", {"x": 1}, role=""), 401, "not_authenticated")
    is_problem(api.post("/bundle/create", data=b"{", role="nothing"), 403, "permission_denied")
    is_problem(api.post(f"/jobs/{uuid4()}/cancel", role="viewer"), 403, "permission_denied")


def test_a_token_that_is_wrong_expired_or_of_an_inactive_user_is_401(client: Client):
    user = User.objects.create_user("script")
    roles.assign_role(user, "viewer")
    good = AuthToken.objects.create(user=user)[1]
    expired = AuthToken.objects.create(user=user, expiry=timedelta(seconds=-1))[1]
    assert client.get("/jobs", headers={"Authorization": f"Token {good}"}).status_code == 200
    assert client.get("/jobs", headers={"Authorization": f"token {good}"}).status_code == 200
    for header in (
        f"Token {expired}",
        "Token",
        "Token a b",
        "Token ä",
        f"Token {good[:-1]}",
        f"Token {good}0",
        "Token zz",
    ):
        answer = client.get("/jobs", headers={"Authorization": header})
        assert (header, answer.status_code, answer.json()["code"]) == (header, 401, "not_authenticated")
        assert answer.headers["WWW-Authenticate"] == "Token"
    User.objects.update(is_active=False)
    assert client.get("/jobs", headers={"Authorization": f"Token {good}"}).status_code == 401


def test_a_session_reads_freely_and_changes_only_with_the_csrf_token():
    user = User.objects.create_user("person")
    roles.assign_role(user, "analyst")
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    assert client.get("/jobs").status_code == 200
    for headers in ({}, {"X-CSRFToken": "x" * 32}):
        answer = client.post(**CREATE, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "csrf_failed")
    assert Job.objects.count() == 0
    token = client.get("/docs").cookies["csrftoken"].value
    answer = client.post(**CREATE, headers={"X-CSRFToken": token})
    assert answer.status_code == 202
    assert Event.objects.get().authenticated_by == "session"


def test_a_csrf_token_inside_an_upload_does_not_count_and_the_upload_is_not_read(orch):
    user = User.objects.create_user("person")
    roles.assign_role(user, "operator")
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    token = client.get("/docs").cookies["csrftoken"].value
    with (orch.root / "b").open("w+b") as file:
        answer = client.post("/rehydrate/start", {"csrfmiddlewaretoken": token, "bundle_file": file})
    assert (answer.status_code, answer.json()["code"]) == (403, "csrf_failed")
    assert not (orch.output_dir / ".quarantine").exists()


def test_a_client_certificate_is_its_user_and_no_header_can_claim_one(client: Client):
    user = User.objects.create_user("gateway")
    roles.assign_role(user, "analyst")
    tls: dict[str, Any] = {"orchestrator.client_user": "gateway"}
    assert client.post(**CREATE, **tls).status_code == 202
    assert Event.objects.get().authenticated_by == "certificate"
    for headers in FOREIGN:
        answer = client.post(**CREATE, headers=headers, **tls)
        assert (answer.status_code, answer.json()["code"]) == (403, "cross_site_refused")
    for name in (
        "Orchestrator.Client-User",
        "X-Client-User",
        "Orchestrator-Client-User",
        "Remote-User",
        "X-SSL-Client-CN",
    ):
        assert client.get("/jobs", headers={name: "gateway"}).status_code == 401
    User.objects.update(is_active=False)
    assert client.get("/jobs", **tls).status_code == 401
    assert client.get("/jobs", **{"orchestrator.client_user": "nobody"}).status_code == 401  # type: ignore[arg-type]


def test_callers_on_this_host_have_the_configured_role_only_when_they_are_plainly_local(client: Client, settings):
    def status(remote: str = "127.0.0.1", **headers: str) -> int:
        given = {"Host": "localhost:8012", **{name.replace("_", "-"): value for name, value in headers.items()}}
        return client.get("/jobs", headers=given, REMOTE_ADDR=remote).status_code

    assert status() == 401
    settings.ORCH_ANONYMOUS_API_ROLE = "viewer"
    settings.ALLOWED_HOSTS = ["*"]
    for remote in ("127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"):
        assert status(remote) == 200
    for host in ("127.0.0.1:8012", "[::1]:8012", "localhost"):
        assert status(Host=host) == 200
    for remote in ("10.0.0.1", "::2", "", "unix", "::ffff:10.0.0.1"):
        assert status(remote) == 401
    for host in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8012", "127.0.0.2"):
        assert status(Host=host) == 401
    for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via", "X-Forwarded-Host"):
        assert status(**{header: "127.0.0.1"}) == 401
    for authorization in ("Bearer x", "Basic eDp5", "Token x"):
        assert status(Authorization=authorization) == 401
    answer = client.post("/bundle/create", {"incident_id": "a"}, "application/json", headers={"Host": "localhost"})
    assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")


def test_a_local_browser_cannot_be_used_by_another_site(client: Client, settings):
    settings.ORCH_ANONYMOUS_API_ROLE = "operator"
    for headers in FOREIGN:
        for answer in (
            client.post(**CREATE, headers={"Host": "localhost", **headers}),
            client.post(f"/jobs/{uuid4()}/cancel", headers={"Host": "localhost", **headers}),
            client.get("/jobs", headers={"Host": "localhost", **headers}),
        ):
            assert (headers, answer.status_code, answer.json()["code"]) == (headers, 403, "cross_site_refused")
    ours = {"Host": "localhost:8012", "Origin": "http://localhost:8012", "Sec-Fetch-Site": "same-origin"}
    assert client.post(**CREATE, headers=ours).status_code == 202
    assert Job.objects.get().requested_by == "anonymous"


def test_a_host_that_is_not_served_is_a_problem_document_too(client: Client):
    answer = client.get("/jobs", headers={"Host": "evil.example"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (400, "application/problem+json")


def test_every_answer_has_a_request_id_of_our_own(client: Client):
    mine = str(uuid4())
    ids = {
        client.get(path, headers={"X-Request-ID": mine}).headers["X-Request-ID"]
        for path in ("/jobs", "/sign-in", "/no")
    }
    assert len(ids | {mine}) == 4


def test_each_role_has_all_that_the_one_below_has_and_every_permission_exists():
    held = [set(permission_names(Group.objects.get(name=role))) for role in ROLES]
    assert held == [set(roles.permissions_of(role)) for role in ROLES]
    assert all(lower < higher for lower, higher in pairwise(held))
    assert held[0] == {
        "custody.view_event", "jobs.view_job", "jobs.view_worker", "bundles.view_bundle",
        "rehydration.view_restoredincident",
    }  # fmt: skip


def permission_names(group: Group) -> list[str]:
    return [f"{app}.{name}" for app, name in group.permissions.values_list("content_type__app_label", "codename")]


def test_filling_the_roles_again_takes_back_what_was_added_by_hand():
    viewers = Group.objects.get(name="viewer")
    viewers.permissions.add(Permission.objects.get(codename="restore_bundle"))
    viewers.permissions.remove(Permission.objects.get(codename="view_job"))
    roles.fill()
    assert set(permission_names(viewers)) == roles.permissions_of("viewer")


def test_a_user_has_one_role_at_a_time_and_only_operators_and_admins_are_staff():
    user = User.objects.create_user("someone")
    assert roles.role_of(user) == ""
    for role, staff in (("viewer", False), ("admin", True), ("operator", True), ("analyst", False)):
        roles.assign_role(user, role)
        assert (roles.role_of(user), user.groups.count(), User.objects.get().is_staff) == (role, 1, staff)
    with pytest.raises(ValueError, match="no such role"):
        roles.assign_role(user, "root")


def test_the_token_command_prints_a_token_once_and_tells_custody(client: Client):
    make_callers()
    out = StringIO()
    call_command("create_api_token", "viewer", "--days", "7", stdout=out, stderr=StringIO())
    secret = out.getvalue().strip()
    assert client.get("/jobs", headers={"Authorization": f"Token {secret}"}).status_code == 200
    event = Event.objects.get()
    assert (event.action, event.authenticated_by) == ("token.create", "shell")
    assert secret not in event.details + event.object_id
    for arguments in (("nobody",), ("viewer", "--days", "0")):
        with pytest.raises(CommandError):
            call_command("create_api_token", *arguments, stdout=out, stderr=StringIO())
