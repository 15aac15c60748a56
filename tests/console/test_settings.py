"""Settings health tells how a deployment is set up and what to repair, and never a secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.checks import Tags
from django.core.checks.registry import registry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from orchestrator_site.configuration import env, settings_health
from orchestrator_site.configuration.checks import TAG
from orchestrator_site.configuration.env_reader import is_secret
from tests.support import console_rows as rows

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("orch")]

SENTINEL = "sentinel-6f1b"


def client_of(role: str) -> Client:
    client = Client()
    client.force_login(rows.user(role))
    return client


@pytest.fixture
def operator() -> Client:
    return client_of("operator")


def texts(client: Client) -> list[str]:
    """The page and the plain text."""
    answers = [client.get(reverse(name)) for name in ("settings-page", "settings-text")]
    assert [answer.status_code for answer in answers] == [200, 200]
    return [answer.content.decode() for answer in answers]


def loaded(settings: Any, **variables: str) -> None:
    settings.ENV = env.load({"ORCH_PROFILE": "development", **variables})


def test_no_secret_is_shown_wherever_it_came_from(operator, settings, tmp_path):
    (tmp_path / "password").write_text(f"{SENTINEL}-file\n")
    loaded(
        settings,
        ORCH_SECRET_KEY=f"{SENTINEL}-key",
        DB_PASS_FILE=str(tmp_path / "password"),
        ORCH_ENVIRONMENT_NAME=f"token={SENTINEL}-name",
        DB_USER=f"postgresql://me:{SENTINEL}@host/",
    )
    settings.ORCH_ENVIRONMENT_NAME = f"password={SENTINEL}-name"
    page, text = texts(operator)
    for told in (page.replace(f"password={SENTINEL}-name · ", ""), text):  # the rail shows the name as it is
        assert SENTINEL not in told
        assert "DB_PASS" in told
    assert "DB_PASS=set  [file (DB_PASS_FILE)]" in text
    assert "ORCH_SECRET_KEY=set  [environment]" in text
    assert f"password={SENTINEL}" not in repr(settings.ENV.given)


def test_the_secrets_in_force_are_nowhere_in_it(operator):
    secrets = [django_settings.SECRET_KEY, Path(django_settings.ORCH_SIGN_KEY_PATH).read_text().splitlines()[1]]
    for told in texts(operator):
        for secret in secrets:
            assert secret not in told


def test_every_variable_is_listed_with_where_it_comes_from(operator, settings):
    loaded(settings, ORCH_WORKER_COUNT="7", ORCH_SECRET_KEY="")
    documented = {one.name for one in env.declared().values()}
    page, text = texts(operator)
    for name in documented:
        assert f"{name}<" in page
        assert f"  {name}=" in text
    assert "ORCH_WORKER_COUNT=7  [environment]" in text
    assert "ORCH_WEB_THREADS=8  [default]" in text
    assert "ORCH_SECRET_KEY=generated at start  [default]" in text


def test_a_variable_is_known_for_a_secret_by_its_name():
    for name in ("ORCH_SECRET_KEY", "DB_PASS", "ORCH_API_TOKEN", "SOME_PASSWORD", "NEW_KEY"):
        assert is_secret(name)
    for name in ("ORCH_SIGN_KEY_PATH", "ORCH_VERIFY_KEY_PATH", "DB_HOST"):
        assert not is_secret(name)


def test_a_sound_deployment_says_so_and_which_checks_ran(operator, orch):
    (orch.root / "static" / "admin").mkdir(parents=True)
    page, text = texts(operator)
    assert "No problems found" in page
    for name in ("signing_key", "verify_keys", "directories", "database_version", "secret_key", "stores_apart"):
        assert name in page
        assert f"  ok       {name}" in text


def test_each_finding_says_what_to_do(operator, orch):
    orch.sign_key.chmod(0o644)
    page, text = texts(operator)
    assert "Errors found" in page
    for told in (page, text):
        assert "orch.E002" in told
        assert "chmod 600 on it" in told
    assert "  error    signing_key" in text


def test_a_check_that_breaks_hides_no_other(operator, monkeypatch):
    def breaks(app_configs: object, **kwargs: object) -> list[Any]:
        """One that breaks."""
        raise RuntimeError(SENTINEL)

    breaks.tags = (TAG, Tags.database)  # type: ignore[attr-defined]
    others = registry.get_checks(include_deployment_checks=True)
    monkeypatch.setattr(registry, "get_checks", lambda **_: [breaks, *others])
    page, text = texts(operator)
    assert "The check crashed (RuntimeError)" in page
    assert SENTINEL not in page + text
    assert "signing_key" in page


def test_versions_of_all_that_matters_are_told(operator):
    page, text = texts(operator)
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        server = cursor.fetchone()[0]
    for words in (
        "RansomEye Orchestrator",
        "Python",
        "PostgreSQL",
        server,
        "OpenSSL",
        "libzstd",
        "Django",
        "django-axes",
    ):
        assert words in page
        assert words in text


def test_the_sources_are_asked_apart_and_stand_in_the_text(operator, settings):
    for name in ("KILLCHAIN_API_URL", "DB_API_URL", "FORENSIC_API_URL"):
        setattr(settings, name, "http://127.0.0.1:9")
    settings.CORE_API_URL = ""
    page, text = texts(operator)
    assert reverse("sources-part") in page
    assert text.count("http://127.0.0.1:9 Not reachable") == 3
    assert "Core service: - Not configured. (for information)" in text


def test_the_text_can_be_copied_and_is_no_page(operator):
    page, _ = texts(operator)
    assert "Copy as text for a ticket" in page
    assert 'data-copy="RansomEye Orchestrator' in page
    answer = operator.get(reverse("settings-text"))
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    assert answer["Cache-Control"] == "no-store"


def test_the_page_asks_the_database_little(operator):
    with CaptureQueriesContext(connection) as caught:
        operator.get(reverse("settings-page"))
    assert len(caught) <= 12


@pytest.mark.parametrize("role", ["viewer", "analyst", ""])
def test_it_is_for_operators_and_admins(role):
    client = client_of(role) if role else Client()
    for name in ("settings-page", "settings-text"):
        assert client.get(reverse(name)).status_code == (403 if role else 302)
    assert client_of("admin").get(reverse("settings-page")).status_code == 200


def test_settings_are_grouped_by_topic_with_what_differs_first_and_defaults_folded(operator, settings):
    loaded(settings, ORCH_WORKER_COUNT="7", ORCH_LEASE_SECONDS="30", KILLCHAIN_API_URL="http://kc.example:1")
    page, _ = texts(operator)
    jobs = page[page.index(">Jobs and workers</h3>") : page.index(">Database</h3>")]
    assert jobs.index("ORCH_WORKER_COUNT<") < jobs.index("<details") < jobs.index("ORCH_LEASE_SECONDS<")
    assert jobs.index("ORCH_LEASE_SECONDS<") < jobs.index("</details>"), "set, and equal to the default"
    assert (
        "KILLCHAIN_API_URL<" in page[page.index(">Sources</h3>") : page.index("<details", page.index(">Sources</h3>"))]
    )
    assert f">{settings_health.OTHER}</h3>" not in page


def test_a_setting_is_found_by_name_value_or_meaning_without_javascript(operator, settings):
    loaded(settings, ORCH_WORKER_COUNT="7", DB_PASS=f"{SENTINEL}-secret")

    def found(words: str) -> str:
        return str(operator.get(reverse("settings-page"), {"find": words}).content.decode())

    for words in ("worker_count", "worker processes"):
        page = found(words)
        assert "ORCH_WORKER_COUNT<" in page
        assert "OUTPUT_DIR<" not in page
    assert "No setting matches" in found(SENTINEL), "the value of a secret is not searched"
    assert "<script>" not in found("<script>alert(1)</script>")
