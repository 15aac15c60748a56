"""A thread that does one thing again and again, whatever goes wrong."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

from django.db import connection

from foundation import db_session
from foundation.log_format import logger

log = logger("jobs")


class Periodic(threading.Thread):
    """Calls `action` at once and then about every `every_s` seconds, until the process ends or `stop`.

    Its database connection is closed while it rests: one that nobody uses for minutes is one that a restart of the
    database, or a firewall, has cut meanwhile.

    Args:
        name: for the log.
        every_s: the rest between two calls, in seconds.
        action: what to do.
        statement_s: how long each of its statements may take; so long does a half-dead connection hold it up.
    """

    def __init__(self, name: str, every_s: float, action: Callable[[], object], *, statement_s: int) -> None:
        super().__init__(name=name, daemon=True)
        self._statement_s = statement_s
        self._every_s = every_s
        self._action = action
        self._over = threading.Event()

    def stop(self) -> None:
        """End after the call that is under way, if any; does not wait for it."""
        self._over.set()

    def run(self) -> None:
        """Act, rest, act; a failure is logged and tried again after the next rest."""
        db_session.limit_statements(self._statement_s)
        while not self._over.is_set():
            try:
                self._action()
            except Exception as error:  # noqa: BLE001 # the database may be away; it is tried again
                log.warning("will try again", task=self.name, error=db_session.one_line(error))
            connection.close()
            self._over.wait(self._every_s * random.uniform(0.8, 1.2))  # noqa: S311 # spreads load, guards nothing
