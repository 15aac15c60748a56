"""Reads the environment; no other module does.

`load` turns environment variables into an `Environment`, or raises `SettingsError` with one line for each
variable that is wrong or missing. The disk is accessed only to read a value from `NAME_FILE`.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from orchestrator_site.configuration.env_reader import Given, Reader, SettingsError

__all__ = ["BASE_DIR", "ROLES", "Environment", "Given", "SettingsError", "load"]

BASE_DIR = Path(__file__).resolve().parents[2]
ROLES = ("viewer", "analyst", "operator", "admin")


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Every setting of the orchestrator, parsed, named after its variable."""

    profile: str
    secret_key: str
    secret_key_is_generated: bool
    allowed_hosts: tuple[str, ...]
    trusted_origins: tuple[str, ...]
    var_dir: Path
    db_host: str
    db_port: int
    db_name: str
    db_user: str
    db_pass: str
    bind: str
    api_port: int
    metrics_port: int
    worker_count: int
    web_threads: int
    lease_s: int
    job_limits: dict[str, int]
    disk_reserve_bytes: int
    heartbeat_s: int
    keep_completed_days: int
    keep_failed_days: int
    keep_cancelled_days: int
    recycle_jobs: int
    recycle_memory_mb: int
    db_pooled: bool
    sign_key_path: Path
    sign_key_retire_on: date | None
    verify_key_path: Path
    output_dir: Path
    forensic_storage_path: Path
    core_api_url: str
    killchain_api_url: str
    forensic_api_url: str
    db_api_url: str
    source_timeout_s: int
    max_upload_bytes: int
    mtls_enabled: bool
    mtls_cert_dir: Path | None
    anonymous_api_role: str
    allow_unsigned_restore: bool
    environment_name: str
    sign_in_failures: int
    sign_in_cool_off_minutes: int
    session_idle_minutes: int
    session_hours: int
    given: tuple[Given, ...]

    @property
    def is_development(self) -> bool:
        """Whether the development profile is in force."""
        return self.profile == "development"

    @property
    def uses_embedded_database(self) -> bool:
        """Whether to use an embedded PostgreSQL under `var_dir`, because DB_HOST names no server."""
        return not self.db_host


