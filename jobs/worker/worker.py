"""A worker process: claims jobs and performs them, one at a time, until it is asked to stop.

It outlives its database: while that is away it waits, with growing pauses, and goes on. `run_one` and `drain` do the
same without a thread, for a shell or a test.
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
from jobs.errors import LeaseLostError
from jobs.models import Job
from jobs.queue import queue, registry
from jobs.queue.claim_request import ClaimRequest, of_this_host
from jobs.worker.attempt import perform
from jobs.worker.attempt_reporter import AttemptReporter
from jobs.worker.completion import answer_was_lost, claim_answer_s
from jobs.worker.heartbeat_thread import HeartbeatThread
from jobs.worker.job_log import log
from jobs.worker.liveness import Liveness
from jobs.worker.recycling import Bounds
from jobs.worker.shutdown import Stop, watch
from jobs.worker_registration import WorkerRegistration

POLL_S = 1.0
POLL_BESIDE_NOTICES_S = 20.0  # catches what no notice told, such as room on the disk
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0


class Worker:
    """One worker process.

    Args:
        wake: reading end of a pipe on which new work is announced; `None` means polling alone.
        life: reading end of a pipe that only the supervisor can write to: closed, it means that it has died.
        liveness: tells whether notices arrive; without it none do.
        bounds: how much this process may do before it makes way; `None` means that nobody would take its place.

    Attributes:
        makes_way: whether it left because a bound was reached.
        drained: whether it left because somebody had asked for that (`jobs.workers.drain`).
    """

    def __init__(
        self,
        *,
        wake: int | None = None,
        life: int | None = None,
        liveness: Liveness | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        self.makes_way = False
        self.drained = False
        self._wake = wake
        self._life = life
        self._liveness = liveness
        self._bounds = bounds
        self._stop = Stop()
        self._registration = WorkerRegistration()
        self._heartbeat = HeartbeatThread(self._registration, self._stop.event)
        self._claimant = of_this_host(self._registration.worker_id)
        self._job: Job | None = None

    def serve(self) -> None:
        """Work until asked to stop."""
        self._run(most=None, until_idle=False)

    def drain(self, most: int | None = None) -> None:
        """Work until nothing can be claimed now, or `most` jobs are done."""
        self._run(most=most, until_idle=True)

    def _run(self, *, most: int | None, until_idle: bool) -> None:
        db_session.prepare()
        watch(self._stop, self._stop.on_signals(), life=self._life, leave=self._leave_now)
        self._heartbeat.start()
        pause_s = FIRST_PAUSE_S
        while not self._is_over(most, self._registration.jobs_done):
            try:
                worked = self._work(most)
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
        self._depart()

    def _lose_connection(self, error: Error, pause_s: float) -> None:
        """Wait a moment before the next one; that a connection was cut is worth a line, an outage a warning."""
        if pause_s == FIRST_PAUSE_S:
            log.info("the database connection was lost; connecting anew", error=db_session.one_line(error))
        elif pause_s == 2 * FIRST_PAUSE_S:
            log.warning("the database does not answer; trying on", error=db_session.one_line(error))
        connection.close()
        self._sleep(pause_s * random.uniform(0.5, 1.5))  # noqa: S311 # spreads load, guards nothing

    def _is_over(self, most: int | None, done: int) -> bool:
        if self._registration.drains and not self.drained:
            self.drained = True
            log.info("this worker process was asked to finish, and leaves")
        return self.drained or self._stop.event.is_set() or (most is not None and done >= most)

    def _bound_is_reached(self, done: int) -> bool:
        reason = self._bounds.reached(done) if self._bounds is not None and not self.makes_way else ""
        if reason:
            self.makes_way = True
            log.info("this worker process makes way for a fresh one", reason=reason)
        return self.makes_way

    def _work(self, most: int | None) -> bool:
        """Claim a job and perform it, and those that come with the completion of one; whether there was any."""
        with db_session.answers_within(claim_answer_s()):
            job = queue.claim(self._claimant)
        if job is None:
            return False
        while job is not None:
            job = self._perform(job, most)
        return True

    def _perform(self, job: Job, most: int | None) -> Job | None:
        """Perform a claimed job; the next one, if that came along."""
        reporter = AttemptReporter(job, registry.get(job.job_type).phases, stopping=self._stop.event, direct=False)
        self._job = job
        self._registration.current_job = job.job_id
        self._heartbeat.watch(reporter)

        def request() -> ClaimRequest | None:
            done = self._registration.jobs_done + 1
            return None if self._is_over(most, done) or self._bound_is_reached(done) else self._claimant

        try:
            return perform(job, reporter, rest=self._heartbeat.rest, request=request)
        finally:
            self._heartbeat.rest()
            self._job = self._registration.current_job = None
            self._registration.jobs_done += 1

    def _idle(self) -> None:
        """Wait until there may be work, telling now and then that this worker lives."""
        told = self._liveness is not None and self._liveness.notices_arrive
        poll_s = (POLL_BESIDE_NOTICES_S if told else POLL_S) * random.uniform(0.7, 1.3)  # noqa: S311 # as above
        look_at = time.monotonic() + poll_s
        while not self._registration.drains:
            with db_session.answers_within(claim_answer_s()):
                present_s = self._heartbeat.present()
            left_s = look_at - time.monotonic()
            if self._registration.drains or self._sleep(max(0.0, min(left_s, present_s))) or left_s <= present_s:
                return

    def _sleep(self, seconds: float) -> bool:
        """Wait for work, for the wish to stop, or for `seconds`; whether something came."""
        watched = [self._stop.fileno] if self._wake is None else [self._stop.fileno, self._wake]
        readable, _, _ = select.select(watched, [], [], seconds)
        if self._wake in readable and self._wake is not None:
            with contextlib.suppress(BlockingIOError):  # another worker was quicker
                os.read(self._wake, 1)  # one notice wakes one worker
        return bool(readable)

    def _leave_now(self) -> None:
        """End the process although the handler has not come back: give its job back, write nothing more."""
        job = self._job
        if job is not None:
            db_session.limit_statements(1)
            try:
                queue.release(job, "the worker was shut down while its handler was busy")
            except (LeaseLostError, OperationalError, InterfaceError) as error:
                log.warning("the job could not be given back", job_id=str(job.job_id), error=db_session.one_line(error))
        self._depart()
        os._exit(0)

    def _depart(self) -> None:
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
    """Perform jobs in this thread until nothing can be claimed now; how many there were."""
    done = 0
    while run_one(worker_id) is not None:
        done += 1
    return done
