"""What a supervisor's child processes do: work, or keep house. Each runs right after a fork."""

from __future__ import annotations

import os
from collections.abc import Sequence

from jobs.worker import sd_notify
from jobs.worker.liveness import LivenessThread, Liveness
from jobs.worker.recycling import DRAINED_EXIT_CODE, EXIT_CODE, bounds_from_settings
from jobs.worker.upkeep import Upkeep
from jobs.worker.worker import Worker


def work(liveness: Liveness, slot: int, *, wake: int, life: int, up: int, close: Sequence[int], until_idle: bool) -> int:
    """Do jobs.

    Args:
        liveness: where to give liveness of life.
        slot: which place this is.
        wake: reading end of the pipe on which new work is announced.
        life: reading end of a pipe that only the supervisor can write to; closed, it means that it has died.
        up: an eventfd that tells the supervisor of the first sign of life.
        close: what is the supervisor's alone, or the upkeep's.
        until_idle: whether to leave when nothing can be claimed, rather than when asked to.

    Returns:
        The exit code: `EXIT_CODE` when this process makes way for a fresh one, `DRAINED_EXIT_CODE` when it was asked
        to finish and leave, else 0.
    """
    _after_fork(liveness, slot, up, close)
    worker = Worker(wake=wake, life=life, liveness=liveness, bounds=bounds_from_settings())
    if until_idle:
        worker.drain()
    else:
        worker.serve()
    if worker.drained:
        return DRAINED_EXIT_CODE
    return EXIT_CODE if worker.makes_way else 0


def run_upkeep(
    liveness: Liveness, slot: int, *, wake: int, restarts: int, readers: int, life: int, up: int, close: Sequence[int]
) -> int:
    """Listen for new work, recover, sweep.

    Args:
        liveness: where to give liveness of life, and where to say whether notices arrive.
        slot: which place this is.
        wake: writing end of the pipe on which new work is announced.
        restarts: reading end of the pipe from which the supervisor's restarts come.
        readers: how many workers read from `wake`.
        life: as for `work`.
        up: likewise.
        close: what is the supervisor's alone.
    """
    _after_fork(liveness, slot, up, close)
    Upkeep(liveness, wake=wake, restarts=restarts, readers=readers, life=life).run()
    return 0


def _after_fork(liveness: Liveness, slot: int, up: int, close: Sequence[int]) -> None:
    for number in close:
        os.close(number)
    for name in sd_notify.VARIABLES:  # the service manager hears of the supervisor only
        os.environ.pop(name, None)
    liveness.give(slot)
    os.eventfd_write(up, 1)
    LivenessThread(liveness, slot).start()
