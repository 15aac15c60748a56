"""`python -m bundles.samples PORTS FOLDER…`: serves the sample services until a signal.

PORTS is JSON: service → port, 0 for any free one. `manage.py serve_sample_sources` starts this. Nothing polls.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

from bundles.samples.services import SampleServices

STOPS = (signal.SIGTERM, signal.SIGINT)


def main(ports: str, *folders: str) -> int:
    """Serve; the exit code is 0 after a signal, 1 if a port is taken."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)  # in every thread, so that `sigwait` receives them
    services = SampleServices([Path(folder) for folder in folders], json.loads(ports))
    try:
        services.start()
    except OSError as error:
        sys.stderr.write(f"CommandError: Cannot listen: {error.strerror}.\n")
        return 1
    for name in services.ports:
        sys.stdout.write(f"{name} {services.url(name)}\n")
    sys.stdout.write(f"incidents {' '.join(services.folders.incident_ids())}\n")
    sys.stdout.flush()
    signal.sigwait(STOPS)
    services.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
