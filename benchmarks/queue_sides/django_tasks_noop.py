"""The task of the django-tasks-db side; it must be importable by name."""

from __future__ import annotations

from django.db import connection
from django_tasks import TaskContext, task

from benchmarks.queue_sides import result_table, trace

INSERT = result_table.INSERT_ONCE.format("%s")


@task(takes_context=True)
def noop(context: TaskContext) -> None:
    """Start, insert the row, and be done."""
    trace.started()
    with connection.cursor() as cursor:
        cursor.execute(INSERT, [str(context.task_result.id)])
