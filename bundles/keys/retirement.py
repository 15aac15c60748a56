"""When the signing key is to be retired, as the operator has said, and whether that is soon enough to act."""

from __future__ import annotations

from datetime import UTC, date, datetime

from django.conf import settings

WARNED_BEFORE_DAYS = 30


def days_left(today: date | None = None) -> int | None:
    """Days until ORCH_SIGN_KEY_RETIRE_ON, negative once it has passed; None while it is far off or not set."""
    retire_on: date | None = settings.ORCH_SIGN_KEY_RETIRE_ON
    if retire_on is None:
        return None
    left = (retire_on - (today or datetime.now(UTC).date())).days
    return left if left <= WARNED_BEFORE_DAYS else None
