"""The threads of the simulation. One runs at a time; each pauses at every point where the driver may interfere.

Points are before and after each statement, before and after COMMIT, and where an action calls `pause_at`. There the
driver orders the actor to go on, to die or to lose the answer. An actor that waits for a database lock is not paused:
it goes on once the lock is free.
"""

from __future__ import annotations

import queue
import random
import threading
from collections.abc import Callable
from typing import Any

IDLE = "idle"
_thread = threading.local()


class Died(BaseException):  # not an Exception: like SIGKILL, it must not be caught
    """The actor's process was killed; its thread ends."""


class Clock:
    """The simulated time in seconds; only the driver advances it."""

    def __init__(self) -> None:
        self.now_s = 0.0


class Actor:
    """One thread with one database session.

    Attributes:
        process: name of the simulated process; a worker's two threads share one.
        point: where it paused; `IDLE` between actions.
        paused: whether it waits for the driver's order.
        frozen: whether the driver skips it (SIGSTOP).
        dead: killed; it never runs again.
        paused_at_s: the simulated time when it paused.
        wake_at_s: the simulated time when its sleep ends; 0 unless it sleeps.
        skew_s: how far its own clock is off.
        session: its database session, set by the model.
    """

    def __init__(self, name: str, process: str, seed: int, clock: Clock, paused: queue.SimpleQueue[Actor]) -> None:
        self.name, self.process = name, process
        self.rng = random.Random(f"{seed}/{process}/{name}")
        self.point, self.paused, self.frozen, self.dead = IDLE, True, False, False
        self.paused_at_s, self.wake_at_s, self.skew_s = 0.0, 0.0, 0.0
        self.action_name = ""
        self.session: Any = None
        self.failure: BaseException | None = None
        self._clock, self._newly_paused, self._order = clock, paused, "go"
        self._action: Callable[[], None] | None = None
        self._may_go = threading.Semaphore(0)
        threading.Thread(target=self._run, name=f"{process}/{name}", daemon=True).start()

    @property
    def now_s(self) -> float:
        """The time on this actor's own clock, in seconds."""
        return self._clock.now_s + self.skew_s

    @property
    def location(self) -> str:
        """Process, actor and point, for a message."""
        return f"{self.process}/{self.name} at {self.point}"

    def begin(self, name: str, action: Callable[[], None]) -> None:
        """Start an action; called by the driver while the actor is idle."""
        self._action, self.action_name = action, name
        self.order("go")

    def order(self, order: str) -> None:
        """Let it run to its next point; called by the driver while it is paused."""
        self._order, self.paused, self.wake_at_s = order, False, 0.0
        self._may_go.release()

    def pause_at(self, point: str) -> str:
        """Pause until the driver gives an order, and return it; called by the actor's own thread.

        Raises:
            Died: the order was to die.
        """
        if self.dead:
            raise Died
        self._pause(point)
        if self._order in {"die", "vanish"}:
            self.dead = True
            self.session.abandon(silently=self._order == "vanish")
            raise Died
        return self._order

    def sleep(self, seconds: float) -> None:
        """Replaces `time.sleep` for this actor."""
        self.wake_at_s = self._clock.now_s + seconds
        self.pause_at("sleep")

    def end(self) -> None:
        """Let the thread end; called by the driver while the actor is paused."""
        self.dead = True
        self._may_go.release()

    def _is_dead(self) -> bool:
        """Whether it is dead; carries out an order to die that came while it was idle."""
        if self._order in {"die", "vanish"} and not self.dead:
            self.dead = True
            self.session.abandon(silently=False)
        return self.dead

    def _pause(self, point: str) -> None:
        self.point, self.paused_at_s, self.paused = point, self._clock.now_s, True
        self._newly_paused.put(self)
        self._may_go.acquire()

    def _run(self) -> None:
        _thread.actor = self
        self._may_go.acquire()
        while not self._is_dead():
            try:
                self.session.set_application_name()
                if self._action is not None:
                    self._action()
            except Died:
                break
            except BaseException as error:  # noqa: BLE001 # the driver raises it as a failure of the seed
                self.failure = error
            self._action = None
            self._pause(IDLE)
        self.point, self.dead, self.paused = "dead", True, True
        self._newly_paused.put(self)


def current() -> Actor | None:
    """The actor whose thread this is; `None` in any other thread."""
    return getattr(_thread, "actor", None)


class ActorTime:
    """Replaces the module `time`: reads the actor's clock, and pauses the actor where it sleeps."""

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
