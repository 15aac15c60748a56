"""`manage.py serve_sample_sources`: serves the three upstream services from folders, until a signal.

This command reads the ports from the settings and then becomes `python -m bundles.samples`, which serves.
"""

from __future__ import annotations

import json
import os
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from bundles.samples.services import DB, FORENSIC, KILLCHAIN

SCHEME_PORTS = {"http": 80, "https": 443}


class Command(BaseCommand):
    """Serve the sample sources."""

    help = "Serve the KillChain, Forensic and DB APIs on 127.0.0.1 from folders of incidents."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--data", action="append", type=Path, required=True, help="a folder of incidents; may be repeated"
        )
        for name in (KILLCHAIN, FORENSIC, DB):
            parser.add_argument(f"--{name}-port", type=int, help="default: that of the settings; 0: any free one")

    def handle(self, *args: Any, **options: Any) -> None:
        """Serve until SIGTERM or SIGINT."""
        for folder in options["data"]:
            if not folder.is_dir():
                raise CommandError(f"--data {folder}: there is no such folder.")
        defaults = {
            KILLCHAIN: settings.KILLCHAIN_API_URL,
            FORENSIC: settings.FORENSIC_API_URL,
            DB: settings.DB_API_URL,
        }
        ports = {name: _port(options[f"{name}_port"], url) for name, url in defaults.items()}
        # Replace this process by one without Django, which serving does not need.
        folders = [str(folder.absolute()) for folder in options["data"]]
        os.chdir(settings.BASE_DIR)
        os.execv(sys.executable, [sys.executable, "-m", "bundles.samples", json.dumps(ports), *folders])  # noqa: S606 # no shell


def _port(chosen: int | None, url: str) -> int:
    parts = urlsplit(url)
    return chosen if chosen is not None else parts.port or SCHEME_PORTS[parts.scheme]
