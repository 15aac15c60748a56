"""Runs a call that may hang in a daemon thread, so that neither the caller nor process exit waits for it.

Threads of `concurrent.futures` are waited for at the end of a process; a service that is silent for half a minute would
delay the shutdown of a worker as long.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Answer = TypeVar("Answer")


def ask(question: Callable[[], Answer]) -> Future[Answer]:
    """Call `question` in a thread of its own.

    Args:
        question: may take any time and raise anything.
    """
    future: Future[Answer] = Future()

    def answer() -> None:
        try:
            future.set_result(question())
        except BaseException as error:  # noqa: BLE001 # whoever asked gets it
            future.set_exception(error)

    threading.Thread(target=answer, name="asked", daemon=True).start()
    return future
