"""Session store of the console: Django's database store with columns for user, times and address.

A row never expires later than the session's maximum age.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore as DatabaseSessionStore

from orchestrator_site.accounts.session_age import ADDRESS, AGENT, BEGAN, SEEN
from orchestrator_site.models import ConsoleSession


class SessionStore(DatabaseSessionStore):
    """Django's store over `ConsoleSession`; the columns are filled from the session data.

    Attributes:
        time_zone: what the session's user chose, read with the session; None before a session was read.
    """

    time_zone: str | None = None

    def _get_session_from_db(self) -> ConsoleSession | None:
        row: ConsoleSession | None = super()._get_session_from_db()  # type: ignore[misc] # the stubs leave it out
        self.time_zone = (getattr(row, "time_zone", None) or "") if row else None
        return row

    @classmethod
    def get_model_class(cls) -> type[ConsoleSession]:
        """The table."""
        return ConsoleSession

    def create_model_instance(self, data: dict[str, Any]) -> ConsoleSession:
        """The row for a session's data."""
        row: ConsoleSession = super().create_model_instance(data)  # type: ignore[assignment] # of `get_model_class`
        row.user_id = int(data[SESSION_KEY]) if SESSION_KEY in data else None
        row.began_at, row.seen_at = _moment(data.get(BEGAN)), _moment(data.get(SEEN))
        row.address, row.agent = str(data.get(ADDRESS, "")), str(data.get(AGENT, ""))
        if row.began_at is not None:
            row.expire_date = min(row.expire_date, row.began_at + timedelta(hours=settings.ORCH_SESSION_HOURS))
        return row


def _moment(stamp: Any) -> datetime | None:
    return datetime.fromtimestamp(stamp, UTC) if isinstance(stamp, int | float) else None
