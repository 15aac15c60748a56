"""Work that keeps the house clean: apps register theirs, the worker's supervisor runs all at start and now and then."""

from __future__ import annotations

from collections.abc import Callable

from jobs.joblog import log

_sweeps: dict[str, Callable[[], int]] = {}


def register(name: str, sweep: Callable[[], int]) -> None:
    """Make a sweep known; the same name again takes the place of the one before.

    Args:
        name: for the log.
        sweep: removes what is no longer wanted and returns how much it removed. Several hosts may run it at once.
    """
    _sweeps[name] = sweep


def run_all() -> dict[str, int]:
    """Run every sweep; one that fails is logged and keeps none of the others from running."""
    removed: dict[str, int] = {}
    for name, sweep in _sweeps.items():
        try:
            removed[name] = sweep()
        except Exception:  # noqa: BLE001 # a sweep is tried again later; the worker lives on
            log.error("the sweep failed", sweep=name, exc_info=True)
    if any(removed.values()):
        log.info("swept", removed=removed)
    return removed
