"""The laboratory of the queue part: a PostgreSQL server of its own, with a fresh database for every measurement.

The server is the embedded one with the settings it comes with, the same for every side. On a tmpfs the disk does not
decide; name a folder on a disk (`--work`) to see what is left of the differences where COMMIT waits for one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2

from orchestrator_site.operations import embedded_postgres


@dataclass(frozen=True)
class Lab:
    """Where the server listens, and a directory for everything else."""

    host: str
    folder: Path

    def environment(self, database: str) -> dict[str, str]:
        """The variables that name a database to any side."""
        return {"DB_HOST": self.host, "DB_NAME": database, "DB_USER": embedded_postgres.USER}

    def connect(self, database: str) -> Any:
        """A connection that commits by itself; closed by the caller."""
        connection = psycopg2.connect(host=self.host, dbname=database, user=embedded_postgres.USER)
        connection.autocommit = True
        return connection

    def run(self, database: str, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements, each by itself; the rows of the last one."""
        rows: list[tuple[Any, ...]] = []
        with closing(self.connect(database)) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
                rows = cursor.fetchall() if cursor.description else []
        return rows

    def create(self, database: str, template: str = "template0") -> str:
        """A new database, in place of one with the same name; its name."""
        self.run(
            embedded_postgres.USER,
            f"DROP DATABASE IF EXISTS {database} WITH (FORCE)",
            f"CREATE DATABASE {database} TEMPLATE {template} ENCODING 'UTF8'",
        )
        return database

    def settle(self, database: str) -> None:
        """Bring statistics, visibility and disk to rest after many rows were made."""
        self.run(database, "VACUUM ANALYZE", "CHECKPOINT")


@contextmanager
def open_lab(work: Path) -> Iterator[Lab]:
    """A running laboratory below `work`; stopped and removed at the end."""
    with tempfile.TemporaryDirectory(prefix="orchestrator-queue-bench-", dir=work) as name:
        folder = Path(name)
        folder.chmod(0o755)  # under root, PostgreSQL runs as a user of its own
        host = embedded_postgres.ensure_running(folder / "postgres", embedded_postgres.USER)
        try:
            yield Lab(host, folder)
        finally:
            embedded_postgres.stop(folder / "postgres")
