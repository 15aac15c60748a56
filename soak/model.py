"""The model of one seed: simulated workers and people on a database. The rules are checked after each step.

Deterministic: every random choice, and the database's clock, tokens and random numbers, come from the seed, and only
one actor runs at a time.
"""

from __future__ import annotations

import queue
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.db import connections

from bundles.storage import bundle_files, store_marker
from soak import actions
from soak.actions import Process
from soak.actors import IDLE, Actor, Clock
from soak.rules import BrokenRuleError, Ledger
from soak.schema import CONTRADICTIONS, KEYS, RESET, RESULTS, TOTALS, Control
from soak.sessions import AbandonedSession, Database, Session

POLL_S = 0.002
HUNG_AFTER_S = 30.0
WORKERS, PEOPLE = 3, 2
MOST_JOBS = 8
TIMES_S = (0.6, 3.0, 3.0, 7.0, 12.0, 31.0, 31.0, 90.0, 700.0)
IDLE_LIMIT = "SELECT setting::int FROM pg_settings WHERE name = 'idle_in_transaction_session_timeout'"


@dataclass
class Trace:
    """What happened in one seed: one line a step, and how often each event occurred."""

    seed: int
    echo: Callable[[str], None] | None = None
    lines: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, line: str) -> None:
        """Add a line."""
        self.lines.append(line)
        if self.echo is not None:
            self.echo(f"{len(self.lines):4}  {line}")

    def count(self, event: str) -> None:
        """Count one event."""
        self.counts[event] = self.counts.get(event, 0) + 1


