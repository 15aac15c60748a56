"""Settings from the environment: each wrong value is one line that names its variable."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator_site.configuration import env

ROOT = Path(__file__).resolve().parents[2]
DEVELOPMENT = {"ORCH_PROFILE": "development"}
PRODUCTION = {
    "ORCH_SECRET_KEY": "k" * 60,
    "ORCH_ALLOWED_HOSTS": "orchestrator.example",
    "DB_HOST": "db.example",
    "ORCH_SIGN_KEY_PATH": "/etc/ransomeye/keys/sign.pem",
    "ORCH_VERIFY_KEY_PATH": "/etc/ransomeye/keys/trusted",
    "OUTPUT_DIR": "/srv/ransomeye/bundles",
    "FORENSIC_STORAGE_PATH": "/srv/ransomeye/forensic",
}


def faults_of(environ: dict[str, str]) -> list[str]:
    with pytest.raises(env.SettingsError) as caught:
        env.load(environ)
    return caught.value.lines


def test_development_needs_no_variable_but_its_profile():
    loaded = env.load(DEVELOPMENT)
    assert loaded.uses_embedded_database
    assert loaded.secret_key_is_generated
    assert (loaded.api_port, loaded.metrics_port, loaded.worker_count) == (8012, 9094, 4)
    assert (loaded.killchain_api_url, loaded.forensic_api_url, loaded.db_api_url) == (
        "http://localhost:8005",
        "http://localhost:8006",
        "http://localhost:8009",
    )
    assert loaded.bind == "127.0.0.1"


def test_production_is_the_default_profile_and_starts_with_all_it_requires():
    loaded = env.load(PRODUCTION)
    assert not loaded.is_development
    assert not loaded.uses_embedded_database
    assert loaded.output_dir == Path("/srv/ransomeye/bundles")


@pytest.mark.parametrize("missing", sorted(PRODUCTION))
def test_production_refuses_to_start_without(missing):
    lines = faults_of({name: value for name, value in PRODUCTION.items() if name != missing})
    assert len(lines) == 1
    assert lines[0].startswith(f"{missing}: required in production")


def test_production_refuses_callers_without_a_name():
    assert faults_of({**PRODUCTION, "ORCH_ANONYMOUS_API_ROLE": "viewer"}) == [
        "ORCH_ANONYMOUS_API_ROLE: only the development profile may set it"
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ORCH_PROFILE", "staging"),
        ("DB_PORT", "five"),
        ("DB_PORT", "0"),
        ("DB_PORT", "65536"),
        ("ORCH_API_PORT", "80a"),
        ("ORCH_API_PORT", "9094"),
        ("ORCH_METRICS_PORT", "-1"),
        ("ORCH_WORKER_COUNT", "0"),
        ("ORCH_WEB_THREADS", "1000"),
        ("ORCH_LEASE_SECONDS", "1"),
        ("ORCH_HEARTBEAT_SECONDS", "16"),
        ("ORCH_BIND", "not an address"),
        ("CORE_API_URL", "localhost:8000"),
        ("CORE_API_URL", "http://[::1"),
        ("KILLCHAIN_API_URL", "ftp://killchain"),
        ("KILLCHAIN_API_URL", "http://user:secret@killchain"),
        ("FORENSIC_API_URL", "http://forensic:99999"),
        ("DB_API_URL", "http://db/?q=1"),
        ("KILLCHAIN_API_PORT", "x"),
        ("FORENSIC_API_PORT", "x"),
        ("DB_API_PORT", "x"),
        ("ORCH_SOURCE_TIMEOUT_SECONDS", "0"),
        ("ORCH_MAX_UPLOAD_MB", "much"),
        ("ORCH_VERIFY_AFTER_CREATE", "sometimes"),
        ("MTLS_ENABLED", "maybe"),
        ("ORCH_ALLOW_UNSIGNED_RESTORE", "2"),
        ("ORCH_ANONYMOUS_API_ROLE", "root"),
        ("OUTPUT_DIR", "~no-such-user-here/bundles"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_its_variable_and_not_the_value(name, value):
    lines = faults_of({**PRODUCTION, name: value})
    assert len(lines) == 1
    assert "\n" not in lines[0]
    expected = "ORCH_METRICS_PORT" if (name, value) == ("ORCH_API_PORT", "9094") else name
    assert lines[0].startswith(f"{expected}: ")
    assert "secret" not in lines[0]


def test_one_start_names_every_fault():
    lines = faults_of({**DEVELOPMENT, "DB_PORT": "x", "ORCH_WORKER_COUNT": "x", "MTLS_ENABLED": "true"})
    assert {line.split(":")[0] for line in lines} == {"DB_PORT", "ORCH_WORKER_COUNT", "MTLS_CERT_DIR"}


def test_a_secret_may_come_from_a_file(tmp_path):
    (tmp_path / "password").write_text("from the file\n")
    loaded = env.load({**PRODUCTION, "DB_PASS_FILE": str(tmp_path / "password")})
    assert loaded.db_pass == "from the file"


def test_a_secret_file_that_cannot_be_read_is_named_by_its_variable(tmp_path):
    without_key = {name: value for name, value in PRODUCTION.items() if name != "ORCH_SECRET_KEY"}
    lines = faults_of({**without_key, "ORCH_SECRET_KEY_FILE": str(tmp_path / "absent")})
    assert lines[0] == "ORCH_SECRET_KEY_FILE: cannot read it (FileNotFoundError)"


def test_a_secret_given_twice_is_refused(tmp_path):
    (tmp_path / "password").write_text("one")
    environ = {**PRODUCTION, "DB_PASS": "two", "DB_PASS_FILE": str(tmp_path / "password")}
    assert faults_of(environ) == ["DB_PASS: set either DB_PASS or DB_PASS_FILE, not both"]


def test_source_ports_and_urls_go_together():
    loaded = env.load({**DEVELOPMENT, "KILLCHAIN_API_PORT": "18005", "DB_API_URL": "https://db.example/api/"})
    assert loaded.killchain_api_url == "http://localhost:18005"
    assert loaded.db_api_url == "https://db.example/api"


def manage(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def test_manage_ends_with_code_2_and_one_line_for_each_fault():
    ended = manage("check", ORCH_PROFILE="development", DB_PORT="x", ORCH_API_PORT="y")
    assert ended.returncode == 2
    assert ended.stderr.splitlines() == [
        "settings: ORCH_API_PORT: expected a whole number from 1 to 65535",
        "settings: DB_PORT: expected a whole number from 1 to 65535",
    ]


def test_manage_names_what_production_misses_without_a_traceback():
    ended = manage("migrate")
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    named = {line.split(": ")[1] for line in ended.stderr.splitlines()}
    assert named == set(PRODUCTION)


def test_an_embedded_database_that_has_no_place_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    ended = manage("check", ORCH_PROFILE="development", ORCH_VAR_DIR=str(tmp_path / "file"))
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stderr.startswith("database: ORCH_VAR_DIR: cannot write below it")
