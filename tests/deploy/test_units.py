"""The systemd units: `systemd-analyze verify` finds nothing wrong, and the commands they start exist."""

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


def test_there_is_one_unit_for_the_server_and_one_for_the_workers():
    assert [unit.name for unit in UNITS] == ["ransomeye-orchestrator-worker.service", "ransomeye-orchestrator.service"]


def test_systemd_finds_nothing_wrong():
    verified = subprocess.run(
        ["systemd-analyze", "verify", *map(str, UNITS)], capture_output=True, text=True, check=False, timeout=240
    )
    assert (verified.returncode, verified.stderr) == (0, "")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_its_commands_exist_and_it_leaves_time_for_a_graceful_stop(unit):
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


def test_the_supervisor_notifies_systemd_that_the_workers_are_ready_and_alive():
    service = service_of(ROOT / "deploy" / "ransomeye-orchestrator-worker.service")
    assert (service["Type"], service["NotifyAccess"]) == ("notify", "main")
    assert int(service["WatchdogSec"]) > supervisor.CHILDREN_MAY_TAKE_S  # during which it does not notify


def test_the_shell_script_parses():
    subprocess.run(["sh", "-n", str(ROOT / "deploy" / "setup-system.sh")], check=True, timeout=240)
