"""`manage.py demo`, which `make demo` calls: the main job on every available incident, then stop.

It runs on sources and workers of its own, on ports that the system chooses, and prints one line an incident. Exit 0
only when every step of every incident held.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from bundles.samples.services import DB, FORENSIC, KILLCHAIN, SampleServices
from orchestrator_site.launch import preparation
from orchestrator_site.launch.children import Children
from orchestrator_site.launch.walkthrough import STEPS, Walk, walk
from orchestrator_site.operations import embedded_postgres

WORKERS = 2
HEAD = ("incident", "alerts", "events", "artifacts", "bundle bytes", "seconds", *STEPS)


class Command(BaseCommand):
    """Walks the main job through every incident."""

    help = "bundle, verify, refuse a changed byte, rehydrate, rehydrate again, bundle again: for every incident."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("incident", nargs="*", metavar="INCIDENT_ID", help="only these (default: all available)")

    def handle(self, *args: object, **options: Any) -> None:
        """Prepare, walk, print the table, stop.

        Raises:
            CommandError: a step did not hold.
        """
        try:
            walks = self._run(options["incident"])
        finally:
            if settings.ENV.uses_embedded_database:
                embedded_postgres.stop(settings.ENV.var_dir / "postgres")
        self._print_table(walks)
        failed = [f"{result.incident_id}: {result.failure}" for result in walks if result.failure]
        if failed:
            raise CommandError("\n".join(failed))
        self.stdout.write("every step held")

    def _run(self, only: list[str]) -> list[Walk]:
        preparation.directories()
        preparation.tables()
        preparation.known_stores()
        preparation.signing_key()
        folders = preparation.sample_data()
        children = Children(Path(settings.VAR_DIR) / "log")
        sources = SampleServices(folders).start()
        try:
            children.environ(
                {
                    "KILLCHAIN_API_URL": sources.url(KILLCHAIN),
                    "FORENSIC_API_URL": sources.url(FORENSIC),
                    "DB_API_URL": sources.url(DB),
                }
            )
            children.start("workers", ["run_orch_worker", f"--concurrency={WORKERS}"])
            fault = partial(children.fault, ("workers",))
            return self._walk_all(only or preparation.incident_ids(folders), fault)
        finally:
            children.stop()
            sources.stop()

    def _walk_all(self, incident_ids: list[str], fault: Callable[[], str]) -> list[Walk]:
        walks = []
        for incident_id in incident_ids:
            self.stdout.write(f"\n{incident_id}")
            walks.append(walk(incident_id, self._say, fault))
        return walks

    def _say(self, line: str) -> None:
        self.stdout.write("  " + line)
        self.stdout.flush()

    def _print_table(self, walks: list[Walk]) -> None:
        rows = [HEAD, *(_row(result) for result in walks)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
        self.stdout.write("")
        for row in rows:
            cells = [
                text.ljust(width) if column == 0 or column > 5 else text.rjust(width)
                for column, (text, width) in enumerate(zip(row, widths, strict=True))
            ]
            self.stdout.write("  ".join(cells).rstrip())


def _row(result: Walk) -> tuple[str, ...]:
    return (
        result.incident_id,
        f"{result.alerts:,}",
        f"{result.events:,}",
        f"{result.artifacts:,}",
        f"{result.size:,}",
        f"{result.seconds:.1f}",
        *("held" if step in result.held else "NOT HELD" for step in STEPS),
    )
