"""A worker process: claims jobs and performs them, one at a time, until it is asked to stop.

While the database is away it waits, with growing pauses, and then goes on. `run_one` and `drain` perform jobs without
a thread, for a shell or a test.
"""

from __future__ import annotations

import contextlib
import os
import random
import select
import threading
import time

from django.db import Error, InterfaceError, OperationalError, connection

from foundation import db_session
from foundation.log_format import logger
from jobs.errors import LeaseLostError
from jobs.models import Job
from jobs.queue import queue, registry
from jobs.queue.claim_request import of_this_host
from jobs.worker.attempt import perform
from jobs.worker.attempt_reporter import AttemptReporter
from jobs.worker.completion import answer_was_lost, claim_answer_s
from jobs.worker.heartbeat_thread import HeartbeatThread
from jobs.worker.liveness import Liveness
from jobs.worker.recycling import Bounds
from jobs.worker.shutdown import Stop, watch
from jobs.worker_registration import WorkerRegistration

log = logger("jobs")

POLL_S = 1.0
POLL_BESIDE_NOTICES_S = 20.0  # finds jobs that no notice announces, such as after disk space became free
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0


class Worker:
    """One worker process.

    Args:
        wake: reading end of a pipe on which new work is announced; `None`: it only polls.
        parent_pipe: reading end of a pipe that closes when the supervisor dies; `None` without a supervisor.
        liveness: holds whether notices arrive; `None`: none do.
        bounds: how much this process may do before it is replaced; `None`: no process would replace it.

    Attributes:
        recycled: whether it left because a bound was reached.
        drained: whether it left because a person drained it (`jobs.workers.drain`).
    """

    def __init__(
        self,
        *,
        wake: int | None = None,
        parent_pipe: int | None = None,
        liveness: Liveness | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        self.recycled = False
        self.drained = False
        self._wake = wake
        self._parent_pipe = parent_pipe
        self._liveness = liveness
        self._bounds = bounds
        self._stop = Stop()
        self._registration = WorkerRegistration()
        self._heartbeat = HeartbeatThread(self._registration, self._stop.event)
        self._claim_request = of_this_host(self._registration.worker_id)
        self._job: Job | None = None

    def serve(self) -> None:
        """Work until asked to stop."""
        self._run(most=None, until_idle=False)

    def drain(self, most: int | None = None) -> None:
        """Work until nothing can be claimed now, or `most` jobs are done."""
        self._run(most=most, until_idle=True)

    def _run(self, *, most: int | None, until_idle: bool) -> None:
        db_session.prepare()
        watch(self._stop, self._stop.on_signals(), parent_pipe=self._parent_pipe, leave=self._exit_now)
        self._heartbeat.start()
        pause_s = FIRST_PAUSE_S
        while not self._is_over(most, self._registration.jobs_done):
            try:
                worked = self._work()
                if self._bound_is_reached(self._registration.jobs_done) or (until_idle and not worked):
                    break
                if not worked:
                    self._idle()
                pause_s = FIRST_PAUSE_S
            except Error as error:
                if not answer_was_lost(error):
                    raise
                self._lose_connection(error, pause_s)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        self._heartbeat.stop()
        self._sign_off()

    def _lose_connection(self, error: Error, pause_s: float) -> None:
        """Wait before the next connection; a cut connection is logged as information, an outage as a warning."""
        if pause_s == FIRST_PAUSE_S:
            log.info("the database connection was lost; connecting anew", error=db_session.one_line(error))
        elif pause_s == 2 * FIRST_PAUSE_S:
            log.warning("the database does not answer; trying on", error=db_session.one_line(error))
        connection.close()
        self._sleep(pause_s * random.uniform(0.5, 1.5))  # noqa: S311 # spreads load, guards nothing

    def _is_over(self, most: int | None, done: int) -> bool:
        if self._registration.drain_requested and not self.drained:
            self.drained = True
            log.info("this worker process was asked to finish, and leaves")
        return self.drained or self._stop.event.is_set() or (most is not None and done >= most)

    def _bound_is_reached(self, done: int) -> bool:
        reason = self._bounds.reached(done) if self._bounds is not None and not self.recycled else ""
        if reason:
            self.recycled = True
            log.info("this worker process makes way for a fresh one", reason=reason)
        return self.recycled

    def _work(self) -> bool:
        """Claim a job and perform it; returns whether there was one."""
        with db_session.answers_within(claim_answer_s()):
            job = queue.claim(self._claim_request)
        if job is None:
            return False
        reporter = AttemptReporter(job, registry.get(job.job_type).phases, stopping=self._stop.event, direct=False)
        self._job = job
        self._registration.current_job = job.job_id
        self._heartbeat.watch(reporter)
        try:
            perform(job, reporter, rest=self._heartbeat.rest)
        finally:
            self._heartbeat.rest()
            self._job = self._registration.current_job = None
            self._registration.jobs_done += 1
        return True

    def _idle(self) -> None:
        """Wait until there may be work; keeps this worker's row up to date meanwhile."""
        notified = self._liveness is not None and self._liveness.notices_arrive
        poll_s = (POLL_BESIDE_NOTICES_S if notified else POLL_S) * random.uniform(0.7, 1.3)  # noqa: S311 # spreads load
        claim_at = time.monotonic() + poll_s
        while not self._registration.drain_requested:
            with db_session.answers_within(claim_answer_s()):
                update_due_s = self._heartbeat.update_registration()
            left_s = claim_at - time.monotonic()
            wait_s = max(0.0, min(left_s, update_due_s))
            if self._registration.drain_requested or self._sleep(wait_s) or left_s <= update_due_s:
                return

    def _sleep(self, seconds: float) -> bool:
        """Wait for work, for the request to stop, or for `seconds`; returns whether something came."""
        watched = [self._stop.fileno] if self._wake is None else [self._stop.fileno, self._wake]
        readable, _, _ = select.select(watched, [], [], seconds)
        if self._wake in readable and self._wake is not None:
            with contextlib.suppress(BlockingIOError):  # another worker has taken the byte
                os.read(self._wake, 1)  # one notice wakes one worker
        return bool(readable)

    def _exit_now(self) -> None:
        """End the process although its handler has not returned: release its job, write nothing more."""
        job = self._job
        if job is not None:
            db_session.limit_statements(1)
            try:
                queue.release(job, "the worker was shut down while its handler was busy")
            except (LeaseLostError, OperationalError, InterfaceError) as error:
                log.warning("the job could not be given back", job_id=str(job.job_id), error=db_session.one_line(error))
        self._sign_off()
        os._exit(0)

    def _sign_off(self) -> None:
        try:
            self._registration.leave()
        except (OperationalError, InterfaceError) as error:
            log.warning("could not sign off", error=db_session.one_line(error))
        connection.close()


def run_one(worker_id: str = "test") -> Job | None:
    """Claim one job and perform it in this thread.

    Returns:
        The job as it is afterwards; `None` when nothing can be claimed now.
    """
    job = queue.claim(of_this_host(worker_id))
    if job is None:
        return None
    perform(job, AttemptReporter(job, registry.get(job.job_type).phases, stopping=threading.Event(), direct=True))
    return Job.objects.get(job_id=job.job_id)


def drain(worker_id: str = "test") -> int:
    """Perform jobs in this thread until nothing can be claimed now; returns how many there were."""
    done = 0
    while run_one(worker_id) is not None:
        done += 1
    return done
