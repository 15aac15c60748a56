"""System checks that need only the settings, including those across several variables.

`configuration.host_checks` checks keys, directories and the database. Every finding names its variable and says what to
do. The server calls `require_ready` before it starts.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import ERROR as ERROR_LEVEL
from django.core.checks import CheckMessage, Error, Warning, register, run_checks  # noqa: A004 # Django's name

TAG = "orchestrator"
SECRET_LENGTH = 50
SECRET_VARIETY = 10
WRONG_STORE = "orch.E016"
PLACEHOLDERS = ("django-insecure-", "changeme", "change-me", "secret")


class NotReadyError(Exception):
    """The server must not start; `lines` holds each reason with what to do about it."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("; ".join(lines))
        self.lines = lines


def findings() -> list[CheckMessage]:
    """Every finding of our checks, including those of keys, disks and the database."""
    return run_checks(tags=[TAG], include_deployment_checks=True, databases=["default"])


def require_ready() -> list[CheckMessage]:
    """Check that the server may start.

    A wrong store does not prevent that: the disk may come back; until then the server refuses requests that need it.

    Returns:
        The findings that do not prevent it.

    Raises:
        NotReadyError: there are errors.
    """
    found = findings()
    errors = [one for one in found if one.level >= ERROR_LEVEL and one.id != WRONG_STORE]
    if errors:
        raise NotReadyError([line_of(one) for one in errors])
    return found


def line_of(finding: CheckMessage) -> str:
    """A finding on one line: its id, what is wrong, what to do."""
    return f"{finding.id} {finding.msg}. {finding.hint}"


def _in_production() -> bool:
    return bool(settings.ORCH_PROFILE == "production")


@register(TAG)
def secret_key(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """The secret key is long and random."""
    del app_configs, kwargs
    key = settings.SECRET_KEY
    weak = len(key) < SECRET_LENGTH or len(set(key)) < SECRET_VARIETY or key.lower().startswith(PLACEHOLDERS)
    if not (weak and _in_production()):
        return []
    hint = "Set the output of: python -c 'import secrets; print(secrets.token_urlsafe(50))'"
    return [Error("ORCH_SECRET_KEY: too short or a placeholder", hint=hint, id="orch.E009")]


@register(TAG)
def stores_apart(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """The bundle store, the artifact store and the watched folder do not contain each other."""
    del app_configs, kwargs
    named = {"OUTPUT_DIR": settings.OUTPUT_DIR, "FORENSIC_STORAGE_PATH": settings.FORENSIC_STORAGE_PATH}
    if settings.ORCH_INTAKE_DIR is not None:
        named["ORCH_INTAKE_DIR"] = settings.ORCH_INTAKE_DIR
    resolved = {name: Path(path).resolve() for name, path in named.items()}
    return [
        Error(
            f"{one}: overlaps with {other}",
            hint="Use separate directories, neither inside the other.",
            id="orch.E007",
        )
        for one, other in combinations(resolved, 2)
        if resolved[one].is_relative_to(resolved[other]) or resolved[other].is_relative_to(resolved[one])
    ]


@register(TAG)
def production_database(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """Production uses a PostgreSQL server, not the embedded database."""
    del app_configs, kwargs
    host = str(settings.DATABASES["default"]["HOST"])
    embedded = not host or Path(host).is_relative_to(Path(settings.VAR_DIR).resolve())
    if not (embedded and _in_production()):
        return []
    hint = "Name a PostgreSQL server of version 14 or later."
    return [Error("DB_HOST: production cannot use the embedded database", hint=hint, id="orch.E008")]


@register(TAG)
def anonymous_callers(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """Anonymous API callers are allowed in development only."""
    del app_configs, kwargs
    if not (settings.ORCH_ANONYMOUS_API_ROLE and _in_production()):
        return []
    hint = "Unset it; give scripts a token or a client certificate."
    return [Error("ORCH_ANONYMOUS_API_ROLE: not allowed in production", hint=hint, id="orch.E010")]


@register(TAG)
def host_names(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """Only listed host names are accepted, so that links cannot contain a forged one."""
    del app_configs, kwargs
    if "*" not in settings.ALLOWED_HOSTS:
        return []
    kind = Error if _in_production() else Warning
    hint = "List the host names of the site."
    return [kind("ORCH_ALLOWED_HOSTS: * accepts any host name", hint=hint, id="orch.E011")]


@register(TAG, deploy=True)
def plain_http(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """The service is not reachable over the network without TLS."""
    del app_configs, kwargs
    bind = settings.ENV.bind
    local = bind == "localhost" or ipaddress.ip_address(bind).is_loopback
    if local or settings.MTLS_ENABLED or not _in_production():
        return []
    hint = "Bind to 127.0.0.1 with a TLS proxy in front, or set MTLS_ENABLED."
    return [Warning("ORCH_BIND: plain HTTP is reachable from the network", hint=hint, id="orch.W014")]
