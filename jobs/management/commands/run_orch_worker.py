"""`manage.py run_orch_worker`: do the jobs."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from jobs.queue import queue
from jobs.worker import stack_dumps
from jobs.worker.supervisor import Supervisor
from jobs.worker.worker import Worker


class Command(BaseCommand):
    """Runs until SIGTERM or SIGINT, then gives running jobs back and leaves within 10 seconds with exit code 0."""

    help = "Claim jobs and do them, in as many processes as --concurrency says."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--concurrency", type=int, default=None, help="processes (default: ORCH_WORKER_COUNT)")
        how_long = parser.add_mutually_exclusive_group()
        how_long.add_argument("--once", action="store_true", help="do at most one job, then exit")
        how_long.add_argument("--drain", action="store_true", help="exit when nothing can be claimed now")

    def handle(self, *args: object, **options: Any) -> None:
        """Work."""
        given: int | None = options["concurrency"]
        concurrency = settings.ORCH_WORKER_COUNT if given is None else given
        if not 1 <= concurrency <= 256:
            raise CommandError("--concurrency: expected a whole number from 1 to 256", returncode=2)
        stack_dumps.dump_on_request()
        if options["once"] or (options["drain"] and concurrency == 1):
            queue.recover_expired()
            Worker().drain(most=1 if options["once"] else None)
            return
        code = Supervisor(concurrency, drain=options["drain"]).run()
        if code:
            raise CommandError("a worker process crashed; its log says why", returncode=code)
