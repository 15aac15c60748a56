"""Runs one seed: chooses at random which actor goes on and which fault it meets, then drains the queue."""

from __future__ import annotations

from collections.abc import Callable

from jobs.models import ENDED
from soak import actions
from soak.actions import Process
from soak.actors import IDLE, Actor
from soak.model import MOST_JOBS, TIMES_S, Model, idle
from soak.rules import BrokenRuleError
from soak.schema import RESULTS, SESSIONS

STEPS = (100, 250)
LONGEST_DRAIN = 500
SAME_ACTOR_SHARE = 0.6  # of the steps go on with the last actor
RESTARTS = 0.02  # of the seeds have one
LOST_ANSWERS = 0.05  # of the database's answers
LOST_COMMITS = 0.05  # of its answers to COMMIT
FREEZES = 0.03  # of the steps freeze or thaw a process


class Driver:
    """Runs one seed.

    Args:
        model: a new one.
        restart: ends every session, as a crash and start of the server does.
    """

    def __init__(self, model: Model, restart: Callable[[], None]) -> None:
        self.model, self.rng, self._restart = model, model.rng, restart
        self._last: Actor | None = None

    def run(self) -> None:
        """Take the steps, then drain.

        Raises:
            BrokenRuleError: a rule was broken.
        """
        steps = self.rng.randint(*STEPS)
        restart_at = self.rng.randrange(steps) if self.rng.random() < RESTARTS else -1
        for step in range(steps):
            if step == restart_at:
                self.restart()
            else:
                self.step()
        self.drain()

    def step(self) -> None:
        """Take one random step."""
        chance = self.rng.random()
        if chance < 0.07:
            self.model.pass_time(self.rng.choice(TIMES_S))
        elif chance < 0.09 and self.model.database.abandoned:
            self.model.resolve(self.rng.choice(self.model.database.abandoned), commit=self.rng.random() < 0.6)
        elif chance < 0.09 + FREEZES:
            self.thaw_or_freeze()
        elif chance < 0.095 + FREEZES:
            self.rng.choice(self.living()).stopping.set()
        else:
            self.act()

    def act(self) -> None:
        """Let one actor that can run start an action or go on with it."""
        ready = [
            actor
            for actor in self.model.actors
            if actor.paused and not actor.dead and not actor.frozen and (actor.point != IDLE or self.may_begin(actor))
        ]
        if not ready:
            self.model.pass_time(self.rng.choice(TIMES_S))
            return
        # Often the last one again: otherwise actions with many points would never end.
        actor = self._last if self._last in ready and self.rng.random() < SAME_ACTOR_SHARE else self.rng.choice(ready)
        self._last = actor
        if actor.point == IDLE:
            self.start(actor)
        else:
            self.go_on(actor)

    def may_begin(self, actor: Actor) -> bool:
        """Whether an idle actor may start an action: a heartbeat needs an attempt in its process."""
        process = self.process_of(actor)
        if process is None:
            return True
        return process.reporter is not None if actor is process.heartbeat else True

    def start(self, actor: Actor) -> None:
        """Start an action that fits this actor."""
        process = self.process_of(actor)
        if process is not None and actor is process.heartbeat:
            self.model.begin(actor, "beat", process.beat)
        elif process is not None and process.stopping.is_set():
            self.replace(process)
        elif process is not None:
            self.model.begin(actor, "work", process.work)
        elif actor is self.model.supervisor:
            kind = self.rng.choice(("recover", "recover", "sweep"))
            self.model.begin(actor, kind, lambda: actions.upkeep(actions.UPKEEP[kind]))
        else:
            self.start_of_person(actor)

    def start_of_person(self, actor: Actor) -> None:
        """Let a person request a job, or cancel, retry or free one."""
        jobs = list(self.model.ledger.states)
        kind = self.rng.choice(("ask", "ask", "cancel", "retry", "free"))
        if not jobs or (kind == "ask" and len(jobs) < MOST_JOBS):
            self.model.begin(actor, "enqueue", self.model.ask(actor))
            return
        job = self.rng.choice(jobs)
        if kind in {"ask", "cancel"}:
            kind = "cancel" if self.rng.random() < 0.4 else "retry"
        about = ([job] if self.rng.random() < 0.5 else None) if kind == "free" else job
        self.model.begin(actor, kind, lambda: actions.person(actions.PERSONS[kind], about))

    def go_on(self, actor: Actor) -> None:
        """Let it go on, or inject a fault at this point."""
        process, chance = self.process_of(actor), self.rng.random()
        at_database = actor.point.startswith(("before", "after")) and "publish" not in actor.point
        if process is not None and chance < 0.02:
            self.model.kill(process, self.rng.choice(("die", "die", "vanish")))
            self.model.start_process()
        elif at_database and 0.02 < chance < 0.04 and actor.session.pid and actor.session.connection is not None:
            self.model.cut(actor)
            self.model.go(actor)
        elif actor.point.startswith("after") and at_database and chance < 0.04 + self.loss(actor):
            self.model.go(actor, "lose")
        elif actor.point == "before COMMIT" and chance < 0.1:
            self.model.go(actor, "delay")
        else:
            self.model.go(actor)

    def loss(self, actor: Actor) -> float:
        """The probability that the answer this actor waits for is lost."""
        return LOST_COMMITS if actor.point == "after COMMIT" else LOST_ANSWERS

    def thaw_or_freeze(self) -> None:
        """Freeze a working process (SIGSTOP) or thaw a frozen one (SIGCONT); often one inside a transaction."""
        inside = [one for one in self.living() if one.worker.paused and one.worker.session.in_transaction()]
        process = self.rng.choice(inside if inside and self.rng.random() < 0.5 else self.living())
        frozen = not process.worker.frozen and process.worker.point != IDLE
        process.worker.frozen = process.heartbeat.frozen = frozen
        if frozen:
            self.model.trace.count("freeze")
        self.model.trace.add(f"{process.name} {'freezes at ' + process.worker.point if frozen else 'thaws'}")

    def restart(self) -> None:
        """Crash the server and start it again; delayed COMMITs are lost."""
        self.model.trace.add("the database restarts")
        self.model.trace.count("restart")
        self._restart()
        for session in list(self.model.database.abandoned):
            self.model.resolve(session, commit=False)
        self.model.wait_for_actors()

    def replace(self, process: Process) -> None:
        """End an idle worker that was asked to stop, and start another."""
        self.model.trace.add(f"{process.name} ends")
        self.model.kill(process)
        self.model.start_process()

    def drain(self) -> None:
        """Stop injecting faults: every accepted job must end; only then do frozen processes thaw."""
        model = self.model
        model.trace.add("no more faults")
        while model.database.abandoned:
            model.resolve(model.database.abandoned[0], commit=self.rng.random() < 0.5)
        frozen = [process for process in self.living() if process.worker.frozen]
        self.finish(*model.actors)
        worker = model.start_process()
        for _ in range(LONGEST_DRAIN):
            if all(state in ENDED for state in model.ledger.states.values()):
                break
            model.pass_time(700.0)
            for actor, kind, action in (
                (model.supervisor, "recover", lambda: actions.upkeep(actions.UPKEEP["recover"])),
                (worker.worker, "work", worker.work),
            ):
                model.begin(actor, kind, action)
                self.finish(actor)
        else:
            raise BrokenRuleError("not ended while a worker is frozen: it would hold its job for ever")
        for process in frozen:
            process.worker.frozen = process.heartbeat.frozen = False
            self.finish(process.heartbeat, process.worker)
        self.check_end_state()

    def finish(self, *wanted: Actor) -> None:
        """Let every actor that is not frozen run without faults until the wanted ones are idle.

        Raises:
            BrokenRuleError: they never are, as a frozen or dead process keeps a lock.
        """
        for _ in range(LONGEST_DRAIN):
            if all(actor.dead or actor.frozen or idle(actor) for actor in wanted):
                return
            able = [one for one in self.model.actors if not (one.dead or one.frozen or one.point == IDLE)]
            for actor in able:
                if actor.paused and not actor.dead and actor.point != IDLE:
                    self.model.go(actor)
            if not any(actor.paused for actor in able):  # all wait for locks
                self.model.pass_time(11.0)
        sessions = "; ".join(" ".join(map(str, row.values())) for row in self.model.control.rows(SESSIONS))
        raise BrokenRuleError(
            f"some never end: {[one.location for one in wanted if not idle(one)]}; sessions: {sessions}"
        )

    def check_end_state(self) -> None:
        """Check that every job has ended, and that published files and results match.

        Raises:
            BrokenRuleError: otherwise.
        """
        model = self.model
        left = {job: state for job, state in model.ledger.states.items() if state not in ENDED}
        if left:
            raise BrokenRuleError(f"never ended: {left}")
        for _ in range(2):
            model.begin(model.supervisor, "sweep", lambda: actions.upkeep(actions.UPKEEP["sweep"]))
            self.finish(model.supervisor)
        results = {str(row["name"]) for row in model.control.rows(RESULTS)}
        if model.published() != results:
            raise BrokenRuleError(f"files and results differ: {model.published() ^ results}")

    def living(self) -> list[Process]:
        """The live processes."""
        return [process for process in self.model.processes if not process.dead]

    def process_of(self, actor: Actor) -> Process | None:
        """The actor's worker process; `None` for people and the supervisor."""
        return next((one for one in self.model.processes if actor in (one.worker, one.heartbeat)), None)
