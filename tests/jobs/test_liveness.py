"""A worker that hangs is replaced; one that only waits for a processor is not."""

from __future__ import annotations

import os
import signal
from functools import partial

import psutil
import pytest

from jobs import worker_restarts
from jobs.models import RestartReason, WorkerRestart
from jobs.worker.liveness import Liveness
from jobs.worker.stall import Stall, ThreadTimes, excused_s
from jobs.worker.supervisor import Supervisor
from jobs.worker.worker_slot import START_WITHIN_S, WorkerSlot
from tests.support.busy import busy_cores
from tests.support.jobs_app.running import ask, done, eventually, now, start, types_known_here, workers_of

__all__ = ["start", "types_known_here"]

LEASE_S = 3  # short, so that what must not happen would
CORES = os.cpu_count() or 1


def times(state: str, ran_s: float = 0, waited_s: float = 0, turns: int = 0) -> dict[int, ThreadTimes]:
    return {1: ThreadTimes(state, ran_s, waited_s, turns), 2: ThreadTimes("S", 0, 0, 0)}


@pytest.mark.parametrize(
    ("what", "before", "after", "excused"),
    [
        ("stopped", times("T"), times("T"), 0),
        ("all its threads wait for each other", times("S"), times("S"), 0),
        ("it tries to take a lock 400 times", times("R"), times("R", ran_s=0.01, waited_s=1.8, turns=400), 0),
        ("it computes, and lets no other thread run", times("R"), times("R", ran_s=2, turns=5), 0),
        ("it waits for a processor all the time", times("R"), times("R"), 1.8),
        ("the disk does not answer", times("D"), times("D"), 1.8),
        ("it gets little time", times("R"), times("R", ran_s=0.1, waited_s=1.9, turns=20), 1.8),
        ("it gets a third", times("R"), times("S", ran_s=0.6, waited_s=1.3, turns=20), 1.4),
        ("it has just begun", {}, times("R"), 0),
    ],
)
def test_time_spent_waiting_for_a_processor_does_not_count(what, before, after, excused):
    assert excused_s(before, after, 2) == pytest.approx(excused), what


def test_silence_counts_from_the_last_sign_and_not_while_the_supervisor_was_delayed():
    stall = Stall(os.getpid(), longest_gap_s=2)
    assert stall.seconds(1000) == 0
    stall.observe(10, 12, closely=False)
    assert stall.seconds(12) == 2
    stall.observe(10, 13, closely=False)
    assert stall.seconds(13) == 3
    stall.observe(10, 113, closely=False)  # this process was delayed too: it was to observe after two seconds
    assert stall.seconds(113) == 5
    stall.observe(112, 114, closely=False)
    assert stall.seconds(114) == 2


def test_own_threads_are_found_and_have_run():
    stall = Stall(os.getpid(), longest_gap_s=2)
    stall.observe(10, 12, closely=True)
    stall.observe(10, 13, closely=True)
    assert 2 < stall.seconds(13) <= 3


def is_alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("how", ["stopped", "deadlocked"])
def test_a_worker_that_is_frozen_is_replaced_counted_and_its_job_done(start, tmp_path, how):
    supervisor = start("--concurrency", "2", ORCH_LEASE_SECONDS=str(LEASE_S))
    job = ask("hang" if how == "deadlocked" else "ignore", tmp_path)
    first = tmp_path / "started.1"
    frozen = int(eventually(lambda: first.exists() and first.read_text()))
    if how == "stopped":
        os.kill(frozen, signal.SIGSTOP)
        (tmp_path / "end").touch()
    eventually(lambda: not is_alive(frozen))
    eventually(lambda: len(workers_of(supervisor)) == 2)
    eventually(partial(done, job))
    assert now(job).attempts == 2
    counted = eventually(WorkerRestart.objects.first)
    assert (counted.reason, counted.count, counted.host) == (RestartReason.SILENT, 1, os.uname().nodename)
    assert counted.last_detail == "signal SIGKILL"


