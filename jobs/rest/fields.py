"""The fields of every request for work, in all apps."""

from __future__ import annotations

from foundation.strict_input import StrictIntegerField, StrictTextField
from jobs.queue.enqueue import HIGHEST_PRIORITY, LOWEST_PRIORITY, MAX_KEY_CHARS


def priority_field() -> StrictIntegerField:
    """A job's priority: higher is claimed first."""
    return StrictIntegerField(
        required=False,
        default=100,
        min_value=LOWEST_PRIORITY,
        max_value=HIGHEST_PRIORITY,
        help_text="higher is claimed first",
    )


def idempotency_key_field() -> StrictTextField:
    """The caller's name for this request; repeating the request with it creates no second job."""
    return StrictTextField(
        required=False,
        pattern=r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?",
        max_length=MAX_KEY_CHARS,
        help_text="repeating a request with its key gives the same job; unique per caller and operation",
    )
