"""`manage.py run_everything`, which `make run` calls: from nothing to a running system; Ctrl-C stops all of it."""

from __future__ import annotations

import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from bundles.models import Bundle
from orchestrator_site import embedded_postgres
from orchestrator_site.env import ROLES
from orchestrator_site.launch import groundwork
from orchestrator_site.launch.children import Children
from orchestrator_site.launch.ports import Port, taken
from orchestrator_site.launch.walkthrough import walk

READY_S = 60.0
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")


class Command(BaseCommand):
    """Runs until Ctrl-C; exit 0 then, 1 when something could not start or ended by itself."""

    help = "Prepare what is missing, start sample sources, workers and web server, and run the main job once."
    requires_system_checks: list[str] = []

    def handle(self, *args: object, **options: Any) -> None:
        """Prepare, start, show, wait, stop."""
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        faults = taken(_ports())
        if faults:
            embedded_postgres.stop_if_started_here(settings.ENV.var_dir / "postgres")
            raise CommandError("\n".join(faults))
        children = Children(Path(settings.VAR_DIR) / "log")
        try:
            passwords, folders = self._prepare()
            self._start(children, folders, stop)
            if not stop.is_set():
                self._show_main_job()
                self._tell_how_to_sign_in(passwords)
            while not stop.wait(0.5):
                if name := children.ended():
                    raise CommandError(f"{name} ended by itself; its log is {children.log_of(name)}")
        finally:
            self._say("stopping")
            children.stop()
            if settings.ENV.uses_embedded_database:
                embedded_postgres.stop(settings.ENV.var_dir / "postgres")
            self._say("stopped")

    def _prepare(self) -> tuple[dict[str, str], list[Path]]:
        started = time.monotonic()
        groundwork.directories()
        groundwork.tables()
        groundwork.known_stores()
        made_key = groundwork.signing_key()
        passwords = groundwork.users()
        folders = groundwork.sample_data()
        self._say(f"database, tables, keys{' (new)' if made_key else ''}, users and sample data are there")
        self._say(f"incidents at hand: {', '.join(groundwork.incident_ids(folders))}")
        self._say(f"prepared in {time.monotonic() - started:.1f} s")
        return passwords, folders

    def _start(self, children: Children, folders: list[Path], stop: threading.Event) -> None:
        if settings.ENV.secret_key_is_generated:
            children.environ({"ORCH_SECRET_KEY_FILE": str(groundwork.secret_key())})
        if _sources_are_ours():
            children.start("sources", ["serve_sample_sources", *(f"--data={folder}" for folder in folders)])
        children.start("workers", ["run_orch_worker"])
        children.start("web", ["serve"])
        deadline = time.monotonic() + READY_S
        last = "no answer"
        while not stop.is_set():
            if name := children.ended():
                log = children.log_of(name)
                raise CommandError(f"{name} did not start; the end of {log}:\n{_tail(log)}")
            try:
                answer = requests.get(_address("/ready"), timeout=10)
                if answer.status_code == 200:
                    self._say("ready: web, workers, storage and keys answer")
                    return
                last = ", ".join(name for name, part in answer.json()["parts"].items() if not part["ok"])
            except requests.RequestException:
                pass
            if time.monotonic() > deadline:
                raise CommandError(f"not ready after {READY_S:.0f} s ({last}); see {children.log_of('web').parent}")
            stop.wait(0.2)

    def _show_main_job(self) -> None:
        known = Bundle.objects.filter(incident_id=groundwork.SAMPLE_INCIDENT).order_by("-created_at").first()
        if known is not None:
            self._say(f"the main job ran before; its last bundle: {Path(settings.OUTPUT_DIR) / known.name}")
            return
        self._say(f"the main job, once, on {groundwork.SAMPLE_INCIDENT}:")
        result = walk(groundwork.SAMPLE_INCIDENT, lambda line: self._say("  " + line))
        if result.failure:
            raise CommandError(f"the main job did not hold: {result.failure}")
        self._say(f"  done in {result.seconds:.1f} s")

    def _tell_how_to_sign_in(self, passwords: dict[str, str]) -> None:
        self._say("")
        self._say(f"console  {_address('/')}")
        self._say(f"API      {_address('/docs')}")
        self._say(f"metrics  http://{settings.ENV.bind}:{settings.ENV.metrics_port}/metrics")
        if passwords:
            self._say("sign in as one of these (passwords are shown only now):")
            for role in ROLES:
                if role in passwords:
                    self._say(f"  {role:9} {passwords[role]}")
        if len(passwords) < len(ROLES):
            self._say("users made earlier keep their passwords; set a new one with: .venv/bin/python manage.py")
            self._say("  changepassword NAME   (in the environment that `make run` uses; see the README)")
        self._say("Ctrl-C stops everything.")

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
        sys.stdout.flush()


def _address(path: str) -> str:
    host = "localhost" if settings.ENV.bind in LOCAL_HOSTS else settings.ENV.bind
    return f"http://{host}:{settings.ENV.api_port}{path}"


def _sources_are_ours() -> bool:
    """Whether the sources are on this machine, where sample services can take their place."""
    urls = (settings.KILLCHAIN_API_URL, settings.FORENSIC_API_URL, settings.DB_API_URL)
    return all(urlsplit(url).hostname in LOCAL_HOSTS for url in urls)


def _ports() -> list[Port]:
    env = settings.ENV
    ports = [
        Port(env.bind, env.api_port, "the console and API", "ORCH_API_PORT"),
        Port(env.bind, env.metrics_port, "the metrics", "ORCH_METRICS_PORT"),
    ]
    if _sources_are_ours():
        for url, name in (
            (settings.KILLCHAIN_API_URL, "KILLCHAIN"),
            (settings.FORENSIC_API_URL, "FORENSIC"),
            (settings.DB_API_URL, "DB"),
        ):
            ports.append(Port("127.0.0.1", urlsplit(url).port or 80, "a sample source", f"{name}_API_PORT"))
    return ports


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
