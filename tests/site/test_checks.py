"""System checks: each finding names its variable, and what is sound passes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.db import connection

from orchestrator_site.configuration import checks, host_checks
from tests.support.site_deployment import environment, free_ports, manage

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("orch")]


def found() -> dict[str, str]:
    return {str(one.id): one.msg for one in checks.findings()}


def private_pem(bits: int) -> bytes:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def in_production(settings) -> None:
    settings.ORCH_PROFILE = "production"
    settings.SECRET_KEY = "an honest key of this test, long and of many letters: 0123456789"
    settings.VAR_DIR = Path("/nowhere/near/the/database")


def test_a_sound_deployment_has_no_finding(orch):
    (orch.root / "static" / "admin").mkdir(parents=True)
    assert found() == {}
    assert checks.require_ready() == []


def test_a_missing_signing_key(orch):
    orch.sign_key.unlink()
    assert found() == {"orch.E001": "ORCH_SIGN_KEY_PATH: cannot be read (No such file or directory)"}


def test_a_signing_key_that_is_no_key(orch):
    orch.sign_key.write_text("-----BEGIN PRIVATE KEY-----\nnothing\n-----END PRIVATE KEY-----\n")
    assert "orch.E001" in found()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o602])
def test_a_signing_key_that_others_may_use(orch, mode):
    orch.sign_key.chmod(mode)
    assert list(found()) == ["orch.E002"]


def test_a_signing_key_that_is_too_short(orch):
    orch.sign_key.write_bytes(private_pem(2048))
    assert "orch.E003" in found()
    with pytest.raises(checks.NotReadyError) as refused:
        checks.require_ready()
    assert refused.value.lines[0].startswith("orch.E003 ORCH_SIGN_KEY_PATH: ")


def test_trusted_keys_that_cannot_be_read_or_are_none(orch):
    (orch.trusted / "broken.pem").write_text("no key")
    assert found()["orch.E004"].startswith("ORCH_VERIFY_KEY_PATH: ")
    (orch.trusted / "broken.pem").unlink()
    (orch.trusted / "signer.pem").unlink()
    assert list(found()) == ["orch.E004"]


def test_a_revocation_that_cannot_be_read(orch):
    (orch.trusted / "revoked").symlink_to(orch.trusted / "nowhere")
    assert list(found()) == ["orch.E004"]
    (orch.trusted / "revoked").unlink()
    (orch.trusted / "revoked").mkdir()
    (orch.trusted / "revoked" / "k.pub").write_text("ssh-rsa AAAA")
    assert "revoked/k.pub" in found()["orch.E004"]


def test_trusted_keys_without_the_signing_key(orch):
    orch.sign_key.write_bytes(private_pem(3072))
    assert found() == {"orch.E005": "ORCH_VERIFY_KEY_PATH: the signing key's public part is missing"}


def test_a_signing_key_that_was_revoked(orch):
    (orch.trusted / "revoked").mkdir()
    (orch.trusted / "signer.pem").rename(orch.trusted / "revoked" / "signer.pem")
    assert found() == {"orch.E005": "ORCH_VERIFY_KEY_PATH: the signing key is revoked"}


def test_directories_that_are_missing_or_take_no_file(orch, settings):
    orch.output_dir.rmdir()
    settings.FORENSIC_STORAGE_PATH = Path("/proc/self")  # nobody, not even root, makes files there
    messages = [one.msg for one in checks.findings() if one.id == "orch.E006"]
    assert len(messages) == 2
    assert messages[0].startswith("OUTPUT_DIR: ")
    assert messages[1].startswith("FORENSIC_STORAGE_PATH: ")


@pytest.mark.parametrize(("output", "forensic"), [("a", "a"), ("a/b", "a"), ("a", "a/b"), ("link", "a")])
def test_stores_within_one_another(orch, settings, output, forensic):
    (orch.root / "a" / "b").mkdir(parents=True)
    (orch.root / "link").symlink_to(orch.root / "a" / "b")
    settings.OUTPUT_DIR, settings.FORENSIC_STORAGE_PATH = orch.root / output, orch.root / forensic
    assert list(found()) == ["orch.E007"]


def test_a_watched_folder_within_a_store_or_that_cannot_be_written(settings, orch):
    settings.ORCH_INTAKE_DIR = orch.output_dir
    assert "orch.E007" in found()
    settings.ORCH_INTAKE_DIR = orch.root / "missing"
    assert list(found()) == ["orch.E006"]
    settings.ORCH_INTAKE_DIR.mkdir()
    assert not found()


def test_production_on_the_embedded_database(settings):
    in_production(settings)
    socket_directory = Path(connection.settings_dict["HOST"])
    assert checks.production_database(None) == []
    settings.VAR_DIR = socket_directory.parent
    assert [one.id for one in checks.production_database(None)] == ["orch.E008"]


@pytest.mark.parametrize("key", ["hunter2", "a" * 60, "django-insecure-" + "x1y2z3w4v5u6" * 5])
def test_production_with_a_secret_key_that_can_be_guessed(settings, key):
    in_production(settings)
    assert checks.secret_key(None) == []
    settings.SECRET_KEY = key
    assert [one.id for one in checks.secret_key(None)] == ["orch.E009"]
    assert key not in str(checks.secret_key(None))


def test_production_with_callers_without_a_name(settings):
    settings.ORCH_ANONYMOUS_API_ROLE = "viewer"
    assert checks.anonymous_callers(None) == []
    in_production(settings)
    assert [one.id for one in checks.anonymous_callers(None)] == ["orch.E010"]


def test_any_host_name_is_an_error_in_production_and_a_warning_in_development(settings):
    settings.ALLOWED_HOSTS = ["*"]
    (warning,) = checks.host_names(None)
    assert not warning.is_serious()
    in_production(settings)
    (error,) = checks.host_names(None)
    assert error.is_serious()


def test_mutual_tls_without_its_files(orch, settings):
    settings.MTLS_ENABLED, settings.MTLS_CERT_DIR = True, orch.root / "mtls"
    messages = [one.msg for one in host_checks.client_certificates(None)]
    assert messages == [
        "MTLS_CERT_DIR: ca.pem, server.pem and server.key cannot be used (No such file or directory)",
        "MTLS_CERT_DIR: no client certificate in clients/, so no client can connect",
    ]


def test_a_client_certificate_that_cannot_be_read_is_a_warning_and_others_still_count(orch, settings):
    directory = orch.root / "mtls"
    (directory / "clients").mkdir(parents=True)
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-keyout", "server.key"]
    subprocess.run([*command, "-out", "server.pem"], cwd=directory, check=True, capture_output=True)
    for name in ("ca.pem", "clients/analyst.pem"):
        (directory / name).write_bytes((directory / "server.pem").read_bytes())
    settings.MTLS_ENABLED, settings.MTLS_CERT_DIR = True, directory
    assert host_checks.client_certificates(None) == []
    (directory / "clients" / "broken.pem").write_text("no certificate")
    assert [one.id for one in host_checks.client_certificates(None)] == ["orch.W012"]


def test_a_database_that_does_not_answer_is_a_warning(settings, monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "HOST", "127.0.0.1")
    monkeypatch.setitem(connection.settings_dict, "PORT", str(free_ports(1)[0]))
    assert [one.id for one in host_checks.database_version(None, databases=["default"])] == ["orch.W013"]


def test_migrate_and_check_work_before_there_is_any_key(orch):
    orch.sign_key.unlink()
    for arguments in (("migrate", "--check"), ("check",)):
        ended = manage(*arguments, env=environment(orch))
        assert ended.returncode == 0, ended.stderr
    deep = manage("check", "--deploy", "--database", "default", "--tag", checks.TAG, env=environment(orch))
    assert deep.returncode == 1
    assert "(orch.E001) ORCH_SIGN_KEY_PATH" in deep.stderr


def test_every_finding_names_a_variable_and_says_what_to_do(orch, settings):
    orch.sign_key.chmod(0o644)
    (orch.trusted / "signer.pem").unlink()
    settings.OUTPUT_DIR = settings.FORENSIC_STORAGE_PATH
    settings.ALLOWED_HOSTS = ["*"]
    everything = checks.findings()
    assert len(everything) >= 4
    known = set(os.environ) | {
        "ORCH_SIGN_KEY_PATH",
        "ORCH_VERIFY_KEY_PATH",
        "OUTPUT_DIR",
        "ORCH_ALLOWED_HOSTS",
        "ORCH_VAR_DIR",
    }
    for one in everything:
        assert one.msg.split(":")[0] in known
        assert one.hint
        assert "\n" not in checks.line_of(one)
