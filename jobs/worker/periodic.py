"""A thread that repeats one task, also after failures."""

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

    Its database connection is closed between calls: a restart of the database or a firewall may cut one that is idle
    for minutes.

    Args:
        name: for the log.
        every_s: the pause between two calls, in seconds.
        action: what to do.
        statement_s: how long each of its statements may take, in seconds; a half-dead connection delays it as long.
    """

    def __init__(self, name: str, every_s: float, action: Callable[[], object], *, statement_s: int) -> None:
        super().__init__(name=name, daemon=True)
        self._statement_s = statement_s
        self._every_s = every_s
        self._action = action
        self._stopped = threading.Event()

    def stop(self) -> None:
        """End after the current call, if any; does not wait for it."""
        self._stopped.set()

    def run(self) -> None:
        """Call, pause, call; after a failure, log it and try again after the pause."""
        db_session.limit_statements(self._statement_s)
        while not self._stopped.is_set():
            try:
                self._action()
            except Exception as error:  # noqa: BLE001 # the database may be away; it is tried again
                log.warning("will try again", task=self.name, error=db_session.one_line(error))
            connection.close()
            self._stopped.wait(self._every_s * random.uniform(0.8, 1.2))  # noqa: S311 # spreads load, guards nothing
