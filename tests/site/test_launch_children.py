"""Who has failed among the processes that `make run` starts, and what it says is missing."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator_site.launch import children, process_activity
from orchestrator_site.launch.children import Children
from orchestrator_site.launch.readiness import missing_of

PATIENCE_S = 120
# Stands where manage.py does; what it does is its argument.
SCRIPT = """
import sys, signal
print("begins", sys.argv[1], flush=True)
if sys.argv[1] == "dies":
    print("and this is why", flush=True)
    sys.exit(3)
while sys.argv[1] == "works":
    sum(range(10_000))
signal.pause()
"""


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Children]:
    (tmp_path / "manage.py").write_text(SCRIPT)
    monkeypatch.setattr(children, "BASE_DIR", tmp_path)
    made = Children(tmp_path / "log")
    yield made
    made.stop()


def until(met: Callable[[], str]) -> str:
    give_up_at = time.monotonic() + PATIENCE_S
    while not (found := met()):
        assert time.monotonic() < give_up_at
        time.sleep(0.02)
    return found


def test_a_child_that_died_is_named_with_what_it_said_in_this_run(started: Children, tmp_path: Path) -> None:
    (tmp_path / "log" / "web.log").write_text("of an earlier run\n")
    started.start("workers", ["waits"])
    started.start("web", ["dies"])
    fault = until(started.fault)
    assert fault.startswith("web ended by itself (exit code 3); the end of ")
    assert fault.splitlines()[1:] == ["begins dies", "and this is why"]
    assert started.last_line("web") == "and this is why"


def test_what_a_child_wrote_before_its_start_returned_is_not_lost(
    started: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    popen = started._popen

    def slow(*given: Any) -> Any:
        process = popen(*given)
        process.wait(PATIENCE_S)
        return process

    monkeypatch.setattr(started, "_popen", slow)
    started.start("web", ["dies"])
    assert started.last_line("web") == "and this is why"


def test_a_child_that_may_end_is_no_fault(started: Children) -> None:
    assert started.start_on_screen("main job", ["dies"]).wait(PATIENCE_S) == 3
    assert started.fault({"main job"}) == ""


def test_a_child_that_does_nothing_is_stuck_only_where_it_is_waited_for(
    started: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "STUCK_S", 0.2)
    started.start("workers", ["waits"])
    until(lambda: started.last_line("workers"))
    fault = until(lambda: started.fault({"workers"}))
    assert fault.startswith("workers is stuck")
    assert fault.splitlines()[-1] == "begins waits"
    assert started.fault({"web"}) == ""


def test_a_child_moves_as_long_as_it_uses_the_processor(started: Children) -> None:
    process = started.start_on_screen("busy", ["works"])
    before = process_activity.processor_ticks(process.pid)
    until(lambda: "moved" if process_activity.processor_ticks(process.pid) > before else "")
    process.send_signal(signal.SIGSTOP)
    until(lambda: "stopped" if " T " in Path(f"/proc/{process.pid}/stat").read_text() else "")
    stopped_at = process_activity.processor_ticks(process.pid)
    assert process_activity.processor_ticks(process.pid) == stopped_at
    process.send_signal(signal.SIGCONT)
    until(lambda: "moved" if process_activity.processor_ticks(process.pid) > stopped_at else "")


def test_what_is_missing_is_what_work_needs_and_never_the_optional_core_service() -> None:
    said = {
        "ready": False,
        "parts": {
            "database": {"ok": True, "detail": "slow: answered after 4.0 s"},
            "workers": {"ok": False, "detail": "0 live"},
            "storage": {"ok": False, "detail": "not writable: bundles"},
            "core": {"ok": False, "detail": "not configured", "informational": True},
        },
    }
    assert missing_of(said) == [("workers", "workers: 0 live"), ("web", "storage: not writable: bundles")]
