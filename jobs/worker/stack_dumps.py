"""Where a process hangs, shown from outside: SIGQUIT writes the stacks of all threads to stderr, and work goes on.

A deadly signal, such as the SIGABRT of systemd's watchdog, writes them too before the process ends. Both are written
from C, so they work while a thread never comes back from a C library.
"""

from __future__ import annotations

import faulthandler
import signal

STDERR = 2


def dump_on_request() -> None:
    """Install both."""
    faulthandler.enable(file=STDERR, all_threads=True)
    faulthandler.register(signal.SIGQUIT, file=STDERR, all_threads=True, chain=False)
