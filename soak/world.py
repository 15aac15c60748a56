"""One seed: a world of workers and people whose driver decides every step, and checks the rules after each.

Deterministic: the driver's choices, each actor's choices and the database's clock, tokens and random numbers all come
from the seed, and nothing runs at the same time as anything else.
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
from soak import deeds
from soak.actors import IDLE, Actor, Clock
from soak.deeds import Process
from soak.rules import BrokenRuleError, Ledger
from soak.schema import CONTRADICTIONS, KEYS, RESET, RESULTS, TOTALS, Control
from soak.sessions import Ghost, Line, Session

LOOK_AFTER_S = 0.002
HUNG_AFTER_S = 30.0
WORKERS, PEOPLE = 3, 2
MOST_JOBS = 8
TIMES_S = (0.6, 3.0, 3.0, 7.0, 12.0, 31.0, 31.0, 90.0, 700.0)
IDLE_LIMIT = "SELECT setting::int FROM pg_settings WHERE name = 'idle_in_transaction_session_timeout'"


@dataclass
class Story:
    """What happened in one seed: a line a step, and how often each thing was done to an actor."""

    seed: int
    say: Callable[[str], None] | None = None
    lines: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def tell(self, line: str) -> None:
        """Add a line."""
        self.lines.append(line)
        if self.say is not None:
            self.say(f"{len(self.lines):4}  {line}")

    def count(self, what: str) -> None:
        """Count one of these."""
        self.counts[what] = self.counts.get(what, 0) + 1


class World:
    """The actors, their database and the ledger.

    Args:
        line: the database that belongs to this simulation alone.
        control: the driver's session there.
        story: where to tell what happens; its seed decides everything.
    """

    def __init__(self, line: Line, control: Control, story: Story) -> None:
        self.line, self.control, self.story = line, control, story
        self.rng = random.Random(story.seed)
        self.clock, self.ledger = Clock(), Ledger()
        self.actors: list[Actor] = []
        self.processes: list[Process] = []
        self._stood: queue.SimpleQueue[Actor] = queue.SimpleQueue()
        self._answers: list[tuple[tuple[str, str, str], str]] = []
        self._waited: dict[str, float] = {}
        self._deeds = self._born = 0
        control.rows(RESET)
        for _ in range(WORKERS):
            self.hire()
        self.people = [self.actor(f"person{number}", f"person{number}") for number in range(PEOPLE)]
        self.supervisor = self.actor("supervisor", "supervisor")

    def actor(self, name: str, process: str) -> Actor:
        """A new actor with a session of its own."""
        made = Actor(name, process, self.story.seed, self.clock, self._stood)
        made.session = Session(self.line, made)
        made.session.inc_thread_sharing()
        self.actors.append(made)
        return made

    def hire(self) -> Process:
        """A new worker process; its clock may be wrong by hours."""
        self._born += 1
        name = f"worker{self._born}"
        made = Process(name, self.actor("main", name), self.actor("heart", name))
        made.worker.skew_s = made.heart.skew_s = self.rng.choice((0.0, 0.0, -7_200.0, 18_000.0))
        self.processes.append(made)
        return made

    def begin(self, actor: Actor, kind: str, deed: Callable[[], None]) -> None:
        """Let an idle actor start a deed and run to its first point."""
        self._deeds += 1

        def with_session() -> None:
            connections["default"] = actor.session
            deed()

        self.story.tell(f"{actor.process}/{actor.name} begins to {kind}")
        actor.begin(f"{actor.process}/{self._deeds}/{kind}", with_session)
        self.settle()

    def ask(self, actor: Actor) -> Callable[[], None]:
        """The deed of asking for a job."""
        return lambda: deeds.ask(actor, lambda key, job: self._answers.append((key, job)))

    def go(self, actor: Actor, order: str = "go") -> None:
        """Let a standing actor run to its next point."""
        if actor.point == "sleep" and actor.wake_at_s > self.clock.now_s:
            self.pass_time(actor.wake_at_s - self.clock.now_s)
        if order != "go":
            self.story.count(f"{order} {actor.point.split()[0]}")
        self.story.tell(f"{actor.process}/{actor.name} {order} from {actor.point}")
        actor.order(order)
        self.settle()

    def kill(self, process: Process, order: str = "die") -> None:
        """End both actors of a process at once."""
        process.worker.frozen = process.heart.frozen = False
        for actor in (process.worker, process.heart):
            while not actor.standing:  # it waits inside the database: only the end of its session wakes it
                self.cut(actor)
            if not actor.dead:
                self.go(actor, order)

    def cut(self, actor: Actor) -> None:
        """End an actor's session behind its back."""
        self.story.tell(f"{actor.process}/{actor.name} loses its session at {actor.point}")
        self.story.count(f"cut {actor.point.split()[0]}")
        self.line.ending.add(actor.session.pid)
        self.control.terminate(actor.session.pid)
        self.settle()

    def pass_time(self, seconds: float) -> None:
        """Move every clock; the server ends sessions that were idle in a transaction for longer than they may."""
        self.story.tell(f"{seconds:.1f} s pass")
        self.clock.now_s += seconds
        for actor in self.actors:
            if not actor.standing:  # its statement waits for a lock, and goes on waiting
                self._waited[actor.deed_name] = self._waited.get(actor.deed_name, 0.0) + seconds
        self.control.advance(seconds)
        for actor in self.actors:
            inside = actor.standing and not actor.dead and actor.session.in_transaction()
            if inside and self._over_limit(actor.session.connection, actor.since_s):
                self.cut(actor)
        for ghost in list(self.line.ghosts):
            if self._over_limit(ghost.raw, ghost.since_s):
                self.resolve(ghost, commit=False)

    def _over_limit(self, raw: Any, since_s: float) -> bool:
        try:
            with raw.cursor() as cursor:
                cursor.execute(IDLE_LIMIT)
                limit_ms = int(cursor.fetchone()[0])
        except Exception:  # noqa: BLE001 # the session is gone already: its actor will find out
            return False
        return 0 < limit_ms < (self.clock.now_s - since_s) * 1000

    def resolve(self, ghost: Ghost, *, commit: bool) -> None:
        """The server learns what became of a session nobody speaks to: its COMMIT arrives after all, or never."""
        self.line.ghosts.remove(ghost)
        raw, commit = ghost.raw, commit and ghost.committing
        self.story.tell(f"a delayed COMMIT {'arrives' if commit else 'never arrives'}")
        self.story.count("late commit" if commit else "lost commit")
        if not raw.closed:
            self.line.ending.add(raw.info.backend_pid)
            try:
                if commit:
                    raw.commit()
            except Exception:  # noqa: BLE001 # the server had ended it
                self.story.count("too late commit")
            raw.close()
        self.settle()

    def settle(self) -> None:
        """Wait until every actor stands or waits for a lock that another holds; then check the rules."""
        give_up_at = time.monotonic() + HUNG_AFTER_S
        while True:
            if self.line.ending:
                self.line.ending &= self.control.alive(self.line.ending)
            moving = [actor for actor in self.actors if not actor.standing]
            if not moving and not self.line.ending:
                break
            try:
                self._stood.get(timeout=LOOK_AFTER_S)
                continue
            except queue.Empty:
                waiting = self.control.waiting([actor.session.pid for actor in moving])
            if not self.line.ending and all(actor.session.pid in waiting for actor in moving):
                break
            if time.monotonic() > give_up_at:
                raise BrokenRuleError(f"hung: {[(actor.process, actor.name, actor.point) for actor in moving]}")
        self.check()

    def check(self) -> None:
        """Hold everything that was committed since the last check against the rules.

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
                self.story.tell(f"    {move['job_id']}: {move['was']} to {move['became']}, by {move['deed']}")
                self.story.count(f"{move['was']} to {move['became']}")
            self.ledger.take(move, self._waited.get(move["deed"], 0.0))
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
        """The names of the files that are published."""
        found = {path.name for path in Path(bundle_files.output_dir()).iterdir() if path.is_file()}
        return found - {store_marker.NAME}

    def close(self) -> None:
        """End every thread and every session."""
        for ghost in list(self.line.ghosts):
            self.line.ghosts.remove(ghost)
            ghost.raw.close()
        for actor in self.actors:
            if not actor.standing:
                self.control.terminate(actor.session.pid)
        give_up_at = time.monotonic() + HUNG_AFTER_S
        while any(not actor.standing for actor in self.actors) and time.monotonic() < give_up_at:
            try:
                self._stood.get(timeout=0.05)
            except queue.Empty:
                continue
        for actor in self.actors:
            if not actor.dead:
                actor.session.abandon(silently=False)
                actor.end()
        while self.line.ending:
            self.line.ending &= self.control.alive(self.line.ending)


def idle(actor: Actor) -> bool:
    """Whether the actor has nothing to do."""
    return actor.standing and not actor.dead and actor.point == IDLE
