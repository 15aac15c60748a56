"""`python -m jobs.child serve|drain WAKE_FD`: one worker process, started by the supervisor and by nobody else."""

from __future__ import annotations

import faulthandler
import signal
import sys


def main(mode: str, wake: int) -> int:
    """Set Django up and work."""
    faulthandler.register(signal.SIGQUIT, all_threads=True)
    import django  # after the process has a way to show where it hangs

    django.setup()
    from jobs.worker import Worker  # models exist from here on

    worker = Worker(wake=wake)
    if mode == "drain":
        worker.drain()
    else:
        worker.serve()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
