"""Settings health: the settings in force, the results of the checks, and versions; also as plain text.

It contains no secrets: for a secret variable `env_reader` records only whether it is set, and everything else that
looks like a credential is redacted.
"""

from __future__ import annotations

import importlib.metadata
import logging
import platform
import re
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import psycopg2.extensions
import zstandard
from cryptography.hazmat.backends.openssl import backend as cryptography_openssl
from django.conf import settings
from django.core.checks import ERROR
from django.core.checks.registry import registry
from django.db import connection
from django.utils import timezone

from bundles.sources import configured
from bundles.sources.health import SourceHealth
from foundation.redaction import redact_text
from orchestrator_site.configuration import env
from orchestrator_site.configuration.checks import TAG
from orchestrator_site.configuration.env_reader import Given, is_secret
from orchestrator_site.configuration.env_reader import Setting as Declared

log = logging.getLogger(__name__)

LIBRARIES = (
    "Django", "djangorestframework", "django-rest-knox", "django-axes", "django-csp", "django-htmx", "gunicorn",
    "whitenoise", "psycopg2-binary", "cryptography", "requests",
)  # fmt: skip


# Topics of the page in its order, each with the variables that belong to it; the first that matches counts.
TOPICS = (
    ("Sources", r"(KILLCHAIN|FORENSIC|DB|CORE)_API_|ORCH_(SOURCES?|INTAKE)_"),
    ("Keys and signatures", r"ORCH_(SIGN_KEY|VERIFY_KEY|VERIFY_|ALLOW_UNSIGNED)"),
    ("Storage", r"OUTPUT_DIR|FORENSIC_STORAGE|ORCH_(VAR_DIR|MAX_UPLOAD|DISK_)"),
    ("Jobs and workers", r"ORCH_(JOB|WORKER|LEASE|HEARTBEAT|KEEP)_"),
    ("Database", r"DB_|ORCH_DB_"),
    ("Sign-in and access", r"MTLS_|ORCH_(SIGN_IN|SESSION|ANONYMOUS)_"),
    ("Site", r"ORCH_(PROFILE|SECRET|ALLOWED|TRUSTED|ENVIRONMENT|BIND|API_PORT|METRICS|WEB_)"),
)
OTHER = "Other"


class Setting(NamedTuple):
    """One variable as shown: never with a secret's value.

    `differs` is false when its value is the default's, wherever it comes from.
    """

    name: str
    value: str
    origin: str
    is_secret: bool
    meaning: str
    differs: bool


class Topic(NamedTuple):
    """The settings of one topic: those that differ from the default, and the others."""

    title: str
    differing: list[Setting]
    defaults: list[Setting]


class Finding(NamedTuple):
    """One finding of a check; `level` is `error` or `warning`."""

    number: str
    level: str
    message: str
    hint: str


@dataclass(frozen=True, kw_only=True)
class Check:
    """One system check and its findings."""

    name: str
    about: str
    findings: list[Finding]

    @property
    def worst(self) -> str:
        """`error`, `warning` or `ok`."""
        levels = {finding.level for finding in self.findings}
        return "error" if "error" in levels else "warning" if levels else "ok"


class SystemRow(NamedTuple):
    """One system of the file of sources as shown: whose files are named, and whose secrets are not."""

    name: str
    adapter: str
    url: str
    credential: str
    files: list[str]
    rules: str
    profiles: list[str]
    faults: list[str]


@dataclass(frozen=True, kw_only=True)
class Health:
    """Settings, checks and versions."""

    settings: list[Setting]
    checks: list[Check]
    versions: list[tuple[str, str]]
    systems: list[SystemRow]

    @property
    def found(self) -> list[Check]:
        """The checks that found something, errors first."""
        return sorted((one for one in self.checks if one.findings), key=lambda one: (one.worst != "error", one.name))


def collect() -> Health:
    """Collect everything except the state of the sources, which can take seconds."""
    return Health(settings=in_force(), checks=checks(), versions=versions(), systems=systems())


def in_force() -> list[Setting]:
    """Every variable that is read, by name."""
    declared = {one.name: one for one in env.declared().values()}
    shown = []
    for given in settings.ENV.given:
        secret = is_secret(given.name)
        value = ("set" if given.is_set else "not set") if secret else redact_text(given.value)
        if given.name == "ORCH_SECRET_KEY" and settings.ENV.secret_key_is_generated:
            value = "generated at start"
        origin = f"file ({given.name}_FILE)" if given.origin == "file" else given.origin
        meaning = declared[given.name].meaning.replace("`", "").replace("; see below", "")
        shown.append(Setting(given.name, value, origin, secret, meaning, _differs(given, declared[given.name])))
    return sorted(shown)


def by_topic(shown: Iterable[Setting], search: str = "") -> list[Topic]:
    """Settings by topic, in the order of `TOPICS`; topics without any are left out.

    Args:
        shown: the settings.
        search: words, all of which must be in a setting's name, value, meaning or topic.
    """
    words = search.lower().split()
    groups: dict[str, list[Setting]] = {title: [] for title in (*(title for title, _ in TOPICS), OTHER)}
    for one in shown:
        title = next((title for title, names in TOPICS if re.match(names, one.name)), OTHER)
        text = f"{one.name} {'' if one.is_secret else one.value} {one.meaning} {title}".lower()
        if all(word in text for word in words):
            groups[title].append(one)
    return [
        Topic(title, [one for one in found if one.differs], [one for one in found if not one.differs])
        for title, found in groups.items()
        if found
    ]


