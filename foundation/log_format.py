"""The log of a process: one event a line, as text or as JSON, with its fields and never with a secret.

During an attempt its job and number are in the context, and during a request its id, so that every line has them, also
a line of a library that knows nothing of jobs. Needs no models: Django sets logging up before it loads them.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator, Mapping, MutableMapping
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from foundation import request_id
from foundation.redaction import redact_text, redact_value

_names: ContextVar[Mapping[str, object]] = ContextVar("names", default=MappingProxyType({}))
FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"
_OF_LOGGING = ("exc_info", "extra", "stack_info", "stacklevel")


class FieldLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger whose keyword arguments are the fields of the line: `log.info("workers stopped", count=3)`."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Put the fields where the formatters of this module find them."""
        known = {name: kwargs[name] for name in _OF_LOGGING if name in kwargs}
        fields = {name: value for name, value in kwargs.items() if name not in _OF_LOGGING}
        return msg, {**known, "extra": {**known.get("extra", {}), "fields": fields}}


def logger(name: str) -> FieldLogger:
    """The logger of this name, which takes fields."""
    return FieldLogger(logging.getLogger(name))


def _fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """The fields of a line: its own, and those of the attempt and the request under way."""
    request = request_id.current()
    about = {**_names.get(), **({"request_id": request} if request else {})}
    own: Mapping[str, Any] = getattr(record, "fields", {})
    fields: dict[str, Any] = redact_value({**own, **{name: str(value) for name, value in sorted(about.items())}})
    return fields


class TextFormatter(logging.Formatter):
    """One line for a person: time, level, logger, message, then `name=value` for each field."""

    def __init__(self) -> None:
        super().__init__(FORMAT)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 # the base class's name
        """The line without a traceback."""
        line = super().formatMessage(record)
        return " ".join([line, *(f"{name}={value}" for name, value in _fields_of(record).items())])

    def format(self, record: logging.LogRecord) -> str:
        """The whole of it, a traceback included."""
        return redact_text(super().format(record))


class JsonFormatter(logging.Formatter):
    """One JSON object on one line: `time` (RFC 3339, UTC), `level`, `logger`, `message`, the fields, `traceback`."""

    def format(self, record: logging.LogRecord) -> str:
        """The object; a field never takes the place of one of the four names above."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact_text(record.getMessage()),
        }
        line = {**_fields_of(record), **line}
        if record.exc_info:
            line["traceback"] = redact_text(self.formatException(record.exc_info))
        return json.dumps(line, default=str)


@contextlib.contextmanager
def during(**names: object) -> Iterator[None]:
    """Add these fields to every line that this context logs."""
    before = _names.set({**_names.get(), **names})
    try:
        yield
    finally:
        _names.reset(before)
