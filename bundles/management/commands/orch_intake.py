"""`manage.py orch_intake PATH...`: takes files in and queues their bundles; the files are copied and stay as they are.

Exit 0: every bundle was queued, with `--wait` made; 1: at least one was not.
"""

from __future__ import annotations

import getpass
import os
import stat
import sys
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from bundles.errors import IncidentIdInvalidError
from bundles.format.cli.terminal import printable
from bundles.intake import incoming, mappings, preview, services
from bundles.intake.formats import kinds
from foundation.errors import AppError, InvalidRequestError
from foundation.principal import Principal, shell
from jobs.models import ENDED, Job, Status

LOOK_EVERY_S = 0.5
WITHOUT_BUNDLE = (Status.FAILED, Status.CANCELLED)
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


class Command(BaseCommand):
    """Import files."""

    help = "Take files in and queue the bundle of each; prints one line a file. The files are copied."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("paths", nargs="+", metavar="PATH")
        parser.add_argument("--incident-id", default="", metavar="ID", help="made from each file's name without it")
        parser.add_argument(
            "--kind", default="", choices=[one.name for one in kinds.KINDS], help="recognised without it"
        )
        parser.add_argument("--mapping", default="", metavar="NAME", help="a saved mapping of columns")
        parser.add_argument("--password-file", metavar="FILE", help="its first line is the password of the archives")
        parser.add_argument("--wait", action="store_true", help="until every bundle is made or failed")

    def handle(self, *args: object, **options: Any) -> None:
        """Take each file in; a file that cannot be is named, and the others still are."""
        del args
        who = shell(getpass.getuser())
        asked: dict[str, Any] = {"kind": options["kind"], "mapping_name": options["mapping"]}
        asked["password"] = _password(options["password_file"]) if options["password_file"] else ""
        if options["mapping"] and mappings.find(options["mapping"]) is None:
            raise CommandError("--mapping: no mapping is saved under this name.")
        jobs: list[tuple[str, Job]] = []
        for path in options["paths"]:
            shown = printable(path)
            try:
                job = _queued(who, Path(path), options["incident_id"], asked)
            except (AppError, OSError) as error:
                self.stderr.write(f"{shown}: {printable(_why(error))}")
                continue
            jobs.append((shown, job))
            self.stdout.write(f"{shown}: incident {job.incident_id}, job {job.job_id} queued")
        failed = len(options["paths"]) - len(jobs)
        if options["wait"]:
            failed += self._wait(jobs)
        if failed:
            sys.exit(1)

    def _wait(self, jobs: list[tuple[str, Job]]) -> int:
        """Say what became of each job; returns how many made no bundle."""
        failed = 0
        for shown, job in jobs:
            while (job := Job.objects.get(job_id=job.job_id)).status not in ENDED:
                time.sleep(LOOK_EVERY_S)
            if job.status in WITHOUT_BUNDLE:
                failed += 1
                why = f": {job.error_message} ({job.error_code})" if job.error_code else ""
                self.stderr.write(f"{shown}: {job.status}{printable(why)}")
                continue
            made: dict[str, Any] = job.result or {}
            gaps = f", {len(made['missing'])} missing" if made.get("missing") else ""
            self.stdout.write(f"{shown}: bundle {made.get('bundle_id')}, {made.get('name')}{gaps}")
        return failed


def _queued(who: Principal, path: Path, incident_id: str, asked: dict[str, Any]) -> Job:
    """Take a file in and queue its bundle."""
    incident_id = incident_id or preview.suggested_incident_id(path.name)
    if not incident_id:
        raise IncidentIdInvalidError("No incident id can be made from its name. Give one with --incident-id.")
    descriptor = os.open(path, _FILE)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError("It is not a regular file.")
    arrived = incoming.copied(descriptor, path.name)
    try:
        intake = services.receive(who, arrived)
    except BaseException:
        arrived.file.unlink(missing_ok=True)
        raise
    try:
        return services.request_bundle(who, intake.intake_id, incident_id=incident_id, **asked).job
    except BaseException:
        services.discard(who, intake.intake_id)
        raise


def _why(error: AppError | OSError) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    fields = error.fields if isinstance(error, InvalidRequestError) else {}
    return " ".join([str(error), *(f"{name}: {says}." for name, says in fields.items()), f"({error.code})"])


def _password(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8").split("\n", 1)[0].removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError("--password-file: it cannot be read as UTF-8 text.") from error
