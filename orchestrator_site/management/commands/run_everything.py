"""`manage.py run_everything`, which `make run` calls: from nothing to a running system; Ctrl-C stops all of it.

Here is what needs Django: tables, keys, users, sample data. Then `orchestrator_site.launch.launcher` takes the place of
this process, without Django, and starts, watches and stops the rest.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from orchestrator_site.configuration.env import ROLES
from orchestrator_site.launch import own_sources, preparation
from orchestrator_site.launch.launcher import Plan
from orchestrator_site.launch.own_sources import LOCAL_HOSTS, Source
from orchestrator_site.launch.ports import Port, taken
from orchestrator_site.launch.signals import STOPS
from orchestrator_site.operations import embedded_postgres

ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 # nothing is bound here: how to reach what is


class _StopAskedError(BaseException):
    """SIGINT or SIGTERM came; as with KeyboardInterrupt, no handler of ordinary errors may swallow it."""


class Command(BaseCommand):
    """Runs until Ctrl-C; exit 0 then, 1 when something could not start or ended by itself."""

    help = "Prepare what is missing, start sample sources, workers and web server, and run the main job once."
    requires_system_checks: list[str] = []

    def handle(self, *args: object, **options: Any) -> None:
        """Prepare, then become the launcher."""
        for number in STOPS:
            signal.signal(number, _stop_asked)
        self._is_alone = False
        try:
            samples = self._places()
            self._is_alone = True  # nobody else runs on our ports, so the database is nobody else's
            plan = self._prepare(samples)
            signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)  # the launcher lets them in when it can handle them
        except _StopAskedError:
            self._say("stopping")
            self._stop_database()
            self._say("stopped")
            return
        except BaseException:
            self._stop_database()
            raise
        connections.close_all()
        os.chdir(settings.BASE_DIR)
        launcher = [sys.executable, "-m", "orchestrator_site.launch.launcher", plan.as_argument()]
        os.execv(sys.executable, launcher)  # noqa: S606 # no shell

    def _places(self) -> list[Source]:
        """The sources in whose place sample services are to listen, once every port that is needed is free.

        Raises:
            CommandError: one is not.
        """
        env = settings.ENV
        if env.mtls_enabled:
            raise CommandError("MTLS_ENABLED: everything at once runs without client certificates; start `serve` alone")
        found = own_sources.sources(env)
        samples = own_sources.to_be_served(found)
        ports = [
            Port(env.bind, env.api_port, "the console and API", "ORCH_API_PORT"),
            Port(env.bind, env.metrics_port, "the metrics", "ORCH_METRICS_PORT"),
            *(source.port for source in samples),
        ]
        if faults := taken(ports):
            raise CommandError("\n".join(faults))
        for source in found:
            if source not in samples:
                self._say(f"the {source.service} source is used where it is, {source.url}")
        return samples

    def _prepare(self, samples: list[Source]) -> Plan:
        started = time.monotonic()
        preparation.directories()
        preparation.tables()
        preparation.known_stores()
        made_key = preparation.signing_key()
        made_users = self._make_users()
        folders = preparation.sample_data() if samples else []
        self._say(f"database, tables, keys{' (new)' if made_key else ''} and users are there")
        if samples:
            self._say(f"incidents of the sample sources: {', '.join(preparation.incident_ids(folders))}")
        self._say(f"prepared in {time.monotonic() - started:.1f} s")
        env = settings.ENV
        # The sample incident is whole only where all three sources are ours.
        are_all_ours = len(samples) == len(own_sources.sources(env))
        return Plan(
            log_dir=str(Path(settings.VAR_DIR) / "log"),
            environ={"ORCH_SECRET_KEY_FILE": str(preparation.secret_key())} if env.secret_key_is_generated else {},
            sources={source.service: source.port.number for source in samples},
            folders=[str(folder) for folder in folders],
            address=(ANY_ADDRESS.get(env.bind, env.bind), env.api_port),
            host=settings.ALLOWED_HOSTS[0].lstrip("*.") or "localhost",
            main_job=preparation.SAMPLE_INCIDENT if are_all_ours else "",
            closing=_closing(made_users),
            embedded_database=str(env.var_dir / "postgres") if env.uses_embedded_database else "",
        )

    def _make_users(self) -> int:
        """How many users were made; each password is shown at once, as nobody can be told it later."""
        made = 0
        for role, password in preparation.users():
            if not made:
                self._say("sign in as one of these (passwords are shown only now):")
            self._say(f"  {role:9} {password}")
            made += 1
        return made

    def _stop_database(self) -> None:
        if settings.ENV.uses_embedded_database:
            stop = embedded_postgres.stop if self._is_alone else embedded_postgres.stop_if_started_here
            stop(settings.ENV.var_dir / "postgres")

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()


def _stop_asked(number: int, frame: object) -> None:
    del number, frame
    raise _StopAskedError


def _address(path: str) -> str:
    env = settings.ENV
    host = "localhost" if env.bind in LOCAL_HOSTS else f"[{env.bind}]" if ":" in env.bind else env.bind
    return f"http://{host}:{env.api_port}{path}"


def _closing(made_users: int) -> list[str]:
    """What to say when all is ready."""
    lines = [
        "",
        f"console  {_address('/')}",
        f"API      {_address('/docs')}",
        f"metrics  http://{settings.ENV.bind}:{settings.ENV.metrics_port}/metrics",
    ]
    if made_users:
        lines.append("sign in with a name and password from above")
    if made_users < len(ROLES):
        lines.append("users made earlier keep their passwords; set a new one with: .venv/bin/python manage.py")
        lines.append("  changepassword NAME   (in the environment that `make run` uses; see the README)")
    return [*lines, "Ctrl-C stops everything."]
