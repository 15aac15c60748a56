"""The main functions of a supervisor's child processes: a worker, and the upkeep. Each runs right after the fork."""

from __future__ import annotations

import os
from collections.abc import Sequence

from jobs.worker import sd_notify
from jobs.worker.liveness import Liveness, LivenessThread
from jobs.worker.recycling import DRAINED_EXIT_CODE, EXIT_CODE, bounds_from_settings
from jobs.worker.upkeep import Upkeep
from jobs.worker.worker import Worker


def work(
    liveness: Liveness, slot: int, *, wake: int, parent_pipe: int, started: int, close: Sequence[int], until_idle: bool
) -> int:
    """Claim jobs and perform them.

    Args:
        liveness: where to give signs of life.
        slot: number of this process's worker slot.
        wake: reading end of the pipe on which new work is announced.
        parent_pipe: reading end of a pipe that closes when the supervisor dies.
        started: an eventfd that reports the first sign of life to the supervisor.
        close: file descriptors that only the supervisor or the upkeep uses.
        until_idle: whether to leave when nothing can be claimed, rather than when asked to.

    Returns:
        The exit code: `EXIT_CODE` when this process is to be replaced by a fresh one, `DRAINED_EXIT_CODE` when it was
        drained, else 0.
    """
    _after_fork(liveness, slot, started, close)
    worker = Worker(wake=wake, parent_pipe=parent_pipe, liveness=liveness, bounds=bounds_from_settings())
    if until_idle:
        worker.drain()
    else:
        worker.serve()
    if worker.drained:
        return DRAINED_EXIT_CODE
    return EXIT_CODE if worker.recycled else 0


def run_upkeep(
    liveness: Liveness,
    slot: int,
    *,
    wake: int,
    restarts: int,
    readers: int,
    parent_pipe: int,
    started: int,
    close: Sequence[int],
) -> int:
    """Listen for new work, recover, sweep, count restarts.

    Args:
        liveness: where to give signs of life and to record whether notices arrive.
        slot: number of this process's worker slot.
        wake: writing end of the pipe on which new work is announced.
        restarts: reading end of the pipe to which the supervisor writes restarts.
        readers: how many workers read from `wake`.
        parent_pipe: as for `work`.
        started: as for `work`.
        close: file descriptors that only the supervisor uses.
    """
    _after_fork(liveness, slot, started, close)
    Upkeep(liveness, wake=wake, restarts=restarts, readers=readers, parent_pipe=parent_pipe).run()
    return 0


def _after_fork(liveness: Liveness, slot: int, started: int, close: Sequence[int]) -> None:
    for number in close:
        os.close(number)
    for name in sd_notify.VARIABLES:  # only the supervisor notifies the service manager
        os.environ.pop(name, None)
    liveness.give_sign(slot)
    os.eventfd_write(started, 1)
    LivenessThread(liveness, slot).start()
