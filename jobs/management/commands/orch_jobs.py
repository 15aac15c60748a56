"""`manage.py orch_jobs list|show|retry|cancel|free|purge`: jobs at a shell, by the rules of the console."""

from __future__ import annotations

import getpass
import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from foundation import principal
from foundation.errors import AppError
from jobs import job_json, services, waiting
from jobs.models import ENDED, Job, Status
from jobs.queue import retention


class Command(BaseCommand):
    """Exit code 0 when done, 1 when the queue refused it."""

    help = "List, show, retry, cancel, free or purge jobs."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the subcommands."""
        parser.add_argument("--json", action="store_true", help="one JSON object for each job")
        what = parser.add_subparsers(dest="what", required=True)
        listed = what.add_parser("list", help="newest first")
        listed.add_argument("--status", default="", choices=["", *Status.values])
        listed.add_argument("--type", default="", dest="job_type")
        listed.add_argument("--incident", default="", dest="incident_id")
        listed.add_argument("--limit", type=int, default=50)
        for name, text in (
            ("show", "everything about one job; max_retries is the number of attempts it has"),
            ("retry", "queue a failed or cancelled job again"),
            ("cancel", "cancel a queued job, ask a running one to stop"),
        ):
            what.add_parser(name, help=text).add_argument("job_id")
        freed = what.add_parser("free", help="free stuck jobs: processing, lease expired")
        freed.add_argument("job_id", nargs="*", help="which jobs; all stuck ones if none is named")
        purged = what.add_parser("purge", help="remove jobs that ended long ago, by default as the settings say")
        purged.add_argument("--older-than-days", type=int, dest="days", help="days since their end, at least 1")
        purged.add_argument(
            "--status", action="append", choices=[str(state) for state in ENDED], help="may be repeated"
        )
        purged.add_argument("--dry-run", action="store_true", help="only count what would be removed")

    def handle(self, *args: object, **options: Any) -> None:
        """Act, as the operating-system user at the shell."""
        who = principal.shell(getpass.getuser())
        try:
            self._act(who, options)
        except AppError as error:
            raise CommandError(f"{error} ({error.code})", returncode=1) from error

    def _act(self, who: principal.Principal, options: dict[str, Any]) -> None:
        what = options["what"]
        if what == "list":
            filters = {name: options[name] for name in ("status", "job_type", "incident_id", "limit")}
            self._print(services.page(who, **filters).items, as_json=options["json"])
        elif what == "show":
            self._show(services.get(who, options["job_id"]))
        elif what == "free":
            self._print(services.free_stuck(who, options["job_id"] or None), as_json=options["json"])
        elif what == "purge":
            self._purge(who, options)
        else:
            act = services.retry if what == "retry" else services.cancel
            self._print([act(who, options["job_id"])], as_json=options["json"])

    def _purge(self, who: principal.Principal, options: dict[str, Any]) -> None:
        kept, dry_run = retention.kept_days(), options["dry_run"]
        for state in options["status"] or kept:
            days = kept[state] if options["days"] is None else options["days"]
            if not days and options["days"] is None:
                number = 0  # the settings keep these for ever
            else:
                number = retention.would_purge(state, days) if dry_run else retention.purge(who, state, days)
            if options["json"]:
                line = {"status": state, "older_than_days": days or None, "jobs": number, "dry_run": dry_run}
                self.stdout.write(json.dumps(line))
            else:
                age = f"ended over {days} days ago" if days else "kept for ever"
                self.stdout.write(f"{state} ({age}): {number} {'would be removed' if dry_run else 'removed'}")

    def _show(self, job: Job) -> None:
        whole = job_json.as_dict(job) | {
            "history": [job_json.attempt_as_dict(attempt) for attempt in services.attempts_of(job)],
            "waits_for": waiting.reason(job) or None,
            "log": [job_json.log_line_as_dict(line) for line in services.log_of(job)],
        }
        self.stdout.write(json.dumps(whole, indent=2))

    def _print(self, jobs: list[Job], *, as_json: bool) -> None:
        for job in jobs:
            if as_json:
                self.stdout.write(json.dumps(job_json.as_dict(job)))
                continue
            state = "cancel requested" if job.cancel_requested and not job.completed_at else str(job.status)
            about = f"{job.job_type:<16} {state:<16} {job.attempts} attempts"
            self.stdout.write(f"{job.job_id}  {about}  {job.incident_id or '-'}  {job.error_code or '-'}")
