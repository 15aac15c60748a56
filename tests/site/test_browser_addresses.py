"""An API address typed into a browser shows the page of the same thing; programs get what they always got."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse
from knox.models import AuthToken

from orchestrator_site.web.browser_addresses import prefers_page
from tests.support import console_rows as rows

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("orch")]

FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.fixture
def viewer() -> Client:
    client = Client()
    client.force_login(rows.user("viewer"))
    return client


def asked(client: Client, address: str, accept: str | None = FIREFOX, **headers: str) -> Any:
    return client.get(address, headers={**({"Accept": accept} if accept else {}), **headers})


def test_a_browser_is_shown_the_page_of_the_list_or_thing(viewer: Client) -> None:
    job_id, bundle_id = uuid4(), uuid4()
    for address, page in (
        ("/jobs", reverse("jobs-page")),
        ("/jobs?status=failed&cursor=abc&limit=5", reverse("jobs-page") + "?status=failed"),
        (f"/jobs/{job_id}", reverse("job-page", args=[job_id])),
        ("/jobs/no-id", reverse("find") + "?q=no-id"),
        ("/bundles", reverse("bundles-page")),
        (f"/bundles/{bundle_id}", reverse("bundle-page", args=[bundle_id])),
        ("/incidents", reverse("incidents-page")),
        ("/incidents/case%201%3F", reverse("incident-page", args=["case 1?"])),
    ):
        for answer in (asked(viewer, address), viewer.head(address, headers={"Accept": FIREFOX})):
            assert (answer.status_code, answer["Location"]) == (303, page)
            assert "Accept" in answer["Vary"]
            assert answer["Cache-Control"] == "no-store"


def test_a_stranger_with_a_browser_comes_to_the_page_by_way_of_sign_in() -> None:
    answer = Client().get("/jobs", headers={"Accept": FIREFOX}, follow=True)
    assert answer.redirect_chain[-1][0] == f"{reverse('sign-in')}?next={reverse('jobs-page')}"


@pytest.mark.parametrize("accept", [None, "*/*", "application/json", "application/json, text/html", "nonsense"])
def test_programs_get_json(viewer: Client, accept: str | None) -> None:
    for address in ("/jobs", "/bundles", "/incidents", f"/jobs/{rows.job().job_id}"):
        answer = asked(viewer, address, accept)
        assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")
        assert "Accept" in answer["Vary"]


def test_a_token_always_means_the_api(viewer: Client) -> None:
    _, token = AuthToken.objects.create(rows.user("analyst"))
    answer = asked(viewer, "/jobs", Authorization=f"Token {token}")
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")


def test_only_reading_is_redirected_and_only_these_addresses(viewer: Client) -> None:
    job = rows.job()
    for answer in (
        viewer.post(f"/jobs/{job.job_id}", headers={"Accept": FIREFOX}),
        viewer.post(f"/jobs/{job.job_id}/cancel", headers={"Accept": FIREFOX}),
        asked(viewer, f"/bundles/{uuid4()}/manifest"),
        asked(viewer, "/ready"),
    ):
        assert answer.status_code != 303


@pytest.mark.parametrize(
    ("accept", "page"),
    [
        (FIREFOX, True),
        ("text/html", True),
        ("text/html, */*", True),
        ("application/json;q=0.9, text/html", True),
        ("text/html;q=0.5, application/json", False),
        ("text/html;q=0, */*", False),
        ("text/html;q=nan", False),
        ("text/html;q=0.1, */*", False),
        ("", False),
    ],
)
def test_text_html_must_be_named_and_preferred(accept: str, page: bool) -> None:
    assert prefers_page(accept) is page