def load(environ: Mapping[str, str]) -> Environment:
    """Parse `environ`.

    Args:
        environ: variable names to values, as in `os.environ`.

    Returns:
        The settings in force.

    Raises:
        SettingsError: with one line for each variable that is wrong or missing.
    """
    read = Reader(environ)
    profile = read.choice("ORCH_PROFILE", "production", ("production", "development"))
    development = profile == "development"
    var_dir = read.path("ORCH_VAR_DIR", BASE_DIR / "var") or BASE_DIR / "var"

    def needed_path(name: str, development_default: Path) -> Path:
        value = read.path(name, development_default if development else None)
        if value is None and not any(fault.startswith(name) for fault in read.faults):
            read.faults.append(f"{name}: required in production")
        return value or development_default

    secret_key = read.text("ORCH_SECRET_KEY")
    generated = not secret_key
    if generated:
        if not development:
            read.faults.append("ORCH_SECRET_KEY: required in production (at least 50 random characters)")
        secret_key = secrets.token_urlsafe(50)
    db_host = read.text("DB_HOST")
    if not db_host and not development:
        read.faults.append("DB_HOST: required in production (an embedded database is for development only)")
    anonymous = read.choice("ORCH_ANONYMOUS_API_ROLE", "", ROLES)
    if anonymous and not development:
        read.faults.append("ORCH_ANONYMOUS_API_ROLE: only the development profile may set it")
    mtls = read.flag("MTLS_ENABLED", default=False)
    mtls_dir = read.path("MTLS_CERT_DIR", None)
    if mtls and mtls_dir is None:
        read.faults.append("MTLS_CERT_DIR: required when MTLS_ENABLED is true")
    allowed_hosts = read.words("ORCH_ALLOWED_HOSTS", ("localhost", "127.0.0.1", "[::1]") if development else ())
    if not allowed_hosts:
        read.faults.append("ORCH_ALLOWED_HOSTS: required in production (comma-separated host names)")
    lease_s = read.whole("ORCH_LEASE_SECONDS", 30, 2, 3600)
    heartbeat_s = read.whole("ORCH_HEARTBEAT_SECONDS", min(10, max(1, lease_s // 3)), 1, 1200)
    if heartbeat_s * 2 > lease_s:
        read.faults.append("ORCH_HEARTBEAT_SECONDS: must be at most half of ORCH_LEASE_SECONDS")
    api_port = read.whole("ORCH_API_PORT", 8012, 1, 65535)
    metrics_port = read.whole("ORCH_METRICS_PORT", 9094, 1, 65535)
    if api_port == metrics_port:
        read.faults.append("ORCH_METRICS_PORT: must differ from ORCH_API_PORT")

    environment = Environment(
        profile=profile,
        secret_key=secret_key,
        secret_key_is_generated=generated,
        allowed_hosts=allowed_hosts,
        trusted_origins=read.words("ORCH_TRUSTED_ORIGINS", ()),
        var_dir=var_dir,
        db_host=db_host,
        db_port=read.whole("DB_PORT", 5432, 1, 65535),
        db_name=read.text("DB_NAME", "ransomeye"),
        db_user=read.text("DB_USER", "postgres" if not db_host else "ransomeye"),
        db_pass=read.text("DB_PASS"),
        bind=read.address("ORCH_BIND", "127.0.0.1"),
        api_port=api_port,
        metrics_port=metrics_port,
        worker_count=read.whole("ORCH_WORKER_COUNT", 4, 1, 256),
        web_threads=read.whole("ORCH_WEB_THREADS", 8, 1, 256),
        lease_s=lease_s,
        job_limits=read.limits("ORCH_JOB_LIMITS"),
        disk_reserve_bytes=read.whole("ORCH_DISK_RESERVE_MB", 512, 0, 1_048_576) * 1024 * 1024,
        heartbeat_s=heartbeat_s,
        keep_completed_days=read.whole("ORCH_KEEP_COMPLETED_DAYS", 90, 0, 36500),
        keep_failed_days=read.whole("ORCH_KEEP_FAILED_DAYS", 180, 0, 36500),
        keep_cancelled_days=read.whole("ORCH_KEEP_CANCELLED_DAYS", 90, 0, 36500),
        recycle_jobs=read.whole("ORCH_WORKER_RECYCLE_JOBS", 10_000, 0, 1_000_000_000),
        recycle_memory_mb=read.whole("ORCH_WORKER_RECYCLE_MEMORY_MB", 1024, 0, 16_777_216),
        db_pooled=read.flag("ORCH_DB_POOLED", default=False),
        sign_key_path=needed_path("ORCH_SIGN_KEY_PATH", var_dir / "keys" / "orch_sign_private.pem"),
        sign_key_retire_on=read.parsed("ORCH_SIGN_KEY_RETIRE_ON", None, date.fromisoformat, "a date, YYYY-MM-DD"),
        verify_key_path=needed_path("ORCH_VERIFY_KEY_PATH", var_dir / "keys" / "trusted"),
        output_dir=needed_path("OUTPUT_DIR", var_dir / "bundles"),
        forensic_storage_path=needed_path("FORENSIC_STORAGE_PATH", var_dir / "forensic"),
        core_api_url=read.url("CORE_API_URL", ""),
        killchain_api_url=read.url(
            "KILLCHAIN_API_URL", f"http://localhost:{read.whole('KILLCHAIN_API_PORT', 8005, 1, 65535)}"
        ),
        forensic_api_url=read.url(
            "FORENSIC_API_URL", f"http://localhost:{read.whole('FORENSIC_API_PORT', 8006, 1, 65535)}"
        ),
        db_api_url=read.url("DB_API_URL", f"http://localhost:{read.whole('DB_API_PORT', 8009, 1, 65535)}"),
        source_timeout_s=read.whole("ORCH_SOURCE_TIMEOUT_SECONDS", 30, 1, 3600),
        max_upload_bytes=read.whole("ORCH_MAX_UPLOAD_MB", 65536, 1, 16_777_216) * 1024 * 1024,
        mtls_enabled=mtls,
        mtls_cert_dir=mtls_dir,
        anonymous_api_role=anonymous,
        allow_unsigned_restore=read.flag("ORCH_ALLOW_UNSIGNED_RESTORE", default=False),
        environment_name=read.text("ORCH_ENVIRONMENT_NAME", profile),
        sign_in_failures=read.whole("ORCH_SIGN_IN_FAILURES", 5, 1, 100),
        sign_in_cool_off_minutes=read.whole("ORCH_SIGN_IN_COOL_OFF_MINUTES", 15, 1, 1440),
        session_idle_minutes=read.whole("ORCH_SESSION_IDLE_MINUTES", 30, 1, 1440),
        session_hours=read.whole("ORCH_SESSION_HOURS", 8, 1, 168),
        given=tuple(read.given.values()),  # last, after every variable has been read
    )
    if read.faults:
        raise SettingsError(read.faults)
    return environment
