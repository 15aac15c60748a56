"""Fixtures shared by all tests: a real PostgreSQL of the test run's own, and directories that are thrown away."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.scratch import OWNS_SCRATCH, SCRATCH

pytest_plugins = ["tests.support.browser", "tests.support.html_validator"]


def pytest_sessionstart(session: pytest.Session) -> None:
    """Let the run's server leave it to the kernel when to write to the disk: it is thrown away in any case.

    A commit is still a commit when a server process dies; emptying the tables between tests takes half the time.
    """
    if OWNS_SCRATCH:
        import psycopg2
        from django.conf import settings

        database = settings.DATABASES["default"]
        server = psycopg2.connect(host=database["HOST"], user=database["USER"], dbname=database["NAME"])
        server.autocommit = True
        with server.cursor() as cursor:
            for setting in ("fsync", "full_page_writes"):
                cursor.execute(f"ALTER SYSTEM SET {setting} = off")
            cursor.execute("SELECT pg_reload_conf()")
        server.close()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the run's server and remove its directory, in the process that made them."""
    if OWNS_SCRATCH:
        from orchestrator_site.operations import embedded_postgres

        embedded_postgres.stop(SCRATCH / "postgres")
        shutil.rmtree(SCRATCH, ignore_errors=True)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> None:
    """The test database; transactional tests leave it as they found it."""
    with django_db_blocker.unblock():
        from tests.support.emptying import Emptying

        flush_may_empty_the_custody_table()
        Emptying().install()


def flush_may_empty_the_custody_table() -> None:
    """Let Django's flush pass the triggers that keep custody append-only."""
    from django.db.backends.postgresql.operations import DatabaseOperations

    original = DatabaseOperations.execute_sql_flush

    def flush(self: Any, sql_list: Any) -> Any:
        as_replica = ["SET session_replication_role = replica", *sql_list, "SET session_replication_role = origin"]
        return original(self, as_replica)

    DatabaseOperations.execute_sql_flush = flush  # type: ignore[method-assign]


@pytest.fixture(scope="session")
def signing_key_pem() -> bytes:
    """An RSA-3072 private key, the smallest that may sign; one for the session, as making one takes a second."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    return rsa.generate_private_key(public_exponent=65537, key_size=3072).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@pytest.fixture(scope="session")
def verifying_key_pem(signing_key_pem: bytes) -> bytes:
    """Its public half."""
    from cryptography.hazmat.primitives import serialization

    public = serialization.load_pem_private_key(signing_key_pem, password=None).public_key()
    return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


@dataclass(frozen=True)
class Orchestrator:
    """The directories and keys of one test's deployment."""

    root: Path
    output_dir: Path
    forensic: Path
    sign_key: Path
    trusted: Path


@pytest.fixture
def orch(tmp_path: Path, settings: Any, signing_key_pem: bytes, verifying_key_pem: bytes) -> Orchestrator:
    """A deployment of the test's own: empty bundle and artifact stores, one signing key that is trusted."""
    made = Orchestrator(
        root=tmp_path,
        output_dir=tmp_path / "bundles",
        forensic=tmp_path / "forensic",
        sign_key=tmp_path / "keys" / "sign.pem",
        trusted=tmp_path / "keys" / "trusted",
    )
    for directory in (made.output_dir, made.forensic, made.trusted):
        directory.mkdir(parents=True)
    made.sign_key.write_bytes(signing_key_pem)
    made.sign_key.chmod(0o600)
    (made.trusted / "signer.pem").write_bytes(verifying_key_pem)
    settings.OUTPUT_DIR = made.output_dir
    settings.FORENSIC_STORAGE_PATH = made.forensic
    settings.ORCH_SIGN_KEY_PATH = made.sign_key
    settings.ORCH_VERIFY_KEY_PATH = made.trusted
    settings.VAR_DIR = tmp_path
    return made
