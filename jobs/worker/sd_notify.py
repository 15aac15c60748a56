"""Notifies systemd that the supervisor is ready, alive or stopping, and of its status. Does nothing without systemd.

The protocol is one datagram of `NAME=value` lines to the socket that NOTIFY_SOCKET names; see sd_notify(3) and
sd_watchdog_enabled(3). A failed notification is logged, never raised: work goes on without a service manager.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from foundation.log_format import logger

log = logger("jobs")


VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class ServiceManager:
    """The service manager that started this process.

    Args:
        environ: holds its address; `os.environ` in the product.

    Attributes:
        watchdog_s: the longest time between two watchdog notifications, in seconds; `None` without a watchdog.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        # An abstract socket's name begins with a NUL, which the environment cannot hold: `@` replaces it.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog_s = _watchdog_s(environ) if address else None

    def notify(self, **fields: str) -> None:
        """Send one message, such as `notify(READY="1")`."""
        if not self._address:
            return
        message = "\n".join(f"{name}={value}" for name, value in fields.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
                connection.settimeout(0)  # a manager that does not read must not block us
                connection.sendto(message.encode(), self._address)
        except OSError as error:
            log.warning("the service manager was not told", told=message, error=str(error))


def _watchdog_s(environ: Mapping[str, str]) -> float | None:
    usec, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    meant_for_us = not pid or pid == str(os.getpid())
    return int(usec) / 1_000_000 if meant_for_us and usec.isdigit() and int(usec) > 0 else None
