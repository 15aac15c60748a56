"""`manage.py check_source PROFILE INCIDENT`: asks every system of a profile what it has of an incident.

Nothing is fetched. Exit 0: every part can be fetched; 1: at least one cannot.
"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from bundles import services
from bundles.errors import IncidentIdInvalidError, InvalidBundleRequestError
from bundles.format.cli.terminal import printable
from bundles.sources import configured
from bundles.sources.checking import PartCheck
from foundation.principal import SYSTEM


def ref_of(text: str) -> tuple[str, str]:
    """`SYSTEM=ID`, split."""
    system, equals, ref = text.partition("=")
    if not (system and equals and ref):
        raise ArgumentTypeError("must be SYSTEM=ID")
    return system, ref


class Command(BaseCommand):
    """Check the sources of an incident."""

    help = "Ask every system of a source profile what it has of an incident, without fetching it."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("profile", metavar="PROFILE")
        parser.add_argument("incident_id", metavar="INCIDENT")
        parser.add_argument(
            "--ref",
            action="append",
            default=[],
            type=ref_of,
            metavar="SYSTEM=ID",
            help="the incident's id in a system, where it is another one; may be repeated",
        )
        parser.add_argument("--json", action="store_true", help="print the answers as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Ask, and print one line for each part."""
        del args
        file = configured.current().file
        for fault in file.faults if file else ():
            self.stderr.write(f"ORCH_SOURCES_FILE: {fault}")
        try:
            found = services.check_sources(
                SYSTEM, incident_id=options["incident_id"], profile=options["profile"], refs=dict(options["ref"])
            )
        except InvalidBundleRequestError as error:
            raise CommandError("; ".join(f"{name}: {says}" for name, says in error.fields.items())) from error
        except IncidentIdInvalidError as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps(found.as_dict()))
        else:
            for part in found.parts:
                self.stdout.write(printable(line_of(part)))
        if not found.ok:
            sys.exit(1)


def line_of(part: PartCheck) -> str:
    """One line about a part."""
    if not part.system:
        return f"{part.part}: no system in this profile; a bundle lists it as missing."
    where = f"{part.part}: {part.system} ({part.adapter}), incident {part.ref}"
    if part.offer is None:
        return f"{where}: {part.error} [{part.code}]"
    said = [] if part.offer.records is None else [f"{part.offer.records} records"]
    said += [] if part.offer.size_bytes is None else [f"{part.offer.size_bytes} bytes"]
    return " ".join([f"{where}: {', '.join(said) or 'it is there'}.", part.offer.detail]).rstrip()
