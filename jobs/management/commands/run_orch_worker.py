"""`manage.py run_orch_worker`: claim jobs and do them."""

from __future__ import annotations

import faulthandler
import signal
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from jobs.queue import queue
from jobs.worker.supervisor import Supervisor
from jobs.worker.worker import Worker

STDERR = 2


class Command(BaseCommand):
    """Runs until SIGTERM or SIGINT, then releases running jobs and exits within 10 seconds with code 0."""

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
        _dump_stacks_on_request()
        if options["once"] or (options["drain"] and concurrency == 1):
            queue.recover_expired()
            Worker().drain(most=1 if options["once"] else None)
            return
        code = Supervisor(concurrency, drain=options["drain"]).run()
        if code:
            raise CommandError("a worker process crashed; its log says why", returncode=code)


def _dump_stacks_on_request() -> None:
    """Let SIGQUIT write the stacks of all threads to stderr while work goes on, and a fatal signal before the end.

    SIGABRT, which systemd's watchdog sends, is a fatal one. Both are written from C, so that they also show a thread
    that hangs inside a C library.
    """
    faulthandler.enable(file=STDERR, all_threads=True)
    faulthandler.register(signal.SIGQUIT, file=STDERR, all_threads=True, chain=False)
