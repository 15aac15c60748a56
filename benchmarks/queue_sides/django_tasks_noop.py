"""The task of the django-tasks-db side; it must be importable by name."""

from __future__ import annotations

from django_tasks import task

from benchmarks.queue_sides import trace


@task()
def noop() -> None:
    """Start and be done."""
    trace.started()
