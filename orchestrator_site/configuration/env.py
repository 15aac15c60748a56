"""Every setting of the orchestrator, declared once: variable, kind, default, bounds and meaning.

`load` reads them from the environment; the check of each value, the page of settings health and the table in
docs/operations.md come from the same declarations. Nothing here touches the disk, except to read a secret from
`NAME_FILE`.
"""
# ruff: noqa: RUF009, FBT003 # `setting` declares a field; a default is what it is

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any

from orchestrator_site.configuration.env_reader import (
    ADDRESS,
    DATE,
    FLAG,
    LIMITS,
    PATH,
    TEXT,
    URL,
    WORDS,
    Given,
    MissingError,
    Reader,
    Setting,
    SettingsError,
    choice,
    setting,
    whole,
)

__all__ = ["BASE_DIR", "ROLES", "Environment", "Given", "SettingsError", "declared", "load"]

BASE_DIR = Path(__file__).resolve().parents[2]
ROLES = ("viewer", "analyst", "operator", "admin")
MIB = 1024 * 1024
MOST_MB = 16_777_216
IN_VAR = "required; below `ORCH_VAR_DIR` in development"


def _development(known: Mapping[str, Any]) -> bool:
    return bool(known["profile"] == "development")


def _in_development(value: Any, form: str = "") -> Any:
    """A default of the development profile alone."""

    def default(known: Mapping[str, Any]) -> Any:
        if not _development(known):
            raise MissingError("required in production" + (f" ({form})" if form else ""))
        return value(known) if callable(value) else value

    return default


def _below_var(*parts: str) -> Any:
    return _in_development(lambda known: known["var_dir"].joinpath(*parts))


def _secret_key(known: Mapping[str, Any]) -> str:
    if not _development(known):
        raise MissingError("required in production (at least 50 random characters)")
    return secrets.token_urlsafe(50)


