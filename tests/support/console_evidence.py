"""A real bundle behind the console's pages: names that are hard to carry, enough bytes for many ranges, who looks."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bundles import services
from bundles.models import Bundle
from foundation.principal import SYSTEM
from tests.support import main_job
from tests.support.upstreams import Upstreams

HARD_NAMES = {
    "b-1": ("plain.bin", random.Random(6).randbytes(700_000)),
    "b-2": ("'$(touch owned)' \"quoted\" `id` ;& =cmd().txt", b"a shell would read this name\n"),
    "b-3": ("ímynd með bili \U0001f600 \u202egnp.exe", b"beyond the basic plane, and reversed\n"),
    "b-4": ("-rf", b"looks like an option\n"),
    "b-5": ("empty", b""),
}
PLAIN_NAMES = {"c-1": ("dump of host 3.bin", random.Random(7).randbytes(300_000)), "c-2": ("notes.txt", b"seen\n")}


@pytest.fixture
def evidence(orch: Any, settings: Any, tmp_path: Path) -> Iterator[Upstreams]:
    """Sources that hold two incidents: `hard` with names that are hard to carry, `plain` with plain ones."""
    folder = tmp_path / "incidents"
    main_job.write_incident(folder, "hard", HARD_NAMES)
    main_job.write_incident(folder, "plain", PLAIN_NAMES)
    with Upstreams([folder]) as services_at_hand:
        main_job.point_at(settings, services_at_hand)
        yield services_at_hand


def verify(made: Bundle) -> None:
    main_job.finished(services.request_verification(SYSTEM, made.bundle_id).job)
    made.refresh_from_db()


def text_of(answer: Any) -> str:
    return str(answer.content.decode())
