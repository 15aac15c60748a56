"""`manage.py verify_custody`: recompute the whole custody chain, stored or exported."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from custody import chain


class Command(BaseCommand):
    """Exit 0 when the chain is intact, 1 when it is not, 2 when it could not be read."""

    help = "Check the custody chain: every event's hash, and that none is missing before the last one."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--file", type=Path, help="check an exported chain (one JSON event a line) instead")
        parser.add_argument("--json", action="store_true", help="print the report as JSON")

    def handle(self, *args: object, **options: Any) -> None:
        """Check and report."""
        path: Path | None = options["file"]
        try:
            report = chain.verify_exported(_exported(path)) if path else chain.verify()
        except (OSError, ValueError, RecursionError) as error:
            raise CommandError(f"cannot read the chain: {error}", returncode=2) from error
        if options["json"]:
            self.stdout.write(json.dumps(asdict(report)))
        elif report.intact:
            self.stdout.write(f"intact: {report.events} events, last #{report.last_sequence} {report.last_hash}")
        else:
            self.stdout.write(f"NOT intact after event #{report.last_sequence}: {report.fault}")
        if not report.intact:
            raise CommandError("the custody chain is broken", returncode=1)


def _exported(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            event = json.loads(line)
            if not isinstance(event, dict):
                raise ValueError("each line must be a JSON object")
            yield event