def _source(port: str) -> Any:
    return lambda known: f"http://localhost:{known[port]}"


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Every setting, parsed. A default may use the settings declared before it."""

    profile: str = setting(
        "ORCH_PROFILE", choice("production", "development"), "production", "`production` or `development`"
    )
    secret_key: str = setting(
        "ORCH_SECRET_KEY",
        TEXT,
        _secret_key,
        "signs sessions; 50 random characters or more",
        "required; random at each start in development",
    )
    allowed_hosts: tuple[str, ...] = setting(
        "ORCH_ALLOWED_HOSTS",
        WORDS,
        _in_development(("localhost", "127.0.0.1", "[::1]"), "comma-separated host names"),
        "host names of the site, comma-separated",
        "required; loopback in development",
    )
    trusted_origins: tuple[str, ...] = setting(
        "ORCH_TRUSTED_ORIGINS", WORDS, (), "origins whose forms are accepted, such as `https://orchestrator.example`"
    )
    environment_name: str = setting(
        "ORCH_ENVIRONMENT_NAME",
        TEXT,
        lambda known: known["profile"],
        "shown in the console, such as `production EU`",
        "the profile",
    )
    bind: str = setting("ORCH_BIND", ADDRESS, "127.0.0.1", "IP address to listen on, both ports")
    api_port: int = setting("ORCH_API_PORT", whole(1, 65535), 8012, "port of console and API")
    metrics_port: int = setting("ORCH_METRICS_PORT", whole(1, 65535), 9094, "port of the metrics")
    web_threads: int = setting("ORCH_WEB_THREADS", whole(1, 256), 8, "threads of each web process")
    worker_count: int = setting("ORCH_WORKER_COUNT", whole(1, 256), 4, "worker processes")
    job_limits: dict[str, int] = setting(
        "ORCH_JOB_LIMITS",
        LIMITS,
        {},
        "how many jobs of a type run at once, on all hosts together: `bundle_create=2,bundle_verify=1,upload_verify=1`",
        "no limit",
    )
    disk_reserve_mb: int = setting(
        "ORCH_DISK_RESERVE_MB",
        whole(0, 1_048_576),
        512,
        "MiB of OUTPUT_DIR's file system that bundle jobs leave free; a job that needs more than is left waits, and "
        "its page says so",
    )
    lease_s: int = setting(
        "ORCH_LEASE_SECONDS",
        whole(2, 3600),
        30,
        "after this long without a heartbeat another worker takes the job",
    )
    heartbeat_s: int = setting(
        "ORCH_HEARTBEAT_SECONDS",
        whole(1, 1200),
        lambda known: min(10, max(1, known["lease_s"] // 3)),
        "at most half the lease",
        "a third of the lease, at most 10",
    )
    keep_completed_days: int = setting(
        "ORCH_KEEP_COMPLETED_DAYS", whole(0, 36500), 90, "how long a completed job is kept; 0: for ever"
    )
    keep_failed_days: int = setting(
        "ORCH_KEEP_FAILED_DAYS", whole(0, 36500), 180, "how long a failed job is kept; 0: for ever"
    )
    keep_cancelled_days: int = setting(
        "ORCH_KEEP_CANCELLED_DAYS", whole(0, 36500), 90, "how long a cancelled job is kept; 0: for ever"
    )
    recycle_jobs: int = setting(
        "ORCH_WORKER_RECYCLE_JOBS",
        whole(0, 1_000_000_000),
        10_000,
        "jobs after which a worker process is replaced by a fresh one; 0: never",
    )
    recycle_memory_mb: int = setting(
        "ORCH_WORKER_RECYCLE_MEMORY_MB",
        whole(0, MOST_MB),
        1024,
        "resident memory in MiB, checked after each job, above which a worker process is replaced; 0: never",
    )
    db_host: str = setting(
        "DB_HOST",
        TEXT,
        _in_development("", "an embedded database is for development only"),
        "PostgreSQL; may be a socket directory",
        "required; an embedded server in development",
    )
    db_port: int = setting("DB_PORT", whole(1, 65535), 5432, "its port")
    db_name: str = setting("DB_NAME", TEXT, "ransomeye", "the database")
    db_user: str = setting(
        "DB_USER",
        TEXT,
        lambda known: "ransomeye" if known["db_host"] else "postgres",
        "the database's role",
        "`ransomeye`",
    )
    db_pass: str = setting("DB_PASS", TEXT, "", "its password")
    db_pooled: bool = setting(
        "ORCH_DB_POOLED", FLAG, False, "PostgreSQL is reached through a proxy that pools transactions; see below"
    )
    var_dir: Path = setting(
        "ORCH_VAR_DIR",
        PATH,
        BASE_DIR / "var",
        "static files, metrics of the web processes, the embedded database",
        "`var/` beside `manage.py`",
    )
    sign_key_path: Path = setting(
        "ORCH_SIGN_KEY_PATH",
        PATH,
        _below_var("keys", "orch_sign_private.pem"),
        "private key, PEM, RSA of 3,072 bits or more, mode 0600",
        IN_VAR,
    )
    sign_key_retire_on: date | None = setting(
        "ORCH_SIGN_KEY_RETIRE_ON",
        DATE,
        None,
        "date, YYYY-MM-DD, on which the signing key is to be replaced; Home reminds from 30 days before",
    )
    verify_key_path: Path = setting(
        "ORCH_VERIFY_KEY_PATH",
        PATH,
        _below_var("keys", "trusted"),
        "trusted public keys: a PEM file, or a folder of such files with an optional `revoked/` inside; see "
        "[Keys](#keys)",
        IN_VAR,
    )
    output_dir: Path = setting("OUTPUT_DIR", PATH, _below_var("bundles"), "bundles", IN_VAR)
    forensic_storage_path: Path = setting(
        "FORENSIC_STORAGE_PATH",
        PATH,
        _below_var("forensic"),
        "artifact files; neither inside `OUTPUT_DIR` nor around it",
        IN_VAR,
    )
    core_api_url: str = setting("CORE_API_URL", URL, "", "the site's core service, shown as information")
    killchain_api_port: int = setting(
        "KILLCHAIN_API_PORT", whole(1, 65535), 8005, "port on localhost, used without `KILLCHAIN_API_URL`"
    )
    killchain_api_url: str = setting(
        "KILLCHAIN_API_URL",
        URL,
        _source("killchain_api_port"),
        "the source of timelines; http or https, without credentials",
        "`http://localhost:` and the port above",
    )
    forensic_api_port: int = setting(
        "FORENSIC_API_PORT", whole(1, 65535), 8006, "port on localhost, used without `FORENSIC_API_URL`"
    )
    forensic_api_url: str = setting(
        "FORENSIC_API_URL",
        URL,
        _source("forensic_api_port"),
        "the source of artifacts",
        "`http://localhost:` and the port above",
    )
    db_api_port: int = setting("DB_API_PORT", whole(1, 65535), 8009, "port on localhost, used without `DB_API_URL`")
    db_api_url: str = setting(
        "DB_API_URL", URL, _source("db_api_port"), "the source of alerts", "`http://localhost:` and the port above"
    )
    source_timeout_s: int = setting(
        "ORCH_SOURCE_TIMEOUT_SECONDS", whole(1, 3600), 30, "seconds for which a source may be silent"
    )
    sources_file: Path | None = setting(
        "ORCH_SOURCES_FILE",
        PATH,
        None,
        "TOML file of the systems that evidence is read from and of the profiles that name them; see "
        "[sources.md](sources.md). With it, the three URLs above are the profile `default` only if one of them is set "
        "and the file has no such profile",
    )
    intake_dir: Path | None = setting(
        "ORCH_INTAKE_DIR",
        PATH,
        None,
        "watched folder: files put into it are imported, see [Watched folder](#watched-folder); neither inside "
        "`OUTPUT_DIR` or `FORENSIC_STORAGE_PATH` nor around them",
    )
    verify_after_create: bool = setting(
        "ORCH_VERIFY_AFTER_CREATE",
        FLAG,
        True,
        "whether each new bundle is verified by a job of its own, which reads the stored file again",
    )
    max_upload_mb: int = setting(
        "ORCH_MAX_UPLOAD_MB", whole(1, MOST_MB), 65536, "largest bundle that can be uploaded, in MiB"
    )
    allow_unsigned_restore: bool = setting(
        "ORCH_ALLOW_UNSIGNED_RESTORE",
        FLAG,
        False,
        "lets holders of the permission restore without checking the signature",
    )
    anonymous_api_role: str = setting(
        "ORCH_ANONYMOUS_API_ROLE", choice(*ROLES), "", "role of loopback callers without a token; development only"
    )
    sign_in_failures: int = setting(
        "ORCH_SIGN_IN_FAILURES",
        whole(1, 100),
        5,
        "failed sign-ins in a row after which a user name is refused from that address; see below",
    )
    sign_in_cool_off_minutes: int = setting(
        "ORCH_SIGN_IN_COOL_OFF_MINUTES", whole(1, 1440), 15, "for how many minutes it is refused"
    )
    session_idle_minutes: int = setting(
        "ORCH_SESSION_IDLE_MINUTES", whole(1, 1440), 30, "minutes without activity after which a console session ends"
    )
    session_hours: int = setting(
        "ORCH_SESSION_HOURS", whole(1, 168), 8, "hours after which a console session ends in any case"
    )
    mtls_enabled: bool = setting("MTLS_ENABLED", FLAG, False, "demand client certificates; see below")
    mtls_cert_dir: Path | None = setting("MTLS_CERT_DIR", PATH, None, "where the certificates are; see below")
    given: tuple[Given, ...] = ()

    @property
    def is_development(self) -> bool:
        """Whether the development profile is in force."""
        return self.profile == "development"

    @property
    def uses_embedded_database(self) -> bool:
        """Whether an embedded PostgreSQL under `var_dir` takes the place of a server named by DB_HOST."""
        return not self.db_host

    @property
    def names_a_source(self) -> bool:
        """Whether the environment names one of the three services, by URL or by port."""
        named = re.compile(r"(KILLCHAIN|FORENSIC|DB)_API_(URL|PORT)")
        return any(named.fullmatch(one.name) and one.origin != "default" for one in self.given)

    @property
    def secret_key_is_generated(self) -> bool:
        """Whether ORCH_SECRET_KEY was not set, so that each start has another one."""
        return any(one.name == "ORCH_SECRET_KEY" and one.origin == "default" for one in self.given)


def declared() -> dict[str, Setting]:
    """Each attribute of `Environment` that is a setting, with its declaration, in order."""
    return {one.name: one.metadata["setting"] for one in fields(Environment) if "setting" in one.metadata}


def load(environ: Mapping[str, str]) -> Environment:
    """Read every setting.

    Args:
        environ: variable names to values, as in `os.environ`.

    Returns:
        The settings in force.

    Raises:
        SettingsError: with one line for each variable that is wrong or missing.
    """
    reader = Reader(environ)
    known: dict[str, Any] = {}
    for attribute, one in declared().items():
        known[attribute] = reader.read(one, known)
    faults = [*reader.faults, *_contradictions(known)]
    if faults:
        raise SettingsError(faults)
    return Environment(**known, given=tuple(reader.given))


def _contradictions(known: Mapping[str, Any]) -> list[str]:
    """What is wrong with settings that are right each by itself."""
    found = []
    if known["anonymous_api_role"] and not _development(known):
        found.append("ORCH_ANONYMOUS_API_ROLE: only the development profile may set it")
    if known["mtls_enabled"] and known["mtls_cert_dir"] is None:
        found.append("MTLS_CERT_DIR: required when MTLS_ENABLED is true")
    if known["heartbeat_s"] * 2 > known["lease_s"]:
        found.append("ORCH_HEARTBEAT_SECONDS: must be at most half of ORCH_LEASE_SECONDS")
    if known["api_port"] == known["metrics_port"]:
        found.append("ORCH_METRICS_PORT: must differ from ORCH_API_PORT")
    return found


def table() -> list[str]:
    """The rows of the table in docs/operations.md: variable, meaning with bounds, default."""
    rows = []
    for one in declared().values():
        bounds = one.kind.expected.removeprefix("a whole number from ") if "whole number" in one.kind.expected else ""
        meaning = f"{one.meaning} ({bounds})" if bounds else one.meaning
        plain = _plain(one.default)
        rows.append(f"| `{one.name}` | {meaning} | {one.default_in_words or (f'`{plain}`' if plain else 'none')} |")
    return rows


def _plain(default: Any) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    return "" if default in (None, "", (), {}) else str(default)
