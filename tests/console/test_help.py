"""Help inside: every word and state has its meaning, every error code its advice, and every field of ours its hint."""

from __future__ import annotations

import ast
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from jobs.models import Status
from orchestrator_site.console import glossary
from orchestrator_site.errors import catalogue
from orchestrator_site.templatetags.console import STATE_ICONS
from tests.docs.test_structure import PRODUCT, name_of
from tests.support import console_rows as rows

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("orch")]

RAISED = {
    "PayloadError",
    "PermanentError",
    "RetryableError",
    "CannotWriteError",
    "CannotCheckError",
    "BundleRejectedError",
}
# What no person meets: bases that are never raised themselves, and our own test commands.
BASES = {"custody_error", "job_error", "bundle_error", "restore_error"}
IN_SQL = re.compile(r"'(poison|lease_expired)'")


@pytest.fixture
def viewer() -> Client:
    client = Client()
    client.force_login(rows.user("viewer"))
    return client


def shown(client: Client, name: str) -> str:
    answer = client.get(reverse(name))
    assert answer.status_code == 200
    return answer.content.decode()


def codes_in_the_source() -> dict[str, str]:
    """Each code that the program's text names where an error is made, with a file that does."""
    found: dict[str, str] = {}
    for path in PRODUCT:
        if path.parts[-2] in {"fuzz", "tools"}:
            continue
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in RAISED and node.args:
                named = [part for part in ast.walk(node.args[0]) if isinstance(part, ast.Constant)]
            elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in {"code", "default_code"}:
                named = [node.value] if isinstance(node.value, ast.Constant) else []
            else:
                continue
            found |= {part.value: name_of(path) for part in named if isinstance(part.value, str)}
        found |= dict.fromkeys(IN_SQL.findall(text), name_of(path))
    return {code: where for code, where in found.items() if re.fullmatch(r"[a-z][a-z_]+", code)}


def test_every_code_that_the_program_can_give_is_explained():
    named = codes_in_the_source()
    assert {"storage_full", "source_invalid", "truncated", "permission_denied", "poison", "stalled"} <= named.keys()
    forgotten = {code: where for code, where in named.items() if code not in catalogue.by_code()}
    assert forgotten.keys() - BASES == set(), forgotten


def test_each_code_has_an_anchor_with_the_three_answers(viewer):
    text = shown(viewer, "errors-page")
    codes = catalogue.by_code()
    assert catalogue.OF_REQUESTS.keys() <= codes.keys()
    for code, meanings in codes.items():
        assert text.count(f'id="{code}"') == 1
        for meaning in meanings:
            assert meaning.title
            assert meaning.safe
            assert meaning.todo
    meanings_in_all = sum(len(meanings) for meanings in codes.values())
    assert text.count("Is the evidence safe?") == meanings_in_all


def test_a_refusal_and_a_failed_job_lead_to_the_help_for_their_code(viewer):
    refused = viewer.get(reverse("new-bundle"))
    assert refused.status_code == 403
    assert f'href="{reverse("errors-page")}#permission_denied"' in refused.content.decode()
    failed = viewer.get(reverse("job-page", args=[rows.job("failed").job_id])).content.decode()
    assert f'href="{reverse("errors-page")}#source_unavailable"' in failed


@pytest.mark.parametrize(
    "word",
    [
        "incident", "artifact", "source", "bundle", "manifest", "chunk", "content digest", "job", "attempt", "lease",
        "lease token", "stuck job", "rehydration", "restore plan", "custody event", "principal", "verified", "role",
    ],
)  # fmt: skip
def test_the_glossary_has_the_word(viewer, word):
    assert f">{word}</dt>" in shown(viewer, "help-page")


def test_every_state_is_explained_with_its_own_shape(viewer):
    text = shown(viewer, "help-page")
    told = {state.word.lower() for states in glossary.STATES.values() for state in states}
    assert {str(status.value) for status in Status} <= told
    assert "stuck" in told
    for states in glossary.STATES.values():
        for state in states:
            assert state.kind in STATE_ICONS
            assert f'data-s="{state.kind}"' in text


def test_help_is_reached_from_every_page_and_needs_no_role():
    nobody = Client()
    nobody.force_login(rows.user("", "nobody"))
    home = nobody.get(reverse("home")).content.decode()
    assert f'href="{reverse("help-page")}"' in home
    assert reverse("settings-page") not in home
    for name in ("help-page", "errors-page", "account-page", "tokens-page"):
        assert nobody.get(reverse(name)).status_code == 200


def test_keys_settings_and_help_stand_below_the_seven_links(viewer):
    admin = Client()
    admin.force_login(rows.user("admin"))
    rail = admin.get(reverse("home")).content.decode().split('<nav class="rail"')[1].split("</nav>")[0]
    assert rail.split("<footer")[0].count("<li>") == 7
    foot = rail.split("<footer")[1]
    for name in ("keys-page", "settings-page", "help-page", "api-docs", "admin:index"):
        assert f'href="{reverse(name)}"' in foot
    assert reverse("settings-page") not in viewer.get(reverse("home")).content.decode()


class Fields(HTMLParser):
    """Collects the fields of the forms in a page, and every id."""

    def __init__(self) -> None:
        super().__init__()
        self.fields: list[dict[str, Any]] = []
        self.ids: set[str] = set()
        self.labels: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found: dict[str, Any] = dict(attrs)
        self.ids.add(found.get("id", ""))
        if tag == "label":
            self.labels.add(found.get("for", ""))
        hidden = found.get("type") == "hidden" or "hidden" in found
        if tag in {"input", "select", "textarea"} and not hidden and found.get("id") != "q":
            self.fields.append(found)


@pytest.mark.parametrize("name", ["account-page", "tokens-page", "sign-in"])
def test_each_field_has_a_label_and_an_explanation(name):
    client = Client()
    if name != "sign-in":
        user = rows.user("analyst", password="a long enough password")
        client.force_login(user)
    read = Fields()
    read.feed(shown(client, name))
    assert read.fields
    for field in read.fields:
        assert field["id"] in read.labels
        described = field.get("aria-describedby", "").split()
        assert described, field
        assert set(described) <= read.ids
