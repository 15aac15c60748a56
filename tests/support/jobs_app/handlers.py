"""Handlers that write to files, so that a test can observe them from another process."""

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
    """Write the file `started`, then report progress until the file `end` exists."""
    started = Path(context.payload["started"])
    started.with_suffix(f".{context.attempt}").write_text(str(os.getpid()))
    while not Path(context.payload["end"]).exists():
        context.progress("working")
        time.sleep(0.02)
    return JobResult({"attempt": context.attempt})


def ignore(context: JobContext) -> JobResult:
    """Write the file `started`, then work until the file `end` exists, without checking whether to stop."""
    Path(context.payload["started"]).with_suffix(f".{context.attempt}").write_text(str(os.getpid()))
    while not Path(context.payload["end"]).exists():
        time.sleep(0.02)
    return JobResult({"attempt": context.attempt})


def hang(context: JobContext) -> JobResult:
    """At the first attempt, write the file `started`, then block for ever in a C call that holds the GIL."""
    if context.attempt == 1:
        Path(context.payload["started"]).with_suffix(".1").write_text(str(os.getpid()))
        ctypes.PyDLL(None).pause()
    return JobResult({"attempt": context.attempt, "pid": os.getpid()})


def query(context: JobContext) -> JobResult:
    """Write the file `started`, then query the database until `end` exists, without checking whether to stop."""
    Path(context.payload["started"]).with_suffix(f".{context.attempt}").write_text(str(os.getpid()))
    while not Path(context.payload["end"]).exists():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(0.02)")
    return JobResult({"attempt": context.attempt, "pid": os.getpid()})
