"""Registry of periodic tasks: apps register theirs; the upkeep process runs them.

Those that clean up run every 5 minutes, those that look for what was delivered every few seconds.
"""

from __future__ import annotations

from collections.abc import Callable

from django.db import connection

from foundation import db_session
from foundation.log_format import logger
from jobs.worker.completion import answer_was_lost

log = logger("jobs")

_sweeps: dict[str, Callable[[], int]] = {}
_often: dict[str, Callable[[], int]] = {}


def register(name: str, sweep: Callable[[], int], *, often: bool = False) -> None:
    """Add a sweep; the same name again replaces the earlier one.

    Args:
        name: for the log.
        sweep: removes what is no longer needed and returns how much it removed. Several hosts may run it at once.
        often: whether it runs every few seconds.
    """
    (_often if often else _sweeps)[name] = sweep


def has_often() -> bool:
    """Whether anything is to run every few seconds."""
    return bool(_often)


def run_often() -> dict[str, int]:
    """Run what runs every few seconds; see `run_all`."""
    return _run(_often)


def run_all() -> dict[str, int]:
    """Run every sweep; a failed one is logged, and the others still run.

    When the connection breaks, the sweep is tried once more on a new one; when the database stays away, the run ends
    with one log line.

    Returns:
        How many things each sweep removed, by its name.
    """
    return _run(_sweeps)


def _run(sweeps: dict[str, Callable[[], int]]) -> dict[str, int]:
    removed: dict[str, int] = {}
    for name, sweep in sweeps.items():
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
