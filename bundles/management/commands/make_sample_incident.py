"""`manage.py make_sample_incident DIR`: writes a synthetic incident for a first run."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from bundles.errors import SampleInTheWayError
from bundles.samples import incident
from bundles.samples.scenario import INCIDENT_ID


class Command(BaseCommand):
    """Write the synthetic incident."""

    help = "Write a synthetic ransomware incident, incident-123, into a folder for serve_sample_sources."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("folder", type=Path, metavar="DIR")

    def handle(self, *args: Any, **options: Any) -> None:
        """Write it, unless it is there already."""
        target = options["folder"] / INCIDENT_ID
        try:
            written = incident.make(options["folder"])
        except SampleInTheWayError as error:
            raise CommandError(str(error)) from None
        except OSError as error:
            raise CommandError(f"Cannot write {target}: {error.strerror}.") from None
        self.stdout.write(f"{'Wrote' if written else 'Already there:'} {target}")
