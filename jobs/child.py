"""`python -m jobs.child serve|drain WAKE_FD SIGNS_FD SEATS SEAT`: one worker process of a supervisor."""

from __future__ import annotations

import sys

from jobs import stacks


def main(mode: str, wake: int, signs: int, seats: int, seat: int) -> int:
    """Set Django up and work.

    Args:
        mode: `serve` until asked to stop, or `drain` until nothing can be claimed.
        wake: reading end of the pipe on which the supervisor announces work.
        signs: the shared memory of `jobs.life_signs`.
        seats: how many processes share it.
        seat: which of them this is, from 0.

    Returns:
        The exit code: `recycling.EXIT_CODE` when this process makes way for a fresh one, `DRAINED_EXIT_CODE` when it
        was asked to finish and leave, else 0.
    """
    stacks.dump_on_request()
    import django  # after the process has a way to show where it hangs

    django.setup()
    from jobs.life_signs import Breath, LifeSigns  # models, which the worker needs, exist from here on
    from jobs.recycling import DRAINED_EXIT_CODE, EXIT_CODE, bounds_from_settings
    from jobs.worker import Worker

    Breath(LifeSigns(seats, signs), seat).start()
    worker = Worker(wake=wake, bounds=bounds_from_settings())
    if mode == "drain":
        worker.drain()
    else:
        worker.serve()
    if worker.drained:
        return DRAINED_EXIT_CODE
    return EXIT_CODE if worker.makes_way else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *map(int, sys.argv[2:6])))
