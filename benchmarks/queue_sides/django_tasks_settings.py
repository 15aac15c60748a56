"""Settings of a Django project with django-tasks-db alone, on psycopg 3 with persistent connections."""

import os

SECRET_KEY = "benchmarks"  # noqa: S105 # guards nothing
USE_TZ = True
INSTALLED_APPS = ["django_tasks", "django_tasks_db"]
TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": os.environ["DB_HOST"],
        "NAME": os.environ["DB_NAME"],
        "USER": os.environ["DB_USER"],
        "CONN_MAX_AGE": None,
    }
}
