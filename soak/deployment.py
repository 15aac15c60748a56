"""A deployment for one soak run: PostgreSQL, stores and keys below one directory, and the sources' addresses.

It changes the settings of its process, so each part of `make soak` that needs one runs in a process of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orchestrator_site.operations import embedded_postgres

DATABASE = "soak"
EVENTS = [{"timestamp": f"2026-01-01T00:00:0{n}Z", "source": "b", "target": "a", "n": n} for n in (2, 1)]
ALERTS = [{"id": f"alert-{n}", "timestamp": f"2026-01-01T00:00:0{n}Z", "severity": "high"} for n in range(3)]
OWN_VARIABLES = ("DB_", "ORCH_", "OUTPUT_DIR", "FORENSIC_", "KILLCHAIN_", "CORE_API", "MTLS_")


@contextmanager
def scratch() -> Iterator[Path]:
    """A directory, removed at the end; readable by all, as under root PostgreSQL runs as another user."""
    root = Path(tempfile.mkdtemp(prefix="orchestrator-soak-"))
    root.chmod(0o755)
    try:
        yield root
    finally:
        embedded_postgres.stop(root / "postgres")
        shutil.rmtree(root, ignore_errors=True)


def configure(root: Path, stores: Path, **more: str) -> None:
    """Set up this process for a new deployment: environment, Django, tables, directories, signing key.

    Args:
        root: for the database, keys and logs.
        stores: for bundles and artifacts.
        more: further environment variables.
    """
    for name in [name for name in os.environ if name.startswith(OWN_VARIABLES)]:
        del os.environ[name]
    os.environ.update(
        DJANGO_SETTINGS_MODULE="orchestrator_site.settings",
        ORCH_PROFILE="development",
        ORCH_VAR_DIR=str(root),
        DB_HOST=embedded_postgres.ensure_running(root / "postgres", DATABASE),
        DB_NAME=DATABASE,
        DB_USER=embedded_postgres.USER,
        OUTPUT_DIR=str(stores / "bundles"),
        FORENSIC_STORAGE_PATH=str(stores / "forensic"),
        **more,
    )
    import django  # with its settings in place

    django.setup()
    from orchestrator_site.launch import preparation  # models exist from here on

    (root / "strace").mkdir(exist_ok=True)
    preparation.directories()
    preparation.tables()
    preparation.signing_key()


def addresses(ports: dict[str, int]) -> dict[str, str]:
    """The environment variables for sources on these local ports."""
    return {
        f"{variable}_API_URL": f"http://127.0.0.1:{ports[service]}"
        for variable, service in (("KILLCHAIN", "killchain"), ("DB", "db"), ("FORENSIC", "forensic"))
    }


def write_incident(
    folder: Path,
    incident_id: str,
    files: Sequence[tuple[str, bytes]],
    *,
    events: Sequence[Mapping[str, Any]] = EVENTS,
    alerts: Sequence[Mapping[str, Any]] = ALERTS,
) -> None:
    """Write a small incident below `folder`, in the layout of the sample services.

    Args:
        folder: holds one folder an incident.
        incident_id: of the new incident.
        files: name and content of each artifact.
        events: of its timeline.
        alerts: its alerts.
    """
    records = []
    for number, (name, content) in enumerate(files):
        artifact_id = f"{incident_id}.{number}"
        file = folder / incident_id / "artifacts" / artifact_id / name
        file.parent.mkdir(parents=True)
        file.write_bytes(content)
        records.append(
            {
                "artifact_id": artifact_id,
                "incident_id": incident_id,
                "name": name,
                "filepath": f"artifacts/{artifact_id}/{name}",
                "size": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
        )
    timeline = {"incident_id": incident_id, "events": events, "entities": {}, "event_count": len(events)}
    for stem, value in (("timeline", timeline), ("alerts", alerts), ("artifacts", records)):
        (folder / incident_id / f"{stem}.json").write_text(json.dumps(value), encoding="utf-8")
