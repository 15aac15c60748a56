"""The systemd units: systemd itself finds nothing wrong, and what they start exists."""

from __future__ import annotations

import configparser
import subprocess
from pathlib import Path

import pytest
from django.core.management import get_commands

from jobs.worker import supervisor

ROOT = Path(__file__).resolve().parents[2]
UNITS = sorted((ROOT / "deploy").glob("*.service"))


def service_of(unit: Path) -> configparser.SectionProxy:
    parser = configparser.ConfigParser(strict=True, interpolation=None, comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment,method-assign] # systemd's names have capitals
    parser.read(unit)
    return parser["Service"]


def test_there_is_one_for_the_server_and_one_for_the_workers():
    assert [unit.name for unit in UNITS] == ["ransomeye-orchestrator-worker.service", "ransomeye-orchestrator.service"]


def test_systemd_finds_nothing_wrong():
    verified = subprocess.run(
        ["systemd-analyze", "verify", *map(str, UNITS)], capture_output=True, text=True, check=False, timeout=240
    )
    assert (verified.returncode, verified.stderr) == (0, "")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_what_it_starts_exists_and_is_stopped_in_an_orderly_way(unit):
    service = service_of(unit)
    for line in [service["ExecStart"], *filter(None, [service.get("ExecStartPre")])]:
        words = line.split()
        assert words[:2] == ["/usr/bin/env", f"{service['WorkingDirectory']}/.venv/bin/python"]
        assert words[2] == "manage.py"
        assert words[3] in get_commands()
    assert service["KillMode"] == "mixed"
    assert int(service["TimeoutStopSec"]) >= 25  # longer than gunicorn's graceful timeout and a worker's 10 s
    assert service["EnvironmentFile"] == "/etc/ransomeye/orchestrator.env"
    assert service["NoNewPrivileges"] == "yes"


def test_systemd_learns_from_the_workers_themselves_that_they_are_ready_and_live():
    service = service_of(ROOT / "deploy" / "ransomeye-orchestrator-worker.service")
    assert (service["Type"], service["NotifyAccess"]) == ("notify", "main")
    assert int(service["WatchdogSec"]) > supervisor.CHILDREN_MAY_TAKE_S  # which it spends without a word


def test_the_shell_script_is_sound():
    subprocess.run(["sh", "-n", str(ROOT / "deploy" / "setup-system.sh")], check=True, timeout=240)
