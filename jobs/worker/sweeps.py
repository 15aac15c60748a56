"""Registry of periodic clean-up tasks: apps register theirs; the upkeep process runs all of them every 5 minutes."""

from __future__ import annotations

from collections.abc import Callable

from django.db import connection

from foundation import db_session
from foundation.log_format import logger
from jobs.worker.completion import answer_was_lost

log = logger("jobs")

_sweeps: dict[str, Callable[[], int]] = {}


def register(name: str, sweep: Callable[[], int]) -> None:
    """Add a sweep; the same name again replaces the earlier one.

    Args:
        name: for the log.
        sweep: removes what is no longer needed and returns how much it removed. Several hosts may run it at once.
    """
    _sweeps[name] = sweep


def run_all() -> dict[str, int]:
    """Run every sweep; a failed one is logged, and the others still run.

    When the connection breaks, the sweep is tried once more on a new one; when the database stays away, the run ends
    with one log line.

    Returns:
        How many things each sweep removed, by its name.
    """
    removed: dict[str, int] = {}
    for name, sweep in _sweeps.items():
        try:
            removed[name] = _twice(name, sweep)
        except Exception as error:  # a sweep is tried again later; the process goes on
            if _connection_failed(error):
                log.warning("the database is away; sweeping goes on later", error=db_session.one_line(error))
                break
            log.exception("the sweep failed", sweep=name)
    if any(removed.values()):
        log.info("swept", removed=removed)
    return removed


def _twice(name: str, sweep: Callable[[], int]) -> int:
    try:
        return sweep()
    except Exception as error:
        if not _connection_failed(error):
            raise
        log.info("the database connection was lost; connecting anew", sweep=name)
        connection.close()
        return sweep()


def _connection_failed(error: Exception) -> bool:
    """Whether the connection failed, not the statement."""
    return answer_was_lost(error) and not connection.in_atomic_block and not connection.is_usable()
