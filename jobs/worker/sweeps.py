"""Work that keeps the house clean: apps register theirs, the workers' upkeep runs all at start and now and then."""

from __future__ import annotations

from collections.abc import Callable

from django.db import connection

from foundation import db_session
from foundation.log_format import logger
from jobs.worker.completion import answer_was_lost

log = logger("jobs")

_sweeps: dict[str, Callable[[], int]] = {}


def register(name: str, sweep: Callable[[], int]) -> None:
    """Make a sweep known; the same name again takes the place of the one before.

    Args:
        name: for the log.
        sweep: removes what is no longer wanted and returns how much it removed. Several hosts may run it at once.
    """
    _sweeps[name] = sweep


def run_all() -> dict[str, int]:
    """Run every sweep; one that fails is logged and keeps none of the others from running.

    A connection that breaks is replaced and the sweep tried once more; a database that stays away ends the run, with
    one line.
    """
    removed: dict[str, int] = {}
    for name, sweep in _sweeps.items():
        try:
            removed[name] = _twice(name, sweep)
        except Exception as error:  # a sweep is tried again later; the worker lives on
            if _is_cut_off(error):
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
        if not _is_cut_off(error):
            raise
        log.info("the database connection was lost; connecting anew", sweep=name)
        connection.close()
        return sweep()


def _is_cut_off(error: Exception) -> bool:
    """Whether it was the connection that failed, not the statement."""
    return answer_was_lost(error) and not connection.in_atomic_block and not connection.is_usable()
