"""What `make run` is once all is prepared: starts the processes, waits until they are ready, and keeps them.

It is a process without Django that has taken the place of `manage.py run_everything`, under the same pid, and serves
the sample sources itself. While nothing happens it sleeps: it has a few MiB and no wake-ups.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from bundles.samples.services import SampleServices
from orchestrator_site.launch.children import Children
from orchestrator_site.launch.readiness import WEB, WORKERS, Readiness
from orchestrator_site.launch.signals import SignalWait

MAIN_JOB = "main job"
LOOK_EVERY_S = 0.5
SAY_EVERY_S = 5.0


class FailedError(Exception):
    """Something could not start or ended by itself; the message says what."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to run. It goes from one process to the next as JSON.

    Attributes:
        log_dir: where the children's logs go.
        environ: variables for the children, on top of ours.
        sources: sample service → the port it is to listen on; only those that nobody else serves.
        folders: the incidents that the sample services have.
        address: host and port of the web server, from here.
        host: a host name under which it answers.
        main_job: the incident to walk the main job through once all is ready; empty for none.
        closing: lines to say at the end of the start.
        embedded_database: the directory of the embedded PostgreSQL that is stopped at the end; empty for none.
    """

    log_dir: str
    environ: dict[str, str]
    sources: dict[str, int]
    folders: list[str]
    address: tuple[str, int]
    host: str
    main_job: str
    closing: list[str]
    embedded_database: str

    def as_argument(self) -> str:
        """The plan as one argument of this module's command line."""
        return json.dumps(asdict(self))


class Launcher:
    """Starts and keeps what a plan says."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._signals = SignalWait()
        self._children = Children(Path(plan.log_dir))
        self._children.environ(plan.environ)
        self._samples: SampleServices | None = None

    def run(self) -> None:
        """Start, report, wait for a stop signal, stop all.

        Raises:
            FailedError: something could not start or ended by itself.
        """
        try:
            self._start()
            self._until_ready()
            self._walk_main_job()
            if not self._signals.stop_asked:
                for line in self._plan.closing:
                    say(line)
            self._signals.wait_until(self._children.fault)
            self._raise_fault()
        finally:
            say("stopping")
            self._children.stop()
            if self._samples is not None:
                self._samples.stop()
            if self._plan.embedded_database:
                # Needed now and not before: while all runs, what it imports would take memory for nothing.
                from orchestrator_site.operations import embedded_postgres

                embedded_postgres.stop(Path(self._plan.embedded_database))
            say("stopped")

    def _start(self) -> None:
        if self._plan.sources:
            folders = [Path(folder) for folder in self._plan.folders]
            samples = SampleServices(folders, self._plan.sources, only=self._plan.sources)
            try:
                self._samples = samples.start()
            except OSError as error:
                raise FailedError(f"the sample sources cannot listen: {error.strerror}") from None
        self._children.start(WORKERS, ["run_orch_worker"])
        self._children.start(WEB, ["serve"])

    def _until_ready(self) -> None:
        readiness = Readiness(self._plan.address, self._plan.host)
        began = said_at = time.monotonic()
        try:
            while not self._signals.stop_asked and (missing := readiness.missing):
                if fault := self._children.fault({one.child for one in missing}):
                    raise FailedError(fault)
                if time.monotonic() - said_at >= SAY_EVERY_S:
                    said_at = time.monotonic()
                    for one in missing:
                        last = self._children.last_line(one.child) or "nothing written yet"
                        say(f"still starting, {said_at - began:.0f} s: {one.words} ({one.child}.log: {last})")
                self._signals.wait(LOOK_EVERY_S)
        finally:
            readiness.stop()
        if not self._signals.stop_asked:
            say("ready: web, workers, storage and keys answer")

    def _walk_main_job(self) -> None:
        if not self._plan.main_job or self._signals.stop_asked:
            return
        walk = self._children.start_on_screen(MAIN_JOB, ["walk_main_job", self._plan.main_job])
        self._signals.wait_until(lambda: walk.poll() is not None or self._children.fault())
        self._raise_fault()
        if walk.poll():
            raise FailedError("the main job did not hold")

    def _raise_fault(self) -> None:
        if not self._signals.stop_asked and (fault := self._children.fault()):
            raise FailedError(fault)


def say(line: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(arguments: list[str]) -> int:
    """Keep what the plan in the one argument says."""
    plan = json.loads(arguments[0])
    try:
        Launcher(Plan(**{**plan, "address": tuple(plan["address"])})).run()
    except FailedError as error:
        sys.stderr.write(f"CommandError: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
