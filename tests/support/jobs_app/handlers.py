"""Handlers that leave traces in files, as another process must be watched from outside."""

import ctypes
import os
import time
from pathlib import Path

from django.db import connection

from jobs.queue.context import JobContext
from jobs.queue.job_result import JobResult


def note(context: JobContext) -> JobResult:
    """Append the attempt's number to a file."""
    with Path(context.payload["file"]).open("a") as file:
        file.write(f"{context.attempt}\n")
    context.log("info", "noted", attempt=context.attempt)
    return JobResult({"attempt": context.attempt, "pid": os.getpid()})


def wait(context: JobContext) -> JobResult:
    """Say that it runs, then work politely until told that it may end."""
    started = Path(context.payload["started"])
    started.with_suffix(f".{context.attempt}").write_text(str(os.getpid()))
    while not Path(context.payload["end"]).exists():
        context.progress("working")
        time.sleep(0.02)
    return JobResult({"attempt": context.attempt})


def ignore(context: JobContext) -> JobResult:
    """Say that it runs, then work without ever asking whether it should stop."""
    Path(context.payload["started"]).with_suffix(f".{context.attempt}").write_text(str(os.getpid()))
    while not Path(context.payload["end"]).exists():
        time.sleep(0.02)
    return JobResult({"attempt": context.attempt})


def hang(context: JobContext) -> JobResult:
    """At the first attempt, say that it runs, then wait for ever inside a C library that lets no other thread run."""
    if context.attempt == 1:
        Path(context.payload["started"]).with_suffix(".1").write_text(str(os.getpid()))
        ctypes.PyDLL(None).pause()
    return JobResult({"attempt": context.attempt, "pid": os.getpid()})


def query(context: JobContext) -> JobResult:
    """Say that it runs, then ask the database again and again, and never whether it should stop."""
    Path(context.payload["started"]).with_suffix(f".{context.attempt}").write_text(str(os.getpid()))
    while not Path(context.payload["end"]).exists():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(0.02)")
    return JobResult({"attempt": context.attempt, "pid": os.getpid()})
