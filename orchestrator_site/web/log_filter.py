"""Logs refused requests on one line; only our own errors keep their traceback.

Django logs what it calls suspicious (a form with too many fields, a body that is too large, a multipart body that
cannot be read) with the traceback of its own check, which adds nothing and lets callers fill the log.
"""

from __future__ import annotations

import logging


class WithoutCallersTracebacks(logging.Filter):
    """Takes the traceback from the records of refused requests; lets every record through."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Remove the traceback of a refused request."""
        is_refusal = record.name == "django.request" and record.levelno < logging.ERROR
        if is_refusal or record.name.startswith("django.security."):
            record.exc_info = record.exc_text = None
        return True
