"""`manage.py walk_main_job INCIDENT_ID`: the main job on one incident, once; part of `make run`."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from bundles.models import Bundle
from orchestrator_site.launch.walkthrough import walk


class Command(BaseCommand):
    """Walks unless the incident has been bundled before; workers and sources must be running."""

    help = "bundle, verify, refuse a changed byte, rehydrate, rehydrate again, bundle again: for one incident."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the argument."""
        parser.add_argument("incident", metavar="INCIDENT_ID")

    def handle(self, *args: object, **options: Any) -> None:
        """Walk, and say each step.

        Raises:
            CommandError: a step did not hold.
        """
        incident_id: str = options["incident"]
        known = Bundle.objects.filter(incident_id=incident_id).order_by("-created_at").first()
        if known is not None:
            self._say(f"the main job ran before; its last bundle: {Path(settings.OUTPUT_DIR) / known.name}")
            return
        self._say(f"the main job, once, on {incident_id}:")
        result = walk(incident_id, lambda line: self._say("  " + line))
        if result.failure:
            raise CommandError(result.failure)
        self._say(f"  done in {result.seconds:.1f} s")

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
