"""Our queue: real worker processes below the product's supervisor, requests through `jobs.queue.queue.enqueue`."""

from __future__ import annotations

import json
import os
import sys
import time

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.queue_settings"
django.setup()

from django.conf import settings  # noqa: E402 # Django must be set up before
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402

from benchmarks import queue_rows  # noqa: E402
from benchmarks.queue_app import NOOP  # noqa: E402
from benchmarks.queue_sides import asking, result_table  # noqa: E402
from foundation.principal import SYSTEM  # noqa: E402
from jobs.queue import queue  # noqa: E402
from jobs.queue.claim_request import ClaimRequest  # noqa: E402
from orchestrator_site.accounts import roles, session_age  # noqa: E402
from orchestrator_site.accounts.session_store import SessionStore  # noqa: E402
from orchestrator_site.launch import preparation  # noqa: E402


def main(what: str, number: int) -> None:
    """Do one thing; `number` counts jobs, or processes for `work`."""
    if what == "install":
        call_command("migrate", verbosity=0, interactive=False)
        with connection.cursor() as cursor:
            cursor.execute(result_table.CREATE)
    elif what == "fill":
        connection.ensure_connection()
        queue_rows.make(connection.connection, number, job_type=NOOP)
    elif what == "work":
        call_command("run_orch_worker", concurrency=number)
    elif what == "ask":
        asking.ask(lambda: queue.enqueue(NOOP, {}, principal=SYSTEM, operation="bench"), number)
    elif what == "claim":
        _claim(number)
    elif what == "prepare":
        _prepare()


def _claim(number: int) -> None:
    """Claim `number` jobs one after the other; prints the seconds of each."""
    queue.claim(ClaimRequest("bench", (NOOP,)))
    seconds = []
    for _ in range(number):
        started = time.perf_counter()
        if queue.claim(ClaimRequest("bench", (NOOP,))) is None:
            raise AssertionError("nothing to claim")
        seconds.append(time.perf_counter() - started)
    sys.stdout.write(json.dumps(seconds) + "\n")


def _prepare() -> None:
    """Make what serving needs: directories, a signing key, and an admin who is signed in; prints the session."""
    preparation.directories()
    preparation.signing_key()
    user, _ = User.objects.get_or_create(username="bench", is_staff=True, is_superuser=True)
    roles.assign_role(user, "admin")
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[-1]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session_age.begin(session)
    session.create()
    sys.stdout.write(json.dumps({"session": session.session_key, "secret_key": settings.SECRET_KEY}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