@pytest.mark.django_db(transaction=True)
def test_no_worker_is_killed_for_getting_little_processor_time(start, tmp_path):
    supervisor = start("--concurrency", "2", ORCH_LEASE_SECONDS=str(LEASE_S))
    eventually(lambda: len(workers_of(supervisor)) == 2)
    eventually(partial(done, ask("note", tmp_path)))
    workers = workers_of(supervisor)
    for process in (psutil.Process(supervisor.pid), *psutil.Process(supervisor.pid).children()):
        process.nice(19)
    with busy_cores(loops_a_core=2) as loops:
        enough_s = 3 * LEASE_S * CORES  # each has run for several leases
        eventually(lambda: sum(loop.cpu_times().user for loop in loops) > enough_s, patience_s=600)
        assert [one.pid for one in workers_of(supervisor)] == [one.pid for one in workers]
    job = ask("note", tmp_path)
    eventually(partial(done, job))
    assert (now(job).result or {})["pid"] in {one.pid for one in workers}
    assert not WorkerRestart.objects.exists()
    assert "killed" not in (tmp_path / "worker.log").read_text()


@pytest.mark.django_db(transaction=True)
def test_slots_are_filled_one_after_the_other_and_a_crash_is_counted_with_its_exit(start, tmp_path):
    supervisor = start("--concurrency", "3")
    eventually(lambda: len(workers_of(supervisor)) == 3)
    for worker in workers_of(supervisor):
        worker.kill()
    eventually(lambda: sum(one.count for one in worker_restarts.lately()) == 3)
    (counted,) = worker_restarts.lately()
    assert (counted.reason, counted.last_detail) == (RestartReason.CRASHED, "signal SIGKILL")
    assert worker_restarts.in_words({counted.reason: counted.count}) == "3 ended unexpectedly"
    eventually(lambda: len(workers_of(supervisor)) == 3)


class Child:
    """A process that runs until it is killed and gives no sign of life."""

    pid = os.getpid()
    code: int | None = None

    def poll(self) -> int | None:
        return self.code

    def kill(self) -> None:
        self.code = -signal.SIGKILL


def test_one_process_is_started_and_one_is_killed_at_a_time(monkeypatch, settings):
    settings.ORCH_LEASE_SECONDS = 3000
    boss = Supervisor(2)
    children: list[Child] = []

    def begin(_: WorkerSlot) -> Child:
        children.append(Child())
        return children[-1]

    monkeypatch.setattr(boss, "_start", begin)
    for started in range(3):
        boss._check()
        boss._check()
        assert [slot.process is not None for slot in boss._all] == [number <= started for number in range(3)]
        boss._liveness.give_sign(boss._all[started].number)
    settings.ORCH_LEASE_SECONDS = -1000  # now all of them hang
    for _ in range(3):
        boss._check()
    assert [child.code for child in children] == [-signal.SIGKILL, None, None]
    settings.ORCH_LEASE_SECONDS = 3000
    boss._all[0].restart_at = 0.0
    boss._check()
    assert boss._all[0].is_starting
    settings.ORCH_LEASE_SECONDS = -1000
    boss._check()
    assert children[1].code is None, "the first one has not started again"
    boss._liveness.give_sign(boss._all[0].number)
    monkeypatch.setattr(boss._all[0]._stall, "seconds", lambda _: -10_000)
    boss._check()
    assert children[1].code == -signal.SIGKILL


def test_a_process_may_take_longer_to_start_than_it_may_be_silent_later(monkeypatch):
    at = [1000.0]
    monkeypatch.setattr("jobs.worker.worker_slot.time.monotonic", lambda: at[0])
    monkeypatch.setattr("jobs.worker.liveness.time.monotonic", lambda: at[0])
    slot = WorkerSlot(0, Liveness(1), drain=False)
    slot.start(Child, at[0])
    slot.check(at[0])
    at[0] += START_WITHIN_S
    assert not slot.hangs
    at[0] += 1
    held = [slot.hangs]
    slot.liveness.give_sign(0)
    slot.check(at[0])
    held.append(slot.hangs)
    at[0] += START_WITHIN_S
    held.append(slot.hangs)
    assert held == [True, False, True]
    slot.kill()
    assert slot.check(at[0]) == (RestartReason.SILENT, "signal SIGKILL")
