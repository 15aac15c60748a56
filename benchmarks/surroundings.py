"""What the programs under measurement are started with: free ports, and an environment without our own variables."""

from __future__ import annotations

import contextlib
import os
import socket

OURS = ("ORCH_", "DB_", "OUTPUT_DIR", "FORENSIC_", "KILLCHAIN_", "CORE_API", "MTLS_", "DJANGO_")


def free_ports(count: int) -> list[int]:
    """Ports on loopback that nobody listens on, each another."""
    with contextlib.ExitStack() as taken:
        held = [taken.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(one.getsockname()[1]) for one in held]


def clean_environment() -> dict[str, str]:
    """The variables of this process but for those that the machine has set for the product."""
    return {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
