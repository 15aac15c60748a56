"""Asking our own `/ready` until it says yes, and naming what is still missing until then.

Asked in a thread, so that a slow answer delays neither Ctrl-C nor the news that a child has died.
"""

from __future__ import annotations

import http.client
import json
import threading
from typing import Any, NamedTuple

ASK_EVERY_S = 0.5
LONGEST_ANSWER_S = 60.0  # then it is asked anew; it answers in 5 s, later where the machine is busy
WEB, WORKERS = "web", "workers"


class Missing(NamedTuple):
    """What is not there yet: the child that has to bring it, and what it is, in words."""

    child: str
    words: str


class Readiness:
    """What `/ready` said last.

    Args:
        address: host and port of the web server.
        host: a host name under which it answers.
    """

    def __init__(self, address: tuple[str, int], host: str) -> None:
        self._address = address
        self._host = host
        self._over = threading.Event()
        self.missing = [Missing(WEB, "the web server does not answer yet")]
        threading.Thread(target=self._ask_on, name="readiness", daemon=True).start()

    def stop(self) -> None:
        """Ask no more."""
        self._over.set()

    def _ask_on(self) -> None:
        while not self._over.is_set():
            self.missing = self._ask()
            if not self.missing:
                return
            self._over.wait(ASK_EVERY_S)

    def _ask(self) -> list[Missing]:
        connection = http.client.HTTPConnection(*self._address, timeout=LONGEST_ANSWER_S)
        try:
            connection.request("GET", "/ready", headers={"Host": self._host})
            answer = connection.getresponse()
            said = json.load(answer)
        except (OSError, http.client.HTTPException):
            return [Missing(WEB, "the web server does not answer yet")]
        except ValueError:
            return [Missing(WEB, f"the web server answers /ready with HTTP {answer.status}")]
        finally:
            connection.close()
        return missing_of(said if isinstance(said, dict) else {})


def missing_of(said: dict[str, Any]) -> list[Missing]:
    """The parts that are not ready according to `/ready`, without informational ones."""
    if said.get("ready") is True:
        return []
    if "parts" not in said:
        return [Missing(WEB, f"the web server answers /ready with {said.get('detail', said)}")]
    return [
        Missing(WORKERS if name == WORKERS else WEB, f"{name}: {part['detail']}")
        for name, part in said["parts"].items()
        if not part["ok"] and not part.get("informational")
    ]
