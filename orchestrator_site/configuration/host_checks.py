"""System checks of the host: keys, directories, certificates, the database server.

They run before the server starts, in `manage.py check --deploy --database default` and for /ready, but not before every
command: `migrate` and `generate_signing_key` must work on a host that has no key yet.
"""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004 # Django's name

from bundles.format.model.errors import FormatError
from bundles.format.model.signing import KeyRing
from bundles.keys import trusted_keys
from bundles.storage import store_identity
from orchestrator_site.accounts import mtls
from orchestrator_site.configuration import checks
from orchestrator_site.configuration.checks import TAG
from orchestrator_site.operations.probe_connection import GIVE_UP_S, DatabaseError, quick_cursor

OLDEST_POSTGRESQL = 140000  # server_version_num


@register(TAG, deploy=True)
def signing_key(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """The private key is readable, by its owner only, and strong enough."""
    del app_configs, kwargs
    path = Path(settings.ORCH_SIGN_KEY_PATH)
    found: list[CheckMessage] = []
    try:
        mode = path.stat().st_mode
    except OSError as error:
        hint = "Make a key with `manage.py generate_signing_key`, or name yours and let the service's user read it."
        return [Error(f"ORCH_SIGN_KEY_PATH: cannot be read ({error.strerror})", hint=hint, id="orch.E001")]
    if mode & 0o077:
        hint = "Run chmod 600 on it; make a new key if others may have read this one."
        found.append(Error("ORCH_SIGN_KEY_PATH: users other than its owner can access it", hint=hint, id="orch.E002"))
    try:
        trusted_keys.active_id()
    except FormatError as error:
        number = "orch.E003" if error.code == "key_unsuitable" else "orch.E001"
        hint = "Name an unencrypted PEM file with an RSA key of 3,072 bits or more."
        found.append(Error(f"ORCH_SIGN_KEY_PATH: {error.detail.rstrip('.')}", hint=hint, id=number))
    return found


@register(TAG, deploy=True)
def verify_keys(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """The trusted keys are readable and include the signing key."""
    del app_configs, kwargs
    path = Path(settings.ORCH_VERIFY_KEY_PATH)
    try:
        ring = KeyRing.load([path])
    except FormatError as error:
        hint = "Name a PEM public key (RSA), or a folder with only such files, one key each, revoked ones in revoked/."
        return [Error(f"ORCH_VERIFY_KEY_PATH: {error.detail.rstrip('.')}", hint=hint, id="orch.E004")]
    try:
        active = trusted_keys.active_id()
    except FormatError:
        return []  # reported by `signing_key`
    trusted = ring.find(active)
    if trusted is not None and not trusted.revoked:
        return []
    problem = "the signing key is revoked" if trusted else "the signing key's public part is missing"
    hint = "Add it (openssl pkey -in ORCH_SIGN_KEY_PATH -pubout), or sign with a trusted key."
    return [Error(f"ORCH_VERIFY_KEY_PATH: {problem}", hint=hint, id="orch.E005")]


@register(TAG, deploy=True)
def directories(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """Each directory exists and is writable."""
    del app_configs, kwargs
    named = {
        "OUTPUT_DIR": settings.OUTPUT_DIR,
        "FORENSIC_STORAGE_PATH": settings.FORENSIC_STORAGE_PATH,
        "ORCH_VAR_DIR": settings.VAR_DIR,
    }
    if settings.ORCH_INTAKE_DIR is not None:
        named["ORCH_INTAKE_DIR"] = settings.ORCH_INTAKE_DIR
    found: list[CheckMessage] = []
    for name, path in named.items():
        try:
            with tempfile.TemporaryFile(dir=path) as file:
                file.write(b"writable")
        except OSError as error:
            hint = "Create it, owned by the service's user, on a disk with free space."
            found.append(Error(f"{name}: not writable ({error.strerror})", hint=hint, id="orch.E006"))
    return found


@register(TAG, deploy=True)
def client_certificates(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """With MTLS_ENABLED: the server's certificate and the issuers load, and a client certificate exists."""
    del app_configs, kwargs
    if not settings.MTLS_ENABLED:
        return []
    layout = mtls.Layout.below(Path(settings.MTLS_CERT_DIR or ""))
    hint = "docs/operations.md lists the files of MTLS_CERT_DIR."
    found: list[CheckMessage] = []
    try:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(layout.ca))
        context.load_cert_chain(str(layout.server_certificate), str(layout.server_key))
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or type(error).__name__
        message = f"MTLS_CERT_DIR: ca.pem, server.pem and server.key cannot be used ({reason})"
        found.append(Error(message, hint=hint, id="orch.E012"))
    usable = 0
    for file in mtls.client_files(layout.clients):
        try:
            usable += len(mtls.read_certificates(file.path))
        except ValueError as error:
            found.append(Warning(f"MTLS_CERT_DIR: clients/{error}", hint=hint, id="orch.W012"))
    if not usable:
        message = "MTLS_CERT_DIR: no client certificate in clients/, so no client can connect"
        found.append(Error(message, hint=hint, id="orch.E012"))
    return found


@register(TAG, deploy=True)
def static_files(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """In production the static files are collected."""
    del app_configs, kwargs
    if settings.WHITENOISE_USE_FINDERS or (Path(settings.STATIC_ROOT) / "admin").is_dir():
        return []
    hint = "Run `manage.py collectstatic --no-input` once for each installed version."
    return [Warning("ORCH_VAR_DIR: the static files are not collected", hint=hint, id="orch.W015")]


@register(TAG, Tags.database, deploy=True)
def database_version(
    app_configs: Sequence[Any] | None, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """The database is PostgreSQL 14 or later; that it does not answer is only a warning."""
    del app_configs, kwargs
    if not databases:
        return []
    try:
        with quick_cursor() as cursor:
            cursor.execute("SELECT current_setting('server_version_num')::int")
            row = cursor.fetchone()
    except DatabaseError:
        hint = "Start it, or correct DB_HOST, DB_PORT, DB_NAME, DB_USER and DB_PASS."
        return [Warning("DB_HOST: the database does not answer", hint=hint, id="orch.W013")]
    if row is not None and row[0] >= OLDEST_POSTGRESQL:
        return []
    return [Error("DB_HOST: the server is older than PostgreSQL 14", hint="Upgrade the server.", id="orch.E013")]


@register(TAG, Tags.database, deploy=True)
def known_stores(
    app_configs: Sequence[Any] | None, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Both directories are the stores that are registered in the database."""
    del app_configs, kwargs
    if not databases:
        return []
    try:
        problems = wrong_stores()
    except DatabaseError:
        return []  # reported by `database_version`, or there is no table yet
    return [
        Error(problem, hint=f"{store_identity.what_to_do(kind)}.", id=checks.WRONG_STORE)
        for kind, problem in problems.items()
    ]


def wrong_stores(give_up_s: int = GIVE_UP_S) -> dict[str, str]:
    """The directories that are not the stores registered in the database: kind → what differs, in words.

    A missing directory is not among them: it is a fault of its own.

    Args:
        give_up_s: how long to wait for the database, in seconds.

    Raises:
        DatabaseError: it gives no answer.
    """
    with quick_cursor(give_up_s) as cursor:
        cursor.execute(store_identity.KNOWN_SQL)
        known = store_identity.known_of(cursor.fetchall())
    present = [kind for kind in store_identity.VARIABLES if store_identity.root(kind).is_dir()]
    return {kind: words for kind in present if (words := store_identity.difference(kind, known.get(kind)))}
