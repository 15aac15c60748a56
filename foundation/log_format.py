"""Log line format: time, level, logger, message, current job; credentials are redacted.

During an attempt its job and number stand in the context, so that every line says them, also one of a library that
knows nothing of jobs. Needs no models: Django sets logging up before it loads them.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from types import MappingProxyType

from foundation.redaction import redact_text

_names: ContextVar[Mapping[str, object]] = ContextVar("names", default=MappingProxyType({}))
FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


class AttemptFormatter(logging.Formatter):
    """One line, with the attempt that is under way in this context, without credentials."""

    def __init__(self) -> None:
        super().__init__(FORMAT)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 # the base class's name
        """The line without a traceback."""
        line = super().formatMessage(record)
        bound = [f"{name}={value}" for name, value in sorted(_names.get().items())]
        return " ".join([line, *(words for words in bound if words not in line)])

    def format(self, record: logging.LogRecord) -> str:
        """The whole of it, a traceback included."""
        return redact_text(super().format(record))


@contextlib.contextmanager
def during(**names: object) -> Iterator[None]:
    """Add these names to every log line of this context."""
    before = _names.set({**_names.get(), **names})
    try:
        yield
    finally:
        _names.reset(before)
