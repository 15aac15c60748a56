"""django-tasks-db: its `db_worker`, which polls; no pause between polls, the quickest that it can be."""

from __future__ import annotations

import os
import sys

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.queue_sides.django_tasks_settings"
django.setup()

from django.core.management import call_command  # noqa: E402 # Django must be set up before
from django.db import connection  # noqa: E402
from django_tasks_db.models import DBTaskResult  # noqa: E402

from benchmarks.queue_sides import asking, result_table  # noqa: E402
from benchmarks.queue_sides.django_tasks_noop import noop  # noqa: E402

INTERVAL_S = 0


def main(what: str, number: int) -> None:
    """Do one thing; `number` counts jobs."""
    if what == "install":
        call_command("migrate", verbosity=0, interactive=False)
        with connection.cursor() as cursor:
            cursor.execute(result_table.CREATE)
    elif what == "fill":
        _fill(number)
    elif what == "work":
        call_command("db_worker", interval=INTERVAL_S, startup_delay=False, reload=False, verbosity=0)
    elif what == "ask":
        asking.ask(noop.enqueue, number)


def _fill(number: int) -> None:
    """Queue one task as its API does, and copies of its row at once."""
    noop.enqueue()
    row = DBTaskResult.objects.get()
    fields = {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}  # noqa: SLF001 # Django's documented model API
    del fields["id"]
    DBTaskResult.objects.bulk_create([DBTaskResult(**fields) for _ in range(number - 1)], batch_size=1000)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
