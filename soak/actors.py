"""The threads of a simulated world. One runs at a time: each stops at every point where something may happen to it.

A point is before and after a statement, before and after COMMIT, and wherever a deed says so. What the driver orders
there (go on, die, lose the answer) happens there. An actor that waits for a lock in the database runs on by itself.
"""

from __future__ import annotations

import queue
import random
import threading
from collections.abc import Callable
from typing import Any

IDLE = "idle"
_here = threading.local()


class Died(BaseException):  # no Exception: nothing may catch it, as nothing catches SIGKILL
    """The actor's process was killed; nothing of it runs any more."""


class Clock:
    """The time of the world in seconds, moved by the driver alone."""

    def __init__(self) -> None:
        self.now_s = 0.0


class Actor:
    """One thread with one database session.

    Attributes:
        process: the simulated process it belongs to; a worker and its heart share one.
        point: where it stands; `IDLE` between deeds.
        standing: whether it waits for the driver's order.
        frozen: whether the driver passes over it (SIGSTOP).
        dead: killed; it never runs again.
        since_s: the world's time when it came to stand.
        wake_at_s: when a sleep is over, while it sleeps.
        skew_s: by how much its own clock is wrong.
        session: its database session, set by whoever makes it.
    """

    def __init__(self, name: str, process: str, seed: int, clock: Clock, stood: queue.SimpleQueue[Actor]) -> None:
        self.name, self.process = name, process
        self.rng = random.Random(f"{seed}/{process}/{name}")
        self.point, self.standing, self.frozen, self.dead = IDLE, True, False, False
        self.since_s, self.wake_at_s, self.skew_s = 0.0, 0.0, 0.0
        self.deed_name = ""
        self.session: Any = None
        self.failure: BaseException | None = None
        self._clock, self._stood, self._order = clock, stood, "go"
        self._deed: Callable[[], None] | None = None
        self._may_go = threading.Semaphore(0)
        threading.Thread(target=self._live, name=f"{process}/{name}", daemon=True).start()

    @property
    def now_s(self) -> float:
        """The time on this actor's own clock, in seconds."""
        return self._clock.now_s + self.skew_s

    @property
    def told(self) -> str:
        """Who and where, for a person."""
        return f"{self.process}/{self.name} at {self.point}"

    def begin(self, name: str, deed: Callable[[], None]) -> None:
        """Start a deed; called by the driver while the actor is idle."""
        self._deed, self.deed_name = deed, name
        self.order("go")

    def order(self, order: str) -> None:
        """Let it run to its next point; called by the driver while it stands."""
        self._order, self.standing, self.wake_at_s = order, False, 0.0
        self._may_go.release()

    def stop_at(self, point: str) -> str:
        """Stand here until the driver gives an order, and return it; called by the actor's own thread.

        Raises:
            Died: that was the order.
        """
        if self.dead:
            raise Died
        self._stand(point)
        if self._order in {"die", "vanish"}:
            self.dead = True
            self.session.abandon(silently=self._order == "vanish")
            raise Died
        return self._order

    def sleep(self, seconds: float) -> None:
        """What `time.sleep` is to this actor."""
        self.wake_at_s = self._clock.now_s + seconds
        self.stop_at("sleep")

    def end(self) -> None:
        """Let the thread end; called by the driver while the actor stands."""
        self.dead = True
        self._may_go.release()

    def _ends(self) -> bool:
        """Whether it was killed while it had nothing to do."""
        if self._order in {"die", "vanish"} and not self.dead:
            self.dead = True
            self.session.abandon(silently=False)
        return self.dead

    def _stand(self, point: str) -> None:
        self.point, self.since_s, self.standing = point, self._clock.now_s, True
        self._stood.put(self)
        self._may_go.acquire()

    def _live(self) -> None:
        _here.actor = self
        self._may_go.acquire()
        while not self._ends():
            try:
                self.session.introduce()
                if self._deed is not None:
                    self._deed()
            except Died:
                break
            except BaseException as error:  # noqa: BLE001 # the driver raises it as a failure of the seed
                self.failure = error
            self._deed = None
            self._stand(IDLE)
        self.point, self.dead, self.standing = "dead", True, True
        self._stood.put(self)


def current() -> Actor | None:
    """The actor whose thread this is; `None` in any other thread."""
    return getattr(_here, "actor", None)


class WorldTime:
    """Stands in for the module `time`: an actor's own clock, and sleeping as a point."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def monotonic(self) -> float:
        """Seconds on the actor's clock."""
        actor = current()
        return float(self._real.monotonic()) if actor is None else actor.now_s

    def sleep(self, seconds: float) -> None:
        """Sleep as the actor."""
        actor = current()
        if actor is None:
            self._real.sleep(seconds)
        else:
            actor.sleep(seconds)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)
