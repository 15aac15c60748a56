"""Small incidents for the incidents part, and the sample services that serve them.

The services run in a process of their own and are the same for every side. They know where each artifact is, so that
their own search does not decide.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import BinaryIO

from bundles.samples.folder import Folders
from bundles.samples.services import DB, FORENSIC, KILLCHAIN, SampleServices
from soak.deployment import write_incident

ALERTS, EVENTS, FILES, FILE_BYTES = 200, 100, 5, 20_000


def make(folder: Path, number: int) -> str:
    """Write one incident in the layout of the sample services; its id.

    Args:
        folder: of incidents.
        number: which; two numbers give different evidence.
    """
    incident_id, dice = f"bench-{number:05}", random.Random(number)
    files = [(f"file-{place}.bin", dice.randbytes(FILE_BYTES)) for place in range(FILES)]
    events = [
        {
            "timestamp": f"2026-01-01T00:{at // 60:02}:{at % 60:02}Z",
            "source": f"host-{dice.randrange(40)}",
            "target": f"host-{dice.randrange(40)}",
            "phase": dice.choice(("initial-access", "execution", "lateral-movement", "exfiltration")),
            "severity": dice.choice(("low", "medium", "high")),
            "description": f"{dice.getrandbits(64):x} seen",
        }
        for at in range(EVENTS)
    ]
    alerts = [
        {
            "id": f"{incident_id}-alert-{at}",
            "timestamp": f"2026-01-01T01:{at // 60:02}:{at % 60:02}Z",
            "severity": dice.choice(("low", "medium", "high", "critical")),
            "title": f"rule {dice.randrange(500)}: {dice.getrandbits(64):x}",
        }
        for at in range(ALERTS)
    ]
    write_incident(folder, incident_id, files, events=events, alerts=alerts)
    return incident_id


class Placed(Folders):
    """Folders that know the place of an artifact by its id."""

    def artifact(self, artifact_id: str) -> BinaryIO | None:
        """The content of an artifact, or None."""
        incident_id, _, place = artifact_id.rpartition(".")
        return self.open(incident_id, "artifacts", artifact_id, f"file-{place}.bin")


def main() -> None:
    """Serve the folder that is named until standard input ends; prints the ports as JSON."""
    services = SampleServices([Path(sys.argv[1])])
    services.folders = Placed([Path(sys.argv[1])])
    with services:
        sys.stdout.write(json.dumps({name: services.ports[name] for name in (KILLCHAIN, FORENSIC, DB)}) + "\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
