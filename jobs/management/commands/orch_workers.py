"""`manage.py orch_workers list|drain`: list the workers, or ask one to finish its job and leave."""

from __future__ import annotations

import getpass
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from foundation import principal
from foundation.errors import AppError
from jobs import workers
from jobs.models import Worker


class Command(BaseCommand):
    """Exit code 0 when done, 1 when it was refused."""

    help = "List live workers, or drain one: it finishes its job, claims no other, and leaves."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the subcommands."""
        what = parser.add_subparsers(dest="what", required=True)
        what.add_parser("list", help="the live workers")
        what.add_parser("drain", help="ask one to finish and leave").add_argument("worker_id")

    def handle(self, *args: object, **options: Any) -> None:
        """Act, as the operating-system user at the shell."""
        who = principal.shell(getpass.getuser())
        try:
            if options["what"] == "drain":
                self._print(workers.drain(who, options["worker_id"]), "asked to finish and leave")
                return
            for worker in workers.page(who, limit=500).items:
                self._print(worker, "draining" if worker.drain_requested_at else str(worker.state))
        except AppError as error:
            raise CommandError(f"{error} ({error.code})", returncode=1) from error

    def _print(self, worker: Worker, state: str) -> None:
        job = worker.current_job or "-"
        self.stdout.write(f"{worker.worker_id}  {state}  job {job}  {worker.jobs_done} done")
