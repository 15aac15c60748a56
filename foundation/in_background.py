"""A question that may hang, asked in a thread that holds up nobody: neither who asks nor the end of the process.

Threads of `concurrent.futures` are waited for at the end of a process; a service that is silent for half a minute would
keep a worker that was told to stop for as long.
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
