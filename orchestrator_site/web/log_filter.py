"""A caller's mistake is one line in the log; a traceback is kept for faults of ours.

Django logs what it calls suspicious (a form with too many fields, a body that is too large, a multipart body that
cannot be read) with the traceback of its own check, which says nothing more and lets anybody fill the log.
"""

from __future__ import annotations

import logging


class WithoutCallersTracebacks(logging.Filter):
    """Takes the traceback from the records of refused requests; lets every record through."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Look at one record."""
        is_refusal = record.name == "django.request" and record.levelno < logging.ERROR
        if is_refusal or record.name.startswith("django.security."):
            record.exc_info = record.exc_text = None
        return True