class Model:
    """The actors, their database and the ledger.

    Args:
        database: used by this simulation alone.
        control: the driver's session there.
        trace: records what happens; gives the seed.
    """

    def __init__(self, database: Database, control: Control, trace: Trace) -> None:
        self.database, self.control, self.trace = database, control, trace
        self.rng = random.Random(trace.seed)
        self.clock, self.ledger = Clock(), Ledger()
        self.actors: list[Actor] = []
        self.processes: list[Process] = []
        self._newly_paused: queue.SimpleQueue[Actor] = queue.SimpleQueue()
        self._answers: list[tuple[tuple[str, str, str], str]] = []
        self._waited: dict[str, float] = {}
        self._action_count = self._processes_started = 0
        control.rows(RESET)
        for _ in range(WORKERS):
            self.start_process()
        self.people = [self.actor(f"person{number}", f"person{number}") for number in range(PEOPLE)]
        self.supervisor = self.actor("supervisor", "supervisor")

    def actor(self, name: str, process: str) -> Actor:
        """A new actor with a session of its own."""
        made = Actor(name, process, self.trace.seed, self.clock, self._newly_paused)
        made.session = Session(self.database, made)
        made.session.inc_thread_sharing()
        self.actors.append(made)
        return made

    def start_process(self) -> Process:
        """A new worker process; its clock may be wrong by hours."""
        self._processes_started += 1
        name = f"worker{self._processes_started}"
        made = Process(name, self.actor("main", name), self.actor("heartbeat", name))
        made.worker.skew_s = made.heartbeat.skew_s = self.rng.choice((0.0, 0.0, -7_200.0, 18_000.0))
        self.processes.append(made)
        return made

    def begin(self, actor: Actor, kind: str, action: Callable[[], None]) -> None:
        """Let an idle actor start an action and run to its first point."""
        self._action_count += 1

        def with_session() -> None:
            connections["default"] = actor.session
            action()

        self.trace.add(f"{actor.process}/{actor.name} begins to {kind}")
        actor.begin(f"{actor.process}/{self._action_count}/{kind}", with_session)
        self.wait_for_actors()

    def ask(self, actor: Actor) -> Callable[[], None]:
        """The action that enqueues a job."""
        return lambda: actions.ask(actor, lambda key, job: self._answers.append((key, job)))

    def go(self, actor: Actor, order: str = "go") -> None:
        """Let a paused actor run to its next point."""
        if actor.point == "sleep" and actor.wake_at_s > self.clock.now_s:
            self.pass_time(actor.wake_at_s - self.clock.now_s)
        if order != "go":
            self.trace.count(f"{order} {actor.point.split()[0]}")
        self.trace.add(f"{actor.process}/{actor.name} {order} from {actor.point}")
        actor.order(order)
        self.wait_for_actors()

    def kill(self, process: Process, order: str = "die") -> None:
        """End both actors of a process at once."""
        process.worker.frozen = process.heartbeat.frozen = False
        for actor in (process.worker, process.heartbeat):
            while not actor.paused:  # it waits for a lock: only the end of its session wakes it
                self.cut(actor)
            if not actor.dead:
                self.go(actor, order)

    def cut(self, actor: Actor) -> None:
        """End an actor's session from the server's side."""
        self.trace.add(f"{actor.process}/{actor.name} loses its session at {actor.point}")
        self.trace.count(f"cut {actor.point.split()[0]}")
        self.database.ending.add(actor.session.pid)
        self.control.terminate(actor.session.pid)
        self.wait_for_actors()

    def pass_time(self, seconds: float) -> None:
        """Advance every clock; end sessions that have been idle in a transaction beyond the server's limit."""
        self.trace.add(f"{seconds:.1f} s pass")
        self.clock.now_s += seconds
        for actor in self.actors:
            if not actor.paused:  # its statement waits for a lock, and goes on waiting
                self._waited[actor.action_name] = self._waited.get(actor.action_name, 0.0) + seconds
        self.control.advance(seconds)
        for actor in self.actors:
            inside = actor.paused and not actor.dead and actor.session.in_transaction()
            if inside and self._over_limit(actor.session.connection, actor.paused_at_s):
                self.cut(actor)
        for session in list(self.database.abandoned):
            if self._over_limit(session.raw, session.paused_at_s):
                self.resolve(session, commit=False)

    def _over_limit(self, raw: Any, paused_at_s: float) -> bool:
        try:
            with raw.cursor() as cursor:
                cursor.execute(IDLE_LIMIT)
                limit_ms = int(cursor.fetchone()[0])
        except Exception:  # noqa: BLE001 # the session is gone already: its actor will find out
            return False
        return 0 < limit_ms < (self.clock.now_s - paused_at_s) * 1000

    def resolve(self, session: AbandonedSession, *, commit: bool) -> None:
        """End an abandoned session: its COMMIT arrives late, or never."""
        self.database.abandoned.remove(session)
        raw, commit = session.raw, commit and session.committing
        self.trace.add(f"a delayed COMMIT {'arrives' if commit else 'never arrives'}")
        self.trace.count("late commit" if commit else "lost commit")
        if not raw.closed:
            self.database.ending.add(raw.info.backend_pid)
            try:
                if commit:
                    raw.commit()
            except Exception:  # noqa: BLE001 # the server had ended it
                self.trace.count("too late commit")
            raw.close()
        self.wait_for_actors()

    def wait_for_actors(self) -> None:
        """Wait until every actor is paused or waits for a lock that another holds; then check the rules."""
        give_up_at = time.monotonic() + HUNG_AFTER_S
        while True:
            if self.database.ending:
                self.database.ending &= self.control.alive(self.database.ending)
            moving = [actor for actor in self.actors if not actor.paused]
            if not moving and not self.database.ending:
                break
            try:
                self._newly_paused.get(timeout=POLL_S)
                continue
            except queue.Empty:
                waiting = self.control.waiting([actor.session.pid for actor in moving])
            if not self.database.ending and all(actor.session.pid in waiting for actor in moving):
                break
            if time.monotonic() > give_up_at:
                raise BrokenRuleError(f"hung: {[(actor.process, actor.name, actor.point) for actor in moving]}")
        self.check()

    def check(self) -> None:
        """Check everything that was committed since the last check.

        Raises:
            BrokenRuleError: a rule was broken.
        """
        for actor in self.actors:
            if actor.failure is not None:
                failure, actor.failure = actor.failure, None
                raise BrokenRuleError(f"{actor.process}/{actor.name} met {failure!r}") from failure
        moves = self.control.moves()
        if not moves and not self._answers:
            return
        for move in moves:
            if move["was"] != move["became"]:
                self.trace.add(f"    {move['job_id']}: {move['was']} to {move['became']}, by {move['action']}")
                self.trace.count(f"{move['was']} to {move['became']}")
            self.ledger.apply(move, self._waited.get(move["action"], 0.0))
        self.ledger.totals(self.control.rows(TOTALS))
        self.ledger.keys(self.control.rows(KEYS))
        answers, self._answers = self._answers, []
        for key, job in answers:
            self.ledger.answered(key, job)
        for row in self.control.rows(CONTRADICTIONS):
            raise BrokenRuleError(str(next(iter(row.values()))))
        self._files_of_results()

    def _files_of_results(self) -> None:
        for row in self.control.rows(RESULTS):
            if not (bundle_files.output_dir() / row["name"]).exists():
                raise BrokenRuleError(f"job {row['job_id']} is completed and its file {row['name']} is gone")

    def published(self) -> set[str]:
        """The names of the published files."""
        found = {path.name for path in Path(bundle_files.output_dir()).iterdir() if path.is_file()}
        return found - {store_marker.NAME}

    def close(self) -> None:
        """End every thread and every session."""
        for session in list(self.database.abandoned):
            self.database.abandoned.remove(session)
            session.raw.close()
        for actor in self.actors:
            if not actor.paused:
                self.control.terminate(actor.session.pid)
        give_up_at = time.monotonic() + HUNG_AFTER_S
        while any(not actor.paused for actor in self.actors) and time.monotonic() < give_up_at:
            try:
                self._newly_paused.get(timeout=0.05)
            except queue.Empty:
                continue
        for actor in self.actors:
            if not actor.dead:
                actor.session.abandon(silently=False)
                actor.end()
        while self.database.ending:
            self.database.ending &= self.control.alive(self.database.ending)


def idle(actor: Actor) -> bool:
    """Whether the actor has no action."""
    return actor.paused and not actor.dead and actor.point == IDLE
