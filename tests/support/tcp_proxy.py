"""A TCP proxy that can become a black hole: it keeps every connection open and forwards nothing."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable


class Proxy:
    """Listens on a loopback port and connects each caller to what `connect` returns.

    Connections that sent something while it was a black hole stay dead, as when a firewall has dropped their state; new
    connections work again after `heal`.
    """

    def __init__(self, connect: Callable[[], socket.socket]) -> None:
        self._connect = connect
        self._swallowing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]
        self.swallowed = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def swallow(self) -> None:
        """Forward nothing from now on; `swallowed` is set at the first data that is dropped."""
        self.swallowed.clear()
        self._swallowing.set()

    def heal(self) -> None:
        """Forward the data of new connections again."""
        self._swallowing.clear()

    def close(self) -> None:
        """Close everything."""
        for one in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                caller, _ = self._listener.accept()
                server = self._connect()
                self._open += [caller, server]
                dead = threading.Event()
                for source, target in ((caller, server), (server, caller)):
                    threading.Thread(target=self._pass_on, args=(source, target, dead), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, dead: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while received := source.recv(65536):
                if self._swallowing.is_set() or dead.is_set():
                    dead.set()
                    self.swallowed.set()
                    continue
                target.sendall(received)
        if not dead.is_set():
            with contextlib.suppress(OSError):
                target.shutdown(socket.SHUT_RDWR)
