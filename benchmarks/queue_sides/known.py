"""Which sides there are, how each is run, and which of the peers are installed."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PEERS_PYTHON = ROOT / "var" / "bench-venv" / "bin" / "python"


@dataclass(frozen=True)
class Side:
    """One queue under measurement.

    Attributes:
        name: shown in the table.
        module: the program, below `benchmarks.queue_sides`.
        unfinished: SQL that counts the jobs that have not ended well.
        distribution: what must be installed beside the product, as the registry calls it; empty for none.
        own_processes: whether `work N` starts N processes itself; otherwise `work` is started N times.
        settings: what it was set to, in words.
        tables_of: the module whose `install` and `fill` it uses; its own when empty.
    """

    name: str
    module: str
    unfinished: str
    distribution: str = ""
    own_processes: bool = False
    settings: str = ""
    tables_of: str = ""

    def command(self, what: str, number: int) -> list[str]:
        """The command line for one thing."""
        module = self.tables_of or self.module if what in {"install", "fill"} else self.module
        python = str(PEERS_PYTHON) if self.distribution else sys.executable
        return [python, "-m", f"benchmarks.queue_sides.{module}", what, str(number)]

    @property
    def tables(self) -> str:
        """A name for its tables; sides on the same tables share it."""
        return self.tables_of or self.module


OURS = Side(
    "ours",
    "ours",
    "SELECT count(*) FROM orchestrator_jobs WHERE status <> 'completed'",
    own_processes=True,
    settings="as the product runs: supervisor, heartbeat thread, attempt history",
)
BY_HAND = Side(
    "hand-written psycopg2 loop",
    "by_hand",
    OURS.unfinished,
    tables_of="ours",
    settings="on our table, row and finish in one transaction, no history",
)
PEERS = (
    Side(
        "procrastinate",
        "procrastinate_side",
        "SELECT count(*) FROM procrastinate_jobs WHERE status <> 'succeeded'",
        "procrastinate",
        settings="async task, concurrency=1, psycopg 3 pool, LISTEN; row by the pool",
    ),
    Side(
        "pgqueuer",
        "pgqueuer_side",
        "SELECT count(*) FROM pgqueuer",
        "pgqueuer",
        settings="asyncpg on uvloop, batch_size=1, pgq autovac, durable; row by a pool",
    ),
    Side(
        "django-tasks-db",
        "django_tasks_side",
        "SELECT count(*) FROM django_tasks_database_dbtaskresult WHERE status <> 'SUCCESSFUL'",
        "django-tasks-db",
        settings="db_worker --interval 0, psycopg 3, persistent connections; row by its connection",
    ),
)


def versions() -> dict[str, str]:
    """The installed peers' versions by distribution; a peer that is not there is missing."""
    if not PEERS_PYTHON.exists():
        return {}
    script = (
        "import importlib.metadata as m, json, sys\n"
        "print(json.dumps({d.name: d.version for d in m.distributions() if d.name in sys.argv[1:]}))"
    )
    names = [peer.distribution for peer in PEERS]
    done = subprocess.run([PEERS_PYTHON, "-c", script, *names], check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout))