def checks() -> list[Check]:
    """Run each of our checks separately, so that a crash of one hides no other."""
    ours = [one for one in registry.get_checks(include_deployment_checks=True) if TAG in getattr(one, "tags", ())]
    run = []
    for check in sorted(ours, key=_name):
        about = (check.__doc__ or "").strip().splitlines()[0]
        try:
            found = check(app_configs=None, databases=["default"])
        except Exception as error:
            log.exception("the check %s crashed", _name(check))
            crash = Finding("", "error", f"The check crashed ({type(error).__name__})", "The log has the reason.")
            run.append(Check(name=_name(check), about=about, findings=[crash]))
            continue
        findings = [
            Finding(
                str(one.id),
                "error" if one.level >= ERROR else "warning",
                redact_text(str(one.msg)),
                redact_text(str(one.hint or "")),
            )
            for one in found
        ]
        run.append(Check(name=_name(check), about=about, findings=findings))
    return run


def systems() -> list[SystemRow]:
    """The systems of the file of sources that is in force, with the faults that the file has now."""
    known, now = configured.current(), configured.on_disk()
    if known.file is None:
        return []
    rows = []
    for one in known.file.systems.values():
        named = {"CA": one.ca_file, "certificate": one.client_cert, "key": one.client_key}
        files = [f"{what} {path}" for what, path in named.items() if path]
        credential = "none"
        if one.credential is not None:
            what = {
                "bearer": "token",
                "header": f"header {one.credential.name}",
                "basic": f"user {one.credential.name}",
            }
            credential = what[one.credential.kind]
            files.insert(0, f"secret {one.credential.secret_file}")
        said = [f"severities {one.severities}"] if one.severities else []
        said += [f"{name} {value}" for name, value in one.times.items()]
        faults = [str(fault) for fault in now.about(one.name)] if now else []
        profiles = known.users_of(one.name)
        rows.append(SystemRow(one.name, one.adapter, one.url, credential, files, ", ".join(said), profiles, faults))
    return rows


def versions() -> list[tuple[str, str]]:
    """Versions of this product and of what it runs on."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        server = str(cursor.fetchone()[0])
    return [
        ("RansomEye Orchestrator", settings.VERSION),
        ("Python", platform.python_version()),
        ("PostgreSQL", server),
        ("libpq", _dotted(psycopg2.extensions.libpq_version())),
        ("OpenSSL (Python)", ssl.OPENSSL_VERSION),
        ("OpenSSL (cryptography)", cryptography_openssl.openssl_version_text()),
        ("libzstd", ".".join(map(str, zstandard.ZSTD_VERSION))),
        ("System", f"{platform.system()} {platform.release()} {platform.machine()}"),
        *((name, importlib.metadata.version(name)) for name in LIBRARIES),
    ]


def as_text(health: Health, sources: Iterable[SourceHealth] | None = None) -> str:
    """The report as plain text for a ticket, without secrets.

    Args:
        health: the report.
        sources: the state of the sources, if they were checked.
    """
    now = f"{timezone.now():%Y-%m-%d %H:%M:%S} UTC"
    lines = [
        f"RansomEye Orchestrator {settings.VERSION}, {redact_text(settings.ORCH_ENVIRONMENT_NAME)}, {now}",
        "This report contains no secrets.",
        "",
        "Checks",
    ]
    for check in health.checks:
        lines += [f"  {check.worst:<8} {check.name}"]
        lines += [f"           {one.number} {one.message}. {one.hint}" for one in check.findings]
    if sources is not None:
        lines += ["", "Sources"]
        lines += [redact_text(f"  {one.title}: {one.url or '-'} {one.detail}{_note(one)}") for one in sources]
    for row in health.systems:
        lines += ["", f"System {row.name}: {row.adapter} {redact_text(row.url)}, credential {row.credential}"]
        lines += [f"  {line}" for line in (*row.files, f"profiles {', '.join(row.profiles) or 'none'}", *row.faults)]
    lines += ["", "Versions", *(f"  {name}: {version}" for name, version in health.versions)]
    lines += ["", "Settings", *(f"  {one.name}={one.value}  [{one.origin}]" for one in health.settings)]
    return "\n".join(lines) + "\n"


def _differs(given: Given, declared: Declared) -> bool:
    """Whether a variable is set to something else than its default; a default that depends on others is another."""
    if given.origin == "default":
        return False
    if is_secret(given.name) or callable(declared.default):
        return True
    try:
        return bool(declared.kind.parse(given.value) != declared.default)
    except ValueError:  # reported when the settings were read
        return True


def _name(check: object) -> str:
    return str(getattr(check, "__name__", "check"))


def _note(source: SourceHealth) -> str:
    return " (for information)" if source.informational else ""


def _dotted(number: int) -> str:
    return f"{number // 10000}.{number % 10000}"
