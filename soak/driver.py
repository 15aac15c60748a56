"""Who acts next, and what befalls whom: the random part of a seed, and the drain at its end."""

from __future__ import annotations

from collections.abc import Callable

from jobs.models import ENDED
from soak import deeds
from soak.actors import IDLE, Actor
from soak.deeds import Process
from soak.rules import BrokenRuleError
from soak.schema import RESULTS, SESSIONS
from soak.world import MOST_JOBS, TIMES_S, World, idle

STEPS = (100, 250)
LONGEST_DRAIN = 500
STAYS = 0.6
RESTARTS = 0.02  # of the seeds have one
LOST_ANSWERS = 0.05  # of the answers of the database
LOST_COMMITS = 0.05  # of its answers to COMMIT
FREEZES = 0.03  # of the steps, or the end of one


class Driver:
    """Runs one seed in a world.

    Args:
        world: fresh.
        restart: ends every session at once, as a server that is stopped at once and started again.
    """

    def __init__(self, world: World, restart: Callable[[], None]) -> None:
        self.world, self.rng, self._restart = world, world.rng, restart
        self._last: Actor | None = None

    def run(self) -> None:
        """Do it all.

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
        """One thing happens."""
        chance = self.rng.random()
        if chance < 0.07:
            self.world.pass_time(self.rng.choice(TIMES_S))
        elif chance < 0.09 and self.world.line.ghosts:
            self.world.resolve(self.rng.choice(self.world.line.ghosts), commit=self.rng.random() < 0.6)
        elif chance < 0.09 + FREEZES:
            self.thaw_or_freeze()
        elif chance < 0.095 + FREEZES:
            self.rng.choice(self.living()).stopping.set()
        else:
            self.act()

    def act(self) -> None:
        """Some actor that can, starts a deed or goes on with one."""
        ready = [
            actor
            for actor in self.world.actors
            if actor.standing and not actor.dead and not actor.frozen and (actor.point != IDLE or self.may_begin(actor))
        ]
        if not ready:
            self.world.pass_time(self.rng.choice(TIMES_S))
            return
        # Often the same as last time: else deeds of many points would never come to their end.
        actor = self._last if self._last in ready and self.rng.random() < STAYS else self.rng.choice(ready)
        self._last = actor
        if actor.point == IDLE:
            self.start(actor)
        else:
            self.go_on(actor)

    def may_begin(self, actor: Actor) -> bool:
        """A heart beats only while its process works, a process that was asked to stop claims nothing."""
        process = self.process_of(actor)
        if process is None:
            return True
        return process.pulse is not None if actor is process.heart else True

    def start(self, actor: Actor) -> None:
        """Begin a deed of this actor's kind."""
        process = self.process_of(actor)
        if process is not None and actor is process.heart:
            self.world.begin(actor, "beat", process.beat)
        elif process is not None and process.stopping.is_set():
            self.replace(process)
        elif process is not None:
            self.world.begin(actor, "work", process.work)
        elif actor is self.world.supervisor:
            kind = self.rng.choice(("recover", "recover", "sweep"))
            self.world.begin(actor, kind, lambda: deeds.upkeep(deeds.UPKEEP[kind]))
        else:
            self.start_of_person(actor)

    def start_of_person(self, actor: Actor) -> None:
        """A person asks for a job, or asks something of one."""
        jobs = list(self.world.ledger.states)
        kind = self.rng.choice(("ask", "ask", "cancel", "retry", "free"))
        if not jobs or (kind == "ask" and len(jobs) < MOST_JOBS):
            self.world.begin(actor, "enqueue", self.world.ask(actor))
            return
        job = self.rng.choice(jobs)
        if kind in {"ask", "cancel"}:
            kind = "cancel" if self.rng.random() < 0.4 else "retry"
        about = ([job] if self.rng.random() < 0.5 else None) if kind == "free" else job
        self.world.begin(actor, kind, lambda: deeds.person(deeds.PERSONS[kind], about))

    def go_on(self, actor: Actor) -> None:
        """Let it go on, unless something befalls it here."""
        process, chance = self.process_of(actor), self.rng.random()
        at_database = actor.point.startswith(("before", "after")) and "publish" not in actor.point
        if process is not None and chance < 0.02:
            self.world.kill(process, self.rng.choice(("die", "die", "vanish")))
            self.world.hire()
        elif at_database and 0.02 < chance < 0.04 and actor.session.pid and actor.session.connection is not None:
            self.world.cut(actor)
            self.world.go(actor)
        elif actor.point.startswith("after") and at_database and chance < 0.04 + self.loss(actor):
            self.world.go(actor, "lose")
        elif actor.point == "before COMMIT" and chance < 0.1:
            self.world.go(actor, "delay")
        else:
            self.world.go(actor)

    def loss(self, actor: Actor) -> float:
        """How often the answer that this actor waits for is lost."""
        return LOST_COMMITS if actor.point == "after COMMIT" else LOST_ANSWERS

    def thaw_or_freeze(self) -> None:
        """SIGSTOP for a process at work, or SIGCONT for a frozen one; often one that is inside a transaction."""
        inside = [one for one in self.living() if one.worker.standing and one.worker.session.in_transaction()]
        process = self.rng.choice(inside if inside and self.rng.random() < 0.5 else self.living())
        frozen = not process.worker.frozen and process.worker.point != IDLE
        process.worker.frozen = process.heart.frozen = frozen
        if frozen:
            self.world.story.count("freeze")
        self.world.story.tell(f"{process.name} {'freezes at ' + process.worker.point if frozen else 'is awake'}")

    def restart(self) -> None:
        """The server stops at once and starts again; delayed COMMITs are lost with it."""
        self.world.story.tell("the database restarts")
        self.world.story.count("restart")
        self._restart()
        for ghost in list(self.world.line.ghosts):
            self.world.resolve(ghost, commit=False)
        self.world.settle()

    def replace(self, process: Process) -> None:
        """A worker that was asked to stop leaves once it is idle, and another takes its place."""
        self.world.story.tell(f"{process.name} leaves")
        self.world.kill(process)
        self.world.hire()

    def drain(self) -> None:
        """The troubles end: everything accepted must come to its end, and what was frozen wakes up too late."""
        world = self.world
        world.story.tell("the troubles end")
        while world.line.ghosts:
            world.resolve(world.line.ghosts[0], commit=self.rng.random() < 0.5)
        frozen = [process for process in self.living() if process.worker.frozen]
        self.finish(*world.actors)
        worker = world.hire()
        for _ in range(LONGEST_DRAIN):
            if all(state in ENDED for state in world.ledger.states.values()):
                break
            world.pass_time(700.0)
            for actor, kind, deed in (
                (world.supervisor, "recover", lambda: deeds.upkeep(deeds.UPKEEP["recover"])),
                (worker.worker, "work", worker.work),
            ):
                world.begin(actor, kind, deed)
                self.finish(actor)
        else:
            raise BrokenRuleError("not ended while a worker is frozen: whoever never wakes holds its job for ever")
        for process in frozen:
            process.worker.frozen = process.heart.frozen = False
            self.finish(process.heart, process.worker)
        self.judge_the_end()

    def finish(self, *wanted: Actor) -> None:
        """Let everybody who is not frozen go on undisturbed until these are idle.

        Raises:
            BrokenRuleError: they never are, as somebody who is frozen or gone keeps a lock.
        """
        for _ in range(LONGEST_DRAIN):
            if all(actor.dead or actor.frozen or idle(actor) for actor in wanted):
                return
            able = [one for one in self.world.actors if not (one.dead or one.frozen or one.point == IDLE)]
            for actor in able:
                if actor.standing and not actor.dead and actor.point != IDLE:
                    self.world.go(actor)
            if not any(actor.standing for actor in able):  # all wait for what another holds
                self.world.pass_time(11.0)
        sessions = "; ".join(" ".join(map(str, row.values())) for row in self.world.control.rows(SESSIONS))
        raise BrokenRuleError(f"some never end: {[one.told for one in wanted if not idle(one)]}; sessions: {sessions}")

    def judge_the_end(self) -> None:
        """Every job has ended, and files and results are each other's.

        Raises:
            BrokenRuleError: it is not so.
        """
        world = self.world
        left = {job: state for job, state in world.ledger.states.items() if state not in ENDED}
        if left:
            raise BrokenRuleError(f"never ended: {left}")
        for _ in range(2):
            world.begin(world.supervisor, "sweep", lambda: deeds.upkeep(deeds.UPKEEP["sweep"]))
            self.finish(world.supervisor)
        results = {str(row["name"]) for row in world.control.rows(RESULTS)}
        if world.published() != results:
            raise BrokenRuleError(f"files and results differ: {world.published() ^ results}")

    def living(self) -> list[Process]:
        """The processes that were not killed."""
        return [process for process in self.world.processes if not process.dead]

    def process_of(self, actor: Actor) -> Process | None:
        """The process an actor belongs to; `None` for people and the supervisor."""
        return next((one for one in self.world.processes if actor in (one.worker, one.heart)), None)
