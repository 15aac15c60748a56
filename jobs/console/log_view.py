"""The log of a job as its page shows it: a sentence a line, with its values one by one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from jobs import services
from jobs.models import Job, JobLogLine

SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Value:
    """One value of a line: its name, the value, and how to show it (`digest`, `size`, `count` or `text`)."""

    name: str
    value: Any
    kind: str


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the log and its values."""

    line: JobLogLine
    values: tuple[Value, ...]


def lines_of(job: Job) -> list[Line]:
    """The last lines of the job's log, oldest first."""
    return [
        Line(line=line, values=tuple(_value(name, value) for name, value in line.fields.items()))
        for line in services.log_of(job)
    ]


def _value(name: str, value: Any) -> Value:
    kind = "text"
    if isinstance(value, str) and SHA256.fullmatch(value):
        kind = "digest"
    elif isinstance(value, bool):
        value = "yes" if value else "no"
    elif isinstance(value, int):
        kind = "size" if name == "size" or name.endswith("bytes") else "count"
    return Value(name=name.replace("_", " "), value=value, kind=kind)
