"""Ports in use are named before anything starts, with the variable that moves each."""

from __future__ import annotations

import socket
from dataclasses import dataclass


@dataclass(frozen=True)
class Port:
    """A port that is about to be used: on which address, for what, and the variable that changes it."""

    address: str
    number: int
    purpose: str
    variable: str


def taken(ports: list[Port]) -> list[str]:
    """One line for each port that something else listens on, or that cannot be used."""
    lines = []
    for port in ports:
        family = socket.AF_INET6 if ":" in port.address else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((port.address, port.number))
            except OSError as error:
                lines.append(
                    f"port {port.number} for {port.purpose} cannot be used ({error.strerror}); set {port.variable}"
                )
    return lines
